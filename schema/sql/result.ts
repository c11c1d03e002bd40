import { readAsset } from '../../ops/lifecycle/index.ts';
import { assert, type MessageState } from '../domain/index.ts';
import { column, query, type SqlRunner } from './statement.ts';
import type { ResultItem, ResultOutcome } from './types.ts';

export const RESULT = readAsset(import.meta.url, './result.sql');

/**
 * Records what came of sends, in one statement; outcomes stand in input order (result.sql). A batch may hold several results of one
 * message. Safe to repeat: what counted once is not counted again.
 * @param text the statement; only tests give another
 */
export async function result(sql: SqlRunner, items: readonly ResultItem[], text: string = RESULT): Promise<ResultOutcome[]> {
  if (items.length === 0) return [];
  const rows = await query<{
    message_id: string;
    counted: boolean;
    state: MessageState | null;
    tenant_id: string | null;
    attempt: number;
  }>(sql, text, [
    column(items, (item) => item.messageId),
    column(items, (item) => item.deviceId),
    column(items, (item) => item.epoch),
    column(items, (item) => item.attempt),
    column(items, (item) => item.state),
    column(items, (item) => item.cause),
    column(items, (item) => item.error),
    column(items, (item) => item.dueAt),
    column(items, (item) => item.at),
  ]);
  assert(rows.length === items.length, 'result: one outcome per item');
  return rows.map((row) => ({
    messageId: row.message_id,
    counted: row.counted,
    state: row.state,
    tenantId: row.tenant_id,
    attempt: row.attempt,
  }));
}
