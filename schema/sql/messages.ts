import { readAsset } from '../../ops/lifecycle/index.ts';
import type { Lane, MessageContent, MessageState } from '../domain/index.ts';
import { arrayLiteral, query, type SqlRunner } from './statement.ts';
import type { LedgerMessage } from './types.ts';

/** Reading and steering of the ledger on behalf of a tenant. */

const CANCEL = readAsset(import.meta.url, './cancel.sql');
const REDRIVABLE = readAsset(import.meta.url, './redrivable.sql');
const REDRIVE = readAsset(import.meta.url, './redrive.sql');
const TENANT_MESSAGES = readAsset(import.meta.url, './tenant-messages.sql');
const MESSAGES_PAGE = readAsset(import.meta.url, './messages-page.sql');
const DEVICE_MESSAGES_PAGE = readAsset(import.meta.url, './device-messages-page.sql');
const MESSAGES_IN_STATES = readAsset(import.meta.url, './messages-in-states.sql');
const DEVICE_MESSAGES_IN_STATES = readAsset(import.meta.url, './device-messages-in-states.sql');

export type CancelOutcome =
  | { readonly kind: 'cancelled'; readonly deviceId: string; readonly attempt: number }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'not-cancellable'; readonly state: MessageState };

/** Cancels a message that is QUEUED (scheduled, waiting, or waiting for a retry). From the intent on it cannot be called back. */
export async function cancel(sql: SqlRunner, tenantId: string, messageId: string): Promise<CancelOutcome> {
  const [row] = await query<{ device_id: string; attempt: number; cancelled: boolean; state: MessageState }>(sql, CANCEL, [
    tenantId,
    messageId,
  ]);
  if (row === undefined) return { kind: 'not-found' };
  if (!row.cancelled) return { kind: 'not-cancellable', state: row.state };
  return { kind: 'cancelled', deviceId: row.device_id, attempt: row.attempt };
}

export interface Redriven {
  readonly messageId: string;
  readonly deviceId: string;
  readonly attempt: number;
}

/**
 * Puts DEAD and FAILED messages back into the queue with a fresh attempt budget; promoteDue gives them a new seq. At most `limit`.
 * @param ids the messages, or null for the oldest of the tenant's dead letters. What is not among its open dead letters is left out.
 */
export async function redrive(
  sql: SqlRunner,
  tenantId: string,
  ids: readonly string[] | null,
  limit: number,
): Promise<readonly Redriven[]> {
  const picked =
    ids === null
      ? (await query<{ message_id: string }>(sql, REDRIVABLE, [tenantId, limit])).map((row) => row.message_id)
      : ids.slice(0, limit);
  if (picked.length === 0) return [];
  const rows = await query<{ message_id: string; device_id: string; attempt: number }>(sql, REDRIVE, [tenantId, arrayLiteral(picked)]);
  return rows.map((row) => ({ messageId: row.message_id, deviceId: row.device_id, attempt: row.attempt }));
}

interface MessageRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly device_id: string;
  readonly lane: Lane;
  readonly seq: number | null;
  readonly state: MessageState;
  readonly attempts: number;
  readonly recipient: string;
  readonly body: string;
  readonly content: MessageContent | null;
  readonly cause: string | null;
  readonly last_error: string | null;
  readonly due_at: number;
  readonly created_at: number;
  readonly sent_at: number | null;
  readonly delivered_at: number | null;
  readonly read_at: number | null;
  readonly ended_at: number | null;
}

const messageOf = (row: MessageRow): LedgerMessage => ({
  id: row.id,
  tenantId: row.tenant_id,
  deviceId: row.device_id,
  lane: row.lane,
  seq: row.seq,
  state: row.state,
  attempts: row.attempts,
  recipient: row.recipient,
  body: row.body,
  content: row.content,
  cause: row.cause,
  lastError: row.last_error,
  dueAt: row.due_at,
  createdAt: row.created_at,
  sentAt: row.sent_at,
  deliveredAt: row.delivered_at,
  readAt: row.read_at,
  endedAt: row.ended_at,
});

/** Messages of one tenant by id, in id order; unknown and foreign ids are left out. */
export async function loadMessages(sql: SqlRunner, tenantId: string, ids: readonly string[]): Promise<readonly LedgerMessage[]> {
  if (ids.length === 0) return [];
  return (await query<MessageRow>(sql, TENANT_MESSAGES, [tenantId, arrayLiteral(ids)])).map(messageOf);
}

export interface MessagesPage {
  readonly tenantId: string;
  readonly deviceId?: string | undefined;
  /** the last id of the page before; null = from the newest */
  readonly before: string | null;
  readonly limit: number;
}

/** A page of messages, newest id first; the cursor of the next page is the last id. */
export async function messagesPage(sql: SqlRunner, page: MessagesPage): Promise<readonly LedgerMessage[]> {
  const rows =
    page.deviceId === undefined
      ? await query<MessageRow>(sql, MESSAGES_PAGE, [page.tenantId, page.before, page.limit])
      : await query<MessageRow>(sql, DEVICE_MESSAGES_PAGE, [page.tenantId, page.deviceId, page.before, page.limit]);
  return rows.map(messageOf);
}

/**
 * A page of messages in some states, newest id first, among the next `look` messages.
 * @returns `until`: the last id looked at, from which the next page goes on when this one has fewer than `limit`; null = there are no more
 */
export async function messagesInStates(
  sql: SqlRunner,
  page: MessagesPage & { readonly states: readonly MessageState[]; readonly look: number },
): Promise<{ readonly messages: readonly LedgerMessage[]; readonly until: string | null }> {
  const rest = [page.before, arrayLiteral(page.states), page.look, page.limit];
  const rows =
    page.deviceId === undefined
      ? await query<{ until: string | null } & MessageRow>(sql, MESSAGES_IN_STATES, [page.tenantId, ...rest])
      : await query<{ until: string | null } & MessageRow>(sql, DEVICE_MESSAGES_IN_STATES, [page.tenantId, page.deviceId, ...rest]);
  // the one row that says nothing fits has no message
  const messages = rows.flatMap((row) => ((row.id as string | null) === null ? [] : [messageOf(row)]));
  return { messages, until: rows[0]?.until ?? null };
}
