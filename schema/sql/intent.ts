import { readAsset } from '../../ops/lifecycle/index.ts';
import { assert, type Lane, type MessageContent, type MessageState } from '../domain/index.ts';
import { column, query, type SqlRunner } from './statement.ts';
import type { IntentItem, IntentVerdict } from './types.ts';

export const INTENT = readAsset(import.meta.url, './intent.sql');

interface Row {
  readonly verdict: IntentVerdict['verdict'];
  readonly was: MessageState | null;
  readonly moment: number | null;
  readonly said_at: number;
  readonly tenant_id: string;
  readonly attempt: number;
  readonly cause: string | null;
  readonly id: string | null;
  readonly lane: Lane;
  readonly seq: number;
  readonly recipient: string;
  readonly recipient_lid: string | null;
  readonly body: string;
  readonly content: MessageContent | null;
  readonly traceparent: string | null;
  readonly created_at: number;
}

/**
 * Commits the intent to send for every message that may go now; verdicts stand in input order (intent.sql). After PASS the caller checks
 * its local deadline and sends in the same tick. Day caps count UTC days.
 * ENDED with state QUEUED means: the entry is not the message's place any more (it was redriven); drop the entry, it comes again under a new seq.
 * @param text the statement; only tests give another
 * @throws INVARIANT when a device stands twice in the batch
 */
export async function intent(sql: SqlRunner, items: readonly IntentItem[], text: string = INTENT): Promise<IntentVerdict[]> {
  if (items.length === 0) return [];
  assert(new Set(items.map((item) => item.deviceId)).size === items.length, 'intent: one message per device in a batch');
  const rows = await query<Row>(sql, text, [
    column(items, (item) => item.deviceId),
    column(items, (item) => item.epoch),
    column(items, (item) => item.node),
    column(items, (item) => item.messageId),
    column(items, (item) => item.paceMs),
    column(items, (item) => item.resendUnknown),
    column(items, (item) => item.budget),
    column(items, (item) => item.seq ?? null),
  ]);
  assert(rows.length === items.length, 'intent: one verdict per item');
  return rows.map(verdictOf);
}

function verdictOf(row: Row): IntentVerdict {
  const { verdict, moment, said_at: now } = row;
  switch (verdict) {
    case 'PASS':
      assert(row.id !== null, 'intent: a pass has moved its message');
      return {
        verdict,
        message: {
          id: row.id,
          tenantId: row.tenant_id,
          lane: row.lane,
          seq: row.seq,
          attempt: row.attempt,
          recipient: row.recipient,
          recipientLid: row.recipient_lid,
          body: row.body,
          content: row.content,
          traceparent: row.traceparent,
          createdAt: row.created_at,
        },
      };
    case 'PACED':
    case 'CAPPED':
    case 'NOT_DUE':
    case 'HELD':
    case 'QUIET':
      assert(moment !== null, 'intent: a wait has an end');
      return { verdict, until: moment, now };
    case 'UNKNOWN_OUTCOME':
      assert(moment !== null, 'intent: an unknown outcome has a beginning');
      assert(row.was !== null, 'intent: an unknown outcome has a state');
      return { verdict, since: moment, now, attempt: row.attempt, state: row.was };
    case 'ENDED':
      return { verdict, state: row.was };
    case 'COLD':
    case 'SUPPRESSED':
    case 'DEAD':
    case 'UNPLANNED':
      assert(row.cause !== null, 'intent: an end or a setting aside has a cause');
      return { verdict, tenantId: row.tenant_id, attempt: row.attempt, cause: row.cause };
    default:
      return { verdict };
  }
}
