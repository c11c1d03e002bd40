import { readAsset } from '../../ops/lifecycle/index.ts';
import { arrayLiteral, query, type SqlRunner } from './statement.ts';

/** How leads come into flows one by one, and leave them. What happens to leads (tags, stages, replies) is done where it is written down (0015_flow_rules.sql). */

const sqlFile = (name: string): string => readAsset(import.meta.url, `./${name}.sql`);
const ENROL_LEADS = sqlFile('enrol-leads');
const UNENROL_LEADS = sqlFile('unenrol-leads');
const SIGNAL_HOOK = sqlFile('signal-hook');
const APPLY_STOPS = sqlFile('apply-stops');
const LEADS_TO = sqlFile('flow-leads-to');

/** @returns how many were enrolled now; the others are in the flow and may not come again, are suppressed, at the goal, or not of this tenant */
export async function enrolLeads(sql: SqlRunner, tenantId: string, flowId: string, leadIds: readonly string[]): Promise<number> {
  return (await query<{ lead_no: number }>(sql, ENROL_LEADS, [tenantId, flowId, arrayLiteral(leadIds)])).length;
}

/** @returns how many left the flow now; a message of theirs that waits is taken back */
export async function unenrolLeads(sql: SqlRunner, tenantId: string, flowId: string, leadIds: readonly string[]): Promise<number> {
  return (await query<{ ended: number }>(sql, UNENROL_LEADS, [tenantId, flowId, arrayLiteral(leadIds)]))[0]?.ended ?? 0;
}

/** A webhook was called for the leads of these phones. `known`: a started sequence listens to it; `enrolled`: leads that come into one now. */
export async function signalHook(
  sql: SqlRunner,
  tenantId: string,
  hook: string,
  phones: readonly string[],
): Promise<{ readonly known: boolean; readonly enrolled: number }> {
  const [row] = await query<{ known: boolean; enrolled: number }>(sql, SIGNAL_HOOK, [tenantId, hook, arrayLiteral(phones)]);
  return row ?? { known: false, enrolled: 0 };
}

/** Makes up for ends that were wanted while another transaction held the enrolment. @returns how many it looked at */
export async function applyStops(sql: SqlRunner, most: number): Promise<number> {
  return (await query<{ looked: number }>(sql, APPLY_STOPS, [most]))[0]?.looked ?? 0;
}

/** Would a sequence of that name, followed by this one, lead into itself? By names, because every version of what follows may be met. */
export async function flowLeadsTo(sql: SqlRunner, tenantId: string, nextFlowId: string, name: string): Promise<boolean> {
  return (await query<{ loops: boolean }>(sql, LEADS_TO, [tenantId, nextFlowId, name]))[0]?.loops === true;
}
