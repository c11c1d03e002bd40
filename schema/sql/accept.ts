import { readAsset } from '../../ops/lifecycle/index.ts';
import { assert } from '../domain/index.ts';
import { column, query, type SqlRunner } from './statement.ts';
import type { AcceptItem, AcceptOutcome } from './types.ts';

const ACCEPT = readAsset(import.meta.url, './accept.sql');

interface Row {
  readonly outcome:
    | 'accepted'
    | 'replayed'
    | 'again'
    | 'DEVICE_NOT_FOUND'
    | 'IDEMPOTENCY_KEY_REUSED'
    | 'BACKLOG_FULL'
    | 'RECIPIENT_SUPPRESSED';
  readonly id: string | null;
  readonly seq: number | null;
  readonly paused: boolean;
}

/**
 * Accepts a batch of messages, any tenants and devices mixed; one statement, one commit (accept.sql). Outcomes stand in input order.
 * `again` (another gateway is committing the same key, or the key stands twice in the batch) asks for the item once more in a later batch.
 * The backlog limit may be overshot by what other gateways accept in other lanes of the device at the same moment.
 * @throws the client's error; then nothing was accepted, unless the connection broke while it waited for the commit
 */
export async function accept(sql: SqlRunner, items: readonly AcceptItem[]): Promise<AcceptOutcome[]> {
  if (items.length === 0) return [];
  const rows = await query<Row>(sql, ACCEPT, [
    column(items, (item) => item.id),
    column(items, (item) => item.tenantId),
    column(items, (item) => item.deviceId),
    column(items, (item) => item.lane),
    column(items, (item) => item.recipient),
    column(items, (item) => item.body),
    column(items, (item) => item.idempotencyKey),
    column(items, (item) => item.contentHash),
    column(items, (item) => item.scheduledAt),
    column(items, (item) => item.traceparent),
    column(items, (item) => (item.content == null ? null : JSON.stringify(item.content))),
  ]);
  assert(rows.length === items.length, 'accept: one outcome per item');
  return rows.map(outcomeOf);
}

function outcomeOf({ outcome, id, seq, paused }: Row): AcceptOutcome {
  switch (outcome) {
    case 'accepted':
      assert(id !== null, 'accept: an accepted message has an id');
      return { kind: 'accepted', id, seq, paused };
    case 'replayed':
      assert(id !== null, 'accept: a replayed message has an id');
      return { kind: 'replayed', id };
    case 'again':
      return { kind: 'again' };
    default:
      return { kind: 'rejected', code: outcome };
  }
}
