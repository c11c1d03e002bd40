import { readAsset } from '../../ops/lifecycle/index.ts';
import type { Lane } from '../domain/index.ts';
import { type DeadLetterFilter, filterParameters } from './dead-letters.ts';
import { arrayLiteral, query, type SqlRunner } from './statement.ts';

/** Redrives: orders to put dead letters back, and the working off of them. */

const sqlFile = (name: string): string => readAsset(import.meta.url, `./${name}.sql`);
const COUNT = sqlFile('count-redrivable');
const START = sqlFile('start-redrive');
const CANCEL = sqlFile('cancel-redrive');
const PAGE = sqlFile('redrives-page');
const CHUNK = sqlFile('redrive-chunk');

/** Redrives of one tenant that may run at a time. */
export const REDRIVES_AT_ONCE = 20;
/** Letters counted for one answer, and of those that fit how many are looked up among the suppressed. Guess: 0.4 s. */
const COUNTED = 200_000;
const LOOKED_UP = 10_000;
/** Letters that one chunk looks at and puts back: some 50 ms. Guess. */
const CHUNK_LOOKED = 2_000;
const CHUNK_MOVED = 500;

export interface RedriveOrder {
  readonly filter: DeadLetterFilter;
  /** letters that were put back so often are left out */
  readonly redrivesBelow: number;
}
export interface RedriveCount {
  readonly matching: number;
  /** false: there are more letters than were counted */
  readonly whole: boolean;
  /** of the oldest 10,000 that fit: who has asked not to be messaged */
  readonly suppressed: number;
}

/** How many letters an order would put back. Changes nothing. */
export async function countRedrivable(
  sql: SqlRunner,
  tenantId: string,
  order: RedriveOrder,
  most: number = COUNTED,
): Promise<RedriveCount> {
  const [row] = await query<{ looked: number; matching: number; suppressed: number }>(sql, COUNT, [
    tenantId,
    ...filterParameters(order.filter),
    order.redrivesBelow,
    most,
    LOOKED_UP,
  ]);
  return { matching: row?.matching ?? 0, whole: (row?.looked ?? 0) < most, suppressed: row?.suppressed ?? 0 };
}

export interface NewRedrive extends RedriveOrder {
  readonly id: string;
  readonly tenantId: string;
  readonly reason: string;
  /** as it was asked for, to be shown again */
  readonly asked: Readonly<Record<string, unknown>>;
  /** null = as fast as they can be put back */
  readonly perMinute: number | null;
  readonly count: Pick<RedriveCount, 'matching' | 'whole'>;
}

/** @returns false when REDRIVES_AT_ONCE of the tenant run already */
export async function startRedrive(sql: SqlRunner, one: NewRedrive): Promise<boolean> {
  const [states, causes, devices, flow, since, until] = filterParameters(one.filter);
  const rows = await query<{ id: string }>(sql, START, [
    one.id,
    one.tenantId,
    one.reason,
    JSON.stringify(one.asked),
    states ?? null,
    causes ?? null,
    devices ?? null,
    flow ?? null,
    since ?? null,
    until ?? null,
    one.redrivesBelow,
    one.perMinute,
    one.count.matching,
    one.count.whole,
    REDRIVES_AT_ONCE,
  ]);
  return rows.length === 1;
}

/** @returns false when there is none of that id, or it has ended */
export async function cancelRedrive(sql: SqlRunner, tenantId: string, id: string): Promise<boolean> {
  return (await query<{ id: string }>(sql, CANCEL, [tenantId, id])).length === 1;
}

export type RedriveState = 'RUNNING' | 'DONE' | 'CANCELLED';
export interface RedriveRow {
  readonly id: string;
  readonly state: RedriveState;
  readonly reason: string;
  /** JSON */
  readonly filter: string;
  readonly perMinute: number | null;
  readonly redrivesBelow: number;
  readonly matching: number;
  readonly whole: boolean;
  readonly redriven: number;
  readonly suppressed: number;
  readonly leftOut: number;
  /** wall ms */
  readonly createdAt: number;
  readonly endedAt: number | null;
}

/** Newest first. */
export async function redrivesPage(
  sql: SqlRunner,
  tenantId: string,
  page: { readonly before: string | null; readonly limit: number; readonly ids?: readonly string[] },
): Promise<readonly RedriveRow[]> {
  const rows = await query<{
    id: string;
    state: RedriveState;
    reason: string;
    filter: string;
    per_minute: number | null;
    redrives_below: number;
    matching: number;
    whole: boolean;
    redriven: number;
    suppressed: number;
    left_out: number;
    created_at: number;
    ended_at: number | null;
  }>(sql, PAGE, [tenantId, page.before, page.limit, page.ids === undefined ? null : arrayLiteral(page.ids)]);
  return rows.map((row) => ({
    id: row.id,
    state: row.state,
    reason: row.reason,
    filter: row.filter,
    perMinute: row.per_minute,
    redrivesBelow: row.redrives_below,
    matching: row.matching,
    whole: row.whole,
    redriven: row.redriven,
    suppressed: row.suppressed,
    leftOut: row.left_out,
    createdAt: row.created_at,
    endedAt: row.ended_at,
  }));
}

export interface RedrivenMessage {
  readonly messageId: string;
  readonly deviceId: string;
  readonly lane: Lane;
  readonly seq: number;
  readonly attempt: number;
  readonly traceparent: string | null;
}
export interface RedriveChunk {
  readonly redriveId: string;
  readonly tenantId: string;
  /** this was its last chunk */
  readonly last: boolean;
  /** in the order of their lanes */
  readonly messages: readonly RedrivenMessage[];
}

/** Works off the next chunk of one redrive (redrive-chunk.sql). @returns null when none is to go on now, or others are at work on all that are */
export async function redriveChunk(
  sql: SqlRunner,
  most: { readonly looked: number; readonly moved: number } = { looked: CHUNK_LOOKED, moved: CHUNK_MOVED },
): Promise<RedriveChunk | null> {
  const rows = await query<{
    redrive_id: string;
    tenant_id: string;
    state: RedriveState;
    message_id: string | null;
    device_id: string;
    lane: Lane;
    seq: number;
    attempt: number;
    traceparent: string | null;
  }>(sql, CHUNK, [most.looked, most.moved]);
  const [first] = rows;
  if (first === undefined) return null;
  return {
    redriveId: first.redrive_id,
    tenantId: first.tenant_id,
    last: first.state === 'DONE',
    messages: rows.flatMap((row) =>
      row.message_id === null
        ? []
        : [
            {
              messageId: row.message_id,
              deviceId: row.device_id,
              lane: row.lane,
              seq: row.seq,
              attempt: row.attempt,
              traceparent: row.traceparent,
            },
          ],
    ),
  };
}
