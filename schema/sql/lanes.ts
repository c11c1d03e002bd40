import { readAsset } from '../../ops/lifecycle/index.ts';
import type { Lane } from '../domain/index.ts';
import { arrayLiteral, column, query, type SqlRunner } from './statement.ts';
import type { RefillAsk, RefillEntry } from './types.ts';

/** What fills mailbox windows: lanes of the ledger in seq order. */

const REFILL = readAsset(import.meta.url, './refill.sql');
const NEXT_SEQS = readAsset(import.meta.url, './next-seqs.sql');
const PROMOTE_DUE = readAsset(import.meta.url, './promote-due.sql');

interface EntryRow {
  readonly device_id: string;
  readonly lane: Lane;
  readonly seq: number;
  readonly message_id: string;
  readonly traceparent: string | null;
}

const entryOf = (row: EntryRow): RefillEntry => ({
  deviceId: row.device_id,
  lane: row.lane,
  seq: row.seq,
  messageId: row.message_id,
  traceparent: row.traceparent,
});

/** The next open messages of each lane asked for: at most `limit` each, in the order of the asks and then of seq. */
export async function refill(sql: SqlRunner, asks: readonly RefillAsk[], limit: number): Promise<RefillEntry[]> {
  if (asks.length === 0) return [];
  const rows = await query<EntryRow>(sql, REFILL, [
    column(asks, (ask) => ask.deviceId),
    column(asks, (ask) => ask.lane),
    column(asks, (ask) => ask.afterSeq),
    limit,
  ]);
  return rows.map(entryOf);
}

/**
 * Gives seqs to at most `limit` messages that were scheduled or redriven and are due now; returns them as mailbox entries, in seq order
 * within each lane. Any process may call it at any time; fewer than `limit` rows means that nothing more was due and free.
 */
export async function promoteDue(sql: SqlRunner, limit: number): Promise<RefillEntry[]> {
  return (await query<EntryRow>(sql, PROMOTE_DUE, [limit])).map(entryOf);
}

export interface NextSeq {
  readonly deviceId: string;
  readonly lane: Lane;
  /** the seq that the next accepted message will get: the lane's last one is nextSeq - 1 */
  readonly nextSeq: number;
  /** the device (not only this lane) has messages that have not ended, scheduled ones among them */
  readonly hasOpen: boolean;
}

/** Every lane of the given devices: the set-based sweep compares `nextSeq` with the last seq in Redis. Reads counters only. */
export async function nextSeqs(sql: SqlRunner, deviceIds: readonly string[]): Promise<NextSeq[]> {
  if (deviceIds.length === 0) return [];
  const rows = await query<{ device_id: string; lane: Lane; next_seq: number; has_open: boolean }>(sql, NEXT_SEQS, [
    arrayLiteral(deviceIds),
  ]);
  return rows.map((row) => ({ deviceId: row.device_id, lane: row.lane, nextSeq: row.next_seq, hasOpen: row.has_open }));
}
