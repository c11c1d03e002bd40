import { readAsset } from '../../ops/lifecycle/index.ts';
import type { MessageState } from '../domain/index.ts';
import { query, type SqlRunner } from './statement.ts';

/** What is left of a device that was deleted: its messages still have to end. */

const DELETED_WITH_BACKLOG = readAsset(import.meta.url, './deleted-with-backlog.sql');
const END_DELETED = readAsset(import.meta.url, './end-deleted.sql');

/** Devices deleted within a week that have messages which have not ended. */
export async function deletedWithBacklog(
  sql: SqlRunner,
  limit: number,
): Promise<readonly { readonly id: string; readonly tenantId: string }[]> {
  const rows = await query<{ id: string; tenant_id: string }>(sql, DELETED_WITH_BACKLOG, [limit]);
  return rows.map((row) => ({ id: row.id, tenantId: row.tenant_id }));
}

export interface EndedMessage {
  readonly messageId: string;
  readonly deviceId: string;
  readonly tenantId: string;
  readonly state: MessageState;
  readonly cause: string;
  readonly attempt: number;
}

/** Ends messages of a deleted device, at most `limit`: what waits is CANCELLED, attempts open for a minute are DEAD. Nothing of a device that stands. */
export async function endDeleted(sql: SqlRunner, deviceId: string, limit: number): Promise<readonly EndedMessage[]> {
  const rows = await query<{
    message_id: string;
    device_id: string;
    tenant_id: string;
    state: MessageState;
    cause: string;
    attempt: number;
  }>(sql, END_DELETED, [deviceId, limit]);
  return rows.map((row) => ({
    messageId: row.message_id,
    deviceId: row.device_id,
    tenantId: row.tenant_id,
    state: row.state,
    cause: row.cause,
    attempt: row.attempt,
  }));
}
