import { readAsset } from '../../ops/lifecycle/index.ts';
import { assert, type Lane } from '../domain/index.ts';
import type { FlowVariant } from './flow-variants.ts';
import { arrayLiteral, column, query, type SqlRunner } from './statement.ts';

/** Flows (campaigns and sequences), the enrolments of leads in them, and the making of their messages. */

const sqlFile = (name: string): string => readAsset(import.meta.url, `./${name}.sql`);
const CREATE = sqlFile('create-flow');
const SET_STATE = sqlFile('set-flow-state');
const LIVE = sqlFile('live-flows');
const ENROL_CHUNK = sqlFile('enrol-chunk');
const START_SCHEDULED = sqlFile('start-scheduled-flows');
const FINISH = sqlFile('finish-flows');
const CANDIDATES = sqlFile('flow-candidates');
const PLAN = sqlFile('plan-messages');
const END = sqlFile('end-enrolments');
const PAGE = sqlFile('flows-page');
const PROGRESS = sqlFile('flow-progress');

export type FlowKind = 'CAMPAIGN' | 'SEQUENCE';
export type FlowState = 'DRAFT' | 'SCHEDULED' | 'RUNNING' | 'PAUSED' | 'CANCELLED' | 'DONE';

/** Which leads of the tenant: all conditions given must hold; an empty object is everybody. */
export interface Audience {
  /** at least one of these */
  readonly tags?: readonly string[];
  readonly niches?: readonly string[];
  readonly stages?: readonly string[];
  /** only leads with a consent record */
  readonly consent?: boolean;
}
/** When messages may go, in the zone's own time. `to` at or before `from` reaches over midnight. */
export interface Hours {
  /** IANA name */
  readonly zone: string;
  /** HH:MM */
  readonly from: string;
  readonly to: string;
  /** ISO days of the week, 1 = Monday */
  readonly days: readonly number[];
}
export interface FlowStep {
  /** ms after enrolment (the first step) or after the message before was sent */
  readonly delayMs: number;
  readonly template: string;
}
/** What leads a lead into a flow (ENROL), and what ends its way through it (END: TAG and STAGE are goals). */
export interface FlowRule {
  readonly does: 'ENROL' | 'END';
  readonly kind: 'TAG' | 'STAGE' | 'REPLY' | 'KEYWORD' | 'WEBHOOK';
  /** the tag, stage, keyword (plainWords) or name of the hook; empty for REPLY */
  readonly value: string;
}
/** May a lead come in again: never, once its last time has ended, or so many days after that. */
export type Reentry = { readonly rule: 'NEVER' | 'AFTER_END' } | { readonly rule: 'AFTER_DAYS'; readonly days: number };

/** Between two of its messages on a device, ms, where the device's own pace is not slower. */
export interface FlowPace {
  readonly minMs: number;
  readonly maxMs: number;
}

export interface NewFlow {
  readonly id: string;
  readonly tenantId: string;
  readonly kind: FlowKind;
  readonly name: string;
  readonly lane: Lane;
  /** null: leads come one by one */
  readonly audience: Audience | null;
  /** null: all devices of the tenant */
  readonly deviceIds: readonly string[] | null;
  readonly hours: Hours | null;
  /** wall ms */
  readonly startAt: number | null;
  /** the flow that leads go on to when they have gone through this one */
  readonly nextFlowId: string | null;
  readonly steps: readonly FlowStep[];
  /** default: none */
  readonly rules?: readonly FlowRule[];
  /** default: never */
  readonly reentry?: Reentry;
  /** default: as the devices have it */
  readonly pace?: FlowPace | null;
  /** most messages of it a minute, all devices together; default: no ceiling */
  readonly perMinute?: number | null;
  /** its devices begin one after the other within so many ms; default: all at once */
  readonly staggerMs?: number | null;
  /** texts that stand in place of the step's, each for its share of the leads; default: none */
  readonly variants?: readonly FlowVariant[];
}

/** @returns its number, or null when the tenant has a campaign of that name. A sequence of a known name becomes its next version. */
export async function createFlow(sql: SqlRunner, flow: NewFlow): Promise<number | null> {
  assert(flow.steps.length > 0, 'createFlow: a flow has steps');
  const { rules = [], reentry = { rule: 'NEVER' }, variants = [] } = flow;
  const [row] = await query<{ no: number }>(sql, CREATE, [
    flow.id,
    flow.tenantId,
    flow.kind,
    flow.name,
    flow.lane,
    flow.audience === null ? null : JSON.stringify(flow.audience),
    JSON.stringify(flow.deviceIds === null ? {} : { ids: flow.deviceIds }),
    flow.hours === null ? null : JSON.stringify(flow.hours),
    flow.startAt,
    flow.nextFlowId,
    column(flow.steps, (step) => step.delayMs),
    column(flow.steps, (step) => step.template),
    reentry.rule,
    reentry.rule === 'AFTER_DAYS' ? reentry.days : null,
    column(rules, (rule) => rule.does),
    column(rules, (rule) => rule.kind),
    column(rules, (rule) => rule.value),
    flow.pace?.minMs ?? null,
    flow.pace?.maxMs ?? null,
    flow.perMinute ?? null,
    flow.staggerMs ?? null,
    variants.length === 0 ? null : JSON.stringify(variants),
  ]);
  return row?.no ?? null;
}

/** `changed` false: its state does not allow it (set-flow-state.sql), and `state` says which that is; null: the tenant has no such flow. */
export async function setFlowState(
  sql: SqlRunner,
  tenantId: string,
  flowId: string,
  wanted: 'RUNNING' | 'PAUSED' | 'CANCELLED',
): Promise<{ readonly state: FlowState; readonly changed: boolean } | null> {
  const [row] = await query<{ state: FlowState; changed: boolean }>(sql, SET_STATE, [tenantId, flowId, wanted]);
  return row ?? null;
}

/** A flow that runs, as nodes plan by it. */
export interface LiveFlow {
  readonly no: number;
  readonly tenantId: string;
  readonly lane: Lane;
  /** false outside its hours */
  readonly open: boolean;
  /** it, or its tenant, has a ceiling: `takeCeilings` says how many of its messages may be made */
  readonly capped: boolean;
  /** template of step n at [n - 1] */
  readonly templates: readonly string[];
  /** text of variant n at [n - 1]; empty: none */
  readonly variants: readonly string[];
}

export async function liveFlows(sql: SqlRunner): Promise<readonly LiveFlow[]> {
  const rows = await query<Omit<LiveFlow, 'tenantId'> & { readonly tenant_id: string }>(sql, LIVE, []);
  return rows.map(({ tenant_id: tenantId, ...flow }) => ({ ...flow, tenantId }));
}

/** Starts the scheduled flows whose time has come; returns their tenants. */
export async function startScheduledFlows(sql: SqlRunner): Promise<readonly string[]> {
  return (await query<{ tenant_id: string }>(sql, START_SCHEDULED, [])).map((row) => row.tenant_id);
}

/** Ends the campaigns whose last lead is through; returns their tenants (finish-flows.sql). */
export async function finishFlows(sql: SqlRunner): Promise<readonly string[]> {
  return (await query<{ tenant_id: string }>(sql, FINISH, [])).map((row) => row.tenant_id);
}

export interface EnrolledChunk {
  readonly flowNo: number;
  readonly tenantId: string;
  readonly enrolled: number;
  /** nothing is left to look at in this flow */
  readonly last: boolean;
}

/** Enrols the next chunk of one flow (enrol-chunk.sql). @returns null when no flow is enrolling, or others are at work on all that are */
export async function enrolChunk(sql: SqlRunner, leads: number): Promise<EnrolledChunk | null> {
  const [row] = await query<{ flow_no: number; tenant_id: string; last: boolean; enrolled: number }>(sql, ENROL_CHUNK, [leads]);
  return row === undefined ? null : { flowNo: row.flow_no, tenantId: row.tenant_id, last: row.last, enrolled: row.enrolled };
}

export interface CandidateAsk {
  readonly deviceId: string;
  readonly flowNo: number;
  readonly room: number;
}
export interface Candidate {
  readonly deviceId: string;
  readonly flowNo: number;
  readonly leadNo: number;
  readonly step: number;
  /** which text: place in the flow's variants, from 1; null: that of the step */
  readonly variant: number | null;
  readonly phone: string | null;
  readonly lid: string | null;
  readonly name: string | null;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** 0 or less: due */
  readonly notDueMs: number;
}

/** The first enrolments of each pair by due time, due or not (flow-candidates.sql). */
export async function flowCandidates(sql: SqlRunner, asks: readonly CandidateAsk[]): Promise<readonly Candidate[]> {
  if (asks.length === 0) return [];
  const rows = await query<{
    device_id: string;
    flow_no: number;
    lead_no: number;
    step: number;
    variant: number | null;
    phone: string | null;
    lid: string | null;
    name: string | null;
    attributes: Readonly<Record<string, unknown>>;
    not_due_ms: number;
  }>(sql, CANDIDATES, [column(asks, (ask) => ask.deviceId), column(asks, (ask) => ask.flowNo), column(asks, (ask) => ask.room)]);
  return rows.map((row) => ({
    deviceId: row.device_id,
    flowNo: row.flow_no,
    leadNo: row.lead_no,
    step: row.step,
    variant: row.variant,
    phone: row.phone,
    lid: row.lid,
    name: row.name,
    attributes: row.attributes,
    notDueMs: row.not_due_ms,
  }));
}

export interface PlanItem {
  readonly flowNo: number;
  readonly leadNo: number;
  readonly step: number;
  readonly messageId: string;
  readonly tenantId: string;
  readonly deviceId: string;
  readonly epoch: number;
  readonly lane: Lane;
  readonly recipient: string;
  readonly recipientLid: string | null;
  readonly body: string;
}
/** `moved`: somebody else has planned it, the flow does not run any more, or the device has another owner. */
export type PlanOutcome = { readonly kind: 'planned'; readonly seq: number } | { readonly kind: 'suppressed' | 'moved' };

/** Ends enrolments that wait, where they still stand at that step. */
export async function endEnrolments(
  sql: SqlRunner,
  items: readonly { readonly flowNo: number; readonly leadNo: number; readonly step: number; readonly cause: string }[],
): Promise<void> {
  await query(sql, END, [
    column(items, (item) => item.flowNo),
    column(items, (item) => item.leadNo),
    column(items, (item) => item.step),
    column(items, (item) => item.cause),
  ]);
}

/** Makes the messages and moves their enrolments on, in one statement (plan-messages.sql). Outcomes stand in input order. */
export async function planMessages(sql: SqlRunner, items: readonly PlanItem[]): Promise<readonly PlanOutcome[]> {
  if (items.length === 0) return [];
  const rows = await query<{ outcome: PlanOutcome['kind']; seq: number | null }>(sql, PLAN, [
    column(items, (item) => item.flowNo),
    column(items, (item) => item.leadNo),
    column(items, (item) => item.step),
    column(items, (item) => item.messageId),
    column(items, (item) => item.tenantId),
    column(items, (item) => item.deviceId),
    column(items, (item) => item.epoch),
    column(items, (item) => item.lane),
    column(items, (item) => item.recipient),
    column(items, (item) => item.recipientLid),
    column(items, (item) => item.body),
  ]);
  assert(rows.length === items.length, 'planMessages: one outcome per item');
  return rows.map(({ outcome, seq }) => {
    if (outcome !== 'planned') return { kind: outcome };
    assert(seq !== null, 'planMessages: a planned message has a seq');
    return { kind: outcome, seq };
  });
}

/** A flow as its tenant sees it. */
export interface FlowRow {
  readonly no: number;
  readonly id: string;
  readonly tenantId: string;
  readonly kind: FlowKind;
  readonly name: string;
  readonly version: number;
  readonly state: FlowState;
  readonly lane: Lane;
  readonly audience: Audience | null;
  readonly deviceIds: readonly string[] | null;
  readonly hours: Hours | null;
  readonly steps: readonly FlowStep[];
  readonly enrolling: boolean;
  readonly enrolled: number;
  readonly nextFlowId: string | null;
  readonly rules: readonly FlowRule[];
  readonly reentry: Reentry;
  readonly pace: FlowPace | null;
  readonly perMinute: number | null;
  readonly staggerMs: number | null;
  readonly variants: readonly FlowVariant[];
  /** the version that takes leads in its place */
  readonly supersededBy: string | null;
  /** wall ms */
  readonly createdAt: number;
  readonly startAt: number | null;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
}

/** Newest first. `before`: number of the last one seen; `ids`: only these. */
export async function flowsPage(
  sql: SqlRunner,
  tenantId: string,
  kind: FlowKind | null,
  page: { readonly before: number | null; readonly limit: number; readonly ids?: readonly string[] },
): Promise<readonly FlowRow[]> {
  const rows = await query<{
    no: number;
    id: string;
    tenant_id: string;
    kind: FlowKind;
    name: string;
    version: number;
    state: FlowState;
    lane: Lane;
    audience: Audience | null;
    device_ids: readonly string[] | null;
    hours: Hours | null;
    steps: readonly FlowStep[];
    enrolling: boolean;
    enrolled: number;
    next_flow_id: string | null;
    rules: readonly FlowRule[];
    reentry: Reentry['rule'];
    reentry_days: number | null;
    superseded_by: string | null;
    pace_min_ms: number | null;
    pace_max_ms: number | null;
    per_minute: number | null;
    stagger_ms: number | null;
    variants: readonly FlowVariant[];
    created_at: number;
    start_at: number | null;
    started_at: number | null;
    ended_at: number | null;
  }>(sql, PAGE, [tenantId, kind, page.before, page.limit, page.ids === undefined ? null : arrayLiteral(page.ids)]);
  return rows.map((row) => ({
    no: row.no,
    id: row.id,
    tenantId: row.tenant_id,
    kind: row.kind,
    name: row.name,
    version: row.version,
    state: row.state,
    lane: row.lane,
    audience: row.audience,
    deviceIds: row.device_ids,
    hours: row.hours,
    steps: row.steps,
    enrolling: row.enrolling,
    enrolled: row.enrolled,
    nextFlowId: row.next_flow_id,
    rules: row.rules,
    reentry: row.reentry === 'AFTER_DAYS' ? { rule: row.reentry, days: row.reentry_days ?? 1 } : { rule: row.reentry },
    supersededBy: row.superseded_by,
    pace: row.pace_min_ms === null || row.pace_max_ms === null ? null : { minMs: row.pace_min_ms, maxMs: row.pace_max_ms },
    perMinute: row.per_minute,
    staggerMs: row.stagger_ms,
    variants: row.variants,
    createdAt: row.created_at,
    startAt: row.start_at,
    startedAt: row.started_at,
    endedAt: row.ended_at,
  }));
}

export interface FlowPlace {
  readonly flowNo: number;
  /** WAITING, SENDING (its message is in the ledger) or why its enrolment ended: DONE, FAILED, DEAD, SUPPRESSED, CANCELLED, REPLIED, GOAL, STOPPED, NO_TEXT, NO_PHONE */
  readonly place: string;
  readonly leads: number;
}
export async function flowProgress(sql: SqlRunner, flowNos: readonly number[]): Promise<readonly FlowPlace[]> {
  const rows = await query<{ flow_no: number; place: string; leads: number }>(sql, PROGRESS, [arrayLiteral(flowNos)]);
  return rows.map((row) => ({ flowNo: row.flow_no, place: row.place, leads: row.leads }));
}
