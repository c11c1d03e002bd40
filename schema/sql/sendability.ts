import { readAsset } from '../../ops/lifecycle/index.ts';
import { arrayLiteral, query, type SqlRunner } from './statement.ts';

const SENDABILITY = readAsset(import.meta.url, './sendability.sql');

export interface SendabilityRow {
  readonly deviceId: string;
  readonly epoch: number;
  readonly node: string | null;
  /** accepted and not yet ended */
  readonly backlog: number;
  /** wall ms; null = at once */
  readonly nextSendAt: number | null;
  /** sends of the present day (UTC) */
  readonly sentToday: number;
  /** most sends of the present day: the cap, or the step of the ramp; null = no limit */
  readonly sendsADay: number | null;
  /** wall ms; null = its quiet hours do not hold now */
  readonly quietUntil: number | null;
  /** wall ms */
  readonly dayEndsAt: number;
}

/** Backlog, pace and cap of devices of one tenant; unknown and foreign ids are left out. */
export async function sendability(sql: SqlRunner, tenantId: string, ids: readonly string[]): Promise<readonly SendabilityRow[]> {
  if (ids.length === 0) return [];
  const rows = await query<{
    id: string;
    epoch: number;
    node: string | null;
    backlog: number;
    next_send_at: number | null;
    sent_today: number;
    sends_a_day: number | null;
    quiet_until: number | null;
    day_ends: number;
  }>(sql, SENDABILITY, [tenantId, arrayLiteral(ids)]);
  return rows.map((row) => ({
    deviceId: row.id,
    epoch: row.epoch,
    node: row.node,
    backlog: row.backlog,
    nextSendAt: row.next_send_at,
    sentToday: row.sent_today,
    sendsADay: row.sends_a_day,
    quietUntil: row.quiet_until,
    dayEndsAt: row.day_ends,
  }));
}
