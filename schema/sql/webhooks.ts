import { readAsset } from '../../ops/lifecycle/index.ts';
import type { WebhookEvent } from '../domain/index.ts';
import { arrayLiteral, bytea, column, query, type SqlRunner } from './statement.ts';

/** Webhooks, what is told to them, and what became of it. Events are written by triggers (migration of webhooks) and by `noteDeviceStates`. */

const sqlFile = (name: string): string => readAsset(import.meta.url, `./${name}.sql`);
const CREATE = sqlFile('create-webhook');
const UPDATE = sqlFile('update-webhook');
const DELETE = sqlFile('delete-webhook');
const PAGE = sqlFile('webhooks-page');
const DELIVERIES = sqlFile('webhook-deliveries-page');
const REPLAY = sqlFile('replay-webhook');
const CLAIM = sqlFile('claim-webhook-lanes');
const SETTLE = sqlFile('settle-webhook-lane');
const NOTE_DEVICES = sqlFile('note-device-states');
const DEVICE_TENANTS = sqlFile('webhook-device-tenants');

export interface WebhookRow {
  readonly id: string;
  readonly url: string;
  readonly events: readonly WebhookEvent[];
  readonly batch: number;
  /** sealed */
  readonly secret: Buffer;
  /** requests that failed since the last that was taken */
  readonly failures: number;
  readonly lastError: string | null;
  readonly disabledReason: string | null;
  /** wall ms */
  readonly disabledAt: number | null;
  readonly failingSince: number | null;
  readonly succeededAt: number | null;
  readonly createdAt: number;
  /** events not told yet, counted up to 10,000 */
  readonly waiting: number;
}

/** @returns false when the tenant has `most` of them */
export async function createWebhook(
  sql: SqlRunner,
  one: {
    readonly id: string;
    readonly tenantId: string;
    readonly url: string;
    readonly events: readonly WebhookEvent[];
    readonly secret: Uint8Array;
    readonly batch: number;
  },
  most: number,
): Promise<boolean> {
  const rows = await query<{ id: string }>(sql, CREATE, [
    one.id,
    one.tenantId,
    one.url,
    arrayLiteral(one.events),
    bytea(one.secret),
    one.batch,
    most,
  ]);
  return rows.length === 1;
}

export interface WebhookPatch {
  readonly url?: string;
  readonly events?: readonly WebhookEvent[];
  readonly batch?: number;
  readonly enabled?: boolean;
  /** sealed */
  readonly secret?: Uint8Array;
}

/** @returns false when the tenant has no such webhook. @param overlapMs how long the secret before goes on signing */
export async function updateWebhook(
  sql: SqlRunner,
  tenantId: string,
  id: string,
  patch: WebhookPatch,
  overlapMs: number,
): Promise<boolean> {
  const rows = await query<{ id: string }>(sql, UPDATE, [
    tenantId,
    id,
    patch.url ?? null,
    patch.events === undefined ? null : arrayLiteral(patch.events),
    patch.batch ?? null,
    patch.enabled ?? null,
    patch.secret === undefined ? null : bytea(patch.secret),
    overlapMs,
  ]);
  return rows.length === 1;
}

/** @returns false when the tenant has no such webhook */
export async function deleteWebhook(sql: SqlRunner, tenantId: string, id: string): Promise<boolean> {
  return (await query<{ id: string }>(sql, DELETE, [tenantId, id])).length === 1;
}

/** All of a tenant, or those of these ids; oldest first. */
export async function webhooksOf(sql: SqlRunner, tenantId: string, ids: readonly string[] | null): Promise<readonly WebhookRow[]> {
  const rows = await query<{
    id: string;
    url: string;
    events: readonly WebhookEvent[];
    batch: number;
    secret: Buffer;
    failures: number;
    last_error: string | null;
    disabled_reason: string | null;
    disabled_at: number | null;
    failing_since: number | null;
    succeeded_at: number | null;
    created_at: number;
    waiting: number;
  }>(sql, PAGE, [tenantId, ids === null ? null : arrayLiteral(ids)]);
  return rows.map((row) => ({
    id: row.id,
    url: row.url,
    events: row.events,
    batch: row.batch,
    secret: row.secret,
    failures: row.failures,
    lastError: row.last_error,
    disabledReason: row.disabled_reason,
    disabledAt: row.disabled_at,
    failingSince: row.failing_since,
    succeededAt: row.succeeded_at,
    createdAt: row.created_at,
    waiting: row.waiting,
  }));
}

export const DELIVERY_STATES = ['PENDING', 'DELIVERED', 'DEAD'] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];
export interface DeliveryRow {
  readonly no: number;
  readonly type: string;
  readonly messageId: string | null;
  readonly deviceId: string | null;
  readonly state: DeliveryState;
  readonly tries: number;
  /** HTTP status of the last answer */
  readonly status: number | null;
  readonly error: string | null;
  /** JSON */
  readonly detail: string;
  /** wall ms */
  readonly at: number;
  readonly endedAt: number | null;
}

/** Newest first. */
export async function webhookDeliveries(
  sql: SqlRunner,
  tenantId: string,
  webhookId: string,
  page: { readonly states: readonly DeliveryState[] | null; readonly before: number | null; readonly limit: number },
): Promise<readonly DeliveryRow[]> {
  const rows = await query<{
    no: number;
    type: string;
    message_id: string | null;
    device_id: string | null;
    state: DeliveryState;
    tries: number;
    status: number | null;
    error: string | null;
    detail: string;
    at: number;
    ended_at: number | null;
  }>(sql, DELIVERIES, [tenantId, webhookId, page.states === null ? null : arrayLiteral(page.states), page.before, page.limit]);
  return rows.map(({ message_id: messageId, device_id: deviceId, ended_at: endedAt, ...row }) => ({
    ...row,
    messageId,
    deviceId,
    endedAt,
  }));
}

export interface ReplayOrder {
  /** null: by states and time */
  readonly nos: readonly number[] | null;
  readonly states: readonly DeliveryState[];
  readonly since: number | null;
  readonly until: number | null;
  readonly limit: number;
}
/** @returns how many go out again */
export async function replayWebhook(sql: SqlRunner, tenantId: string, webhookId: string, order: ReplayOrder): Promise<number> {
  const rows = await query<{ no: number }>(sql, REPLAY, [
    tenantId,
    webhookId,
    order.nos === null ? null : arrayLiteral(order.nos),
    arrayLiteral(order.states),
    order.since,
    order.until,
    order.limit,
  ]);
  return rows.length;
}

/** One event as it is to be told, with what it is about as it is kept now: what was erased meanwhile is null. */
export interface DueEvent {
  readonly no: number;
  readonly type: WebhookEvent;
  readonly messageId: string | null;
  readonly deviceId: string | null;
  readonly inboundId: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly at: number;
  readonly recipient: string | null;
  readonly step: number | null;
  readonly deviceName: string | null;
  readonly sender: string | null;
  readonly body: string | null;
  readonly flow: { readonly id: string; readonly kind: 'CAMPAIGN' | 'SEQUENCE'; readonly name: string } | null;
}
export interface DueLane {
  readonly webhookId: string;
  readonly lane: number;
  readonly url: string;
  /** sealed */
  readonly secret: Buffer;
  readonly secretBefore: Buffer | null;
  /** requests of this lane that failed in a row */
  readonly failures: number;
  readonly tries: number;
  /** events that one request may carry */
  readonly batch: number;
  readonly events: readonly DueEvent[];
}

/** Takes lanes that have something to tell (claim-webhook-lanes.sql). They are the claimer's for `holdMs`. */
export async function claimWebhookLanes(
  sql: SqlRunner,
  claim: string,
  most: { readonly lanes: number; readonly failing: number; readonly holdMs: number },
): Promise<readonly DueLane[]> {
  const rows = await query<{
    webhook_id: string;
    lane: number;
    failures: number;
    no: number;
    type: WebhookEvent;
    message_id: string | null;
    device_id: string | null;
    inbound_id: string | null;
    detail: Readonly<Record<string, unknown>>;
    tries: number;
    at: number;
    url: string;
    batch: number;
    secret: Buffer;
    secret_before: Buffer | null;
    recipient: string | null;
    step: number | null;
    device_name: string | null;
    sender: string | null;
    body: string | null;
    flow_id: string | null;
    flow_kind: 'CAMPAIGN' | 'SEQUENCE';
    flow_name: string;
  }>(sql, CLAIM, [claim, most.lanes, most.failing, most.holdMs]);
  const lanes = new Map<string, DueLane & { events: DueEvent[] }>();
  for (const row of rows) {
    const key = `${row.webhook_id} ${row.lane}`;
    const lane = lanes.get(key) ?? {
      webhookId: row.webhook_id,
      lane: row.lane,
      url: row.url,
      secret: row.secret,
      secretBefore: row.secret_before,
      failures: row.failures,
      tries: row.tries,
      batch: row.batch,
      events: [],
    };
    lanes.set(key, lane);
    lane.events.push({
      no: row.no,
      type: row.type,
      messageId: row.message_id,
      deviceId: row.device_id,
      inboundId: row.inbound_id,
      detail: row.detail,
      at: row.at,
      recipient: row.recipient,
      step: row.step,
      deviceName: row.device_name,
      sender: row.sender,
      body: row.body,
      flow: row.flow_id === null ? null : { id: row.flow_id, kind: row.flow_kind, name: row.flow_name },
    });
  }
  return [...lanes.values()];
}

export interface Settled {
  readonly webhookId: string;
  readonly lane: number;
  readonly claim: string;
  readonly nos: readonly number[];
  readonly taken: boolean;
  readonly status: number | null;
  readonly error: string | null;
  /** until the lane's next request */
  readonly waitMs: number;
  /** the receiver says that it is gone for good */
  readonly gone: boolean;
}
export interface SettleRules {
  /** tries after which an event is DEAD */
  readonly tries: number;
  /** a webhook that has failed for so long is switched off */
  readonly disableAfterMs: number;
  /** id for an audit entry, should it be switched off */
  readonly auditId: string;
}

/** @returns null when the claim was lost; else how many events are DEAD now, and whether the webhook was switched off by this */
export async function settleWebhookLane(
  sql: SqlRunner,
  one: Settled,
  rules: SettleRules,
): Promise<{ readonly dead: number; readonly disabled: boolean } | null> {
  const [row] = await query<{ dead: number; disabled: boolean }>(sql, SETTLE, [
    one.webhookId,
    one.lane,
    one.claim,
    arrayLiteral(one.nos),
    one.taken,
    one.status,
    one.error,
    one.waitMs,
    rules.tries,
    one.gone,
    rules.disableAfterMs,
    rules.auditId,
  ]);
  return row ?? null;
}

export interface DeviceStateNote {
  readonly deviceId: string;
  readonly tenantId: string;
  readonly epoch: number;
  readonly version: number;
  readonly state: string;
  readonly reason: string | null;
  /** wall ms */
  readonly at: number;
}

/** Tells webhooks of devices whose state is another than was told last; a device stands once in a batch. @returns how many were told */
export async function noteDeviceStates(sql: SqlRunner, notes: readonly DeviceStateNote[]): Promise<number> {
  if (notes.length === 0) return 0;
  const rows = await query<{ no: number }>(sql, NOTE_DEVICES, [
    column(notes, (note) => note.deviceId),
    column(notes, (note) => note.tenantId),
    column(notes, (note) => note.epoch),
    column(notes, (note) => note.version),
    column(notes, (note) => note.state),
    column(notes, (note) => note.reason),
    column(notes, (note) => note.at),
  ]);
  return rows.length;
}

/** Tenants whose webhooks want to hear of devices. */
export async function webhookDeviceTenants(sql: SqlRunner): Promise<ReadonlySet<string>> {
  return new Set((await query<{ tenant_id: string }>(sql, DEVICE_TENANTS, [])).map((row) => row.tenant_id));
}
