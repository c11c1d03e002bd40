import { readAsset } from '../../ops/lifecycle/index.ts';
import { type PairingRequest, partitionOf, type TransportKind } from '../domain/index.ts';
import { arrayLiteral, bytea, column, type Parameter, query, type SqlRunner } from './statement.ts';
import type { DeviceRow } from './types.ts';

const sqlFile = (name: string): string => readAsset(import.meta.url, `./${name}.sql`);
const LOAD_DEVICES = sqlFile('load-devices');
const TENANT_DEVICES = sqlFile('tenant-devices');
const DEVICES_PAGE = sqlFile('devices-page');
const DEVICE_MARKS = sqlFile('device-marks');
const CHANGED_DEVICES = sqlFile('changed-devices');
const ALL_DEVICES = sqlFile('all-devices');
const CREATE_DEVICES = sqlFile('create-devices');
const UPDATE_DEVICE = sqlFile('update-device');
const SET_PAUSED = sqlFile('set-paused');
const SET_QUARANTINE = sqlFile('set-quarantine');
const RELEASE_DEVICE = sqlFile('release-device');
const SET_PAIRED = sqlFile('set-paired');
const REQUEST_PAIRING = sqlFile('request-pairing');
const SET_LINK_TOKEN = sqlFile('set-link-token');
const DELETE_DEVICE = sqlFile('delete-device');
const UNLINK_DEVICE = sqlFile('unlink-device');

interface Row {
  readonly id: string;
  readonly tenant_id: string;
  readonly partition: number;
  readonly name: string;
  readonly phone: string | null;
  readonly transport: TransportKind;
  readonly paired: boolean;
  readonly paused: boolean;
  readonly pause_reason: string | null;
  readonly quarantined: boolean;
  readonly quarantine_reason: string | null;
  readonly pace_min_ms: number;
  readonly pace_max_ms: number;
  readonly daily_cap: number | null;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly created_at: number;
  readonly changed_at: number;
  readonly deleted: boolean;
}

const deviceOf = (row: Row): DeviceRow => ({
  id: row.id,
  tenantId: row.tenant_id,
  partition: row.partition,
  name: row.name,
  phone: row.phone,
  transport: row.transport,
  paired: row.paired,
  paused: row.paused,
  pauseReason: row.pause_reason,
  quarantined: row.quarantined,
  quarantineReason: row.quarantine_reason,
  paceMinMs: row.pace_min_ms,
  paceMaxMs: row.pace_max_ms,
  dailyCap: row.daily_cap,
  settings: row.settings,
  createdAt: row.created_at,
  changedAt: row.changed_at,
  deleted: row.deleted,
});

async function many(sql: SqlRunner, text: string, parameters: readonly Parameter[]): Promise<readonly DeviceRow[]> {
  return (await query<Row>(sql, text, parameters)).map(deviceOf);
}

async function one(sql: SqlRunner, text: string, parameters: readonly Parameter[]): Promise<DeviceRow | null> {
  return (await many(sql, text, parameters))[0] ?? null;
}

/** Devices by id, deleted ones too. For the runtime only: it does not ask whose they are. */
export async function loadDevices(sql: SqlRunner, ids: readonly string[]): Promise<readonly DeviceRow[]> {
  return ids.length === 0 ? [] : await many(sql, LOAD_DEVICES, [arrayLiteral(ids)]);
}

/** Devices of one tenant by id, in id order; unknown and foreign ids are left out, deleted ones too unless they are asked for. */
export async function tenantDevices(
  sql: SqlRunner,
  tenantId: string,
  ids: readonly string[],
  options: { readonly deleted: boolean } = { deleted: false },
): Promise<readonly DeviceRow[]> {
  return ids.length === 0 ? [] : await many(sql, TENANT_DEVICES, [tenantId, arrayLiteral(ids), options.deleted]);
}

/** A page of a tenant's devices in id order; the cursor is the last id. */
export async function devicesPage(sql: SqlRunner, tenantId: string, after: string | null, limit: number): Promise<readonly DeviceRow[]> {
  return await many(sql, DEVICES_PAGE, [tenantId, after, limit]);
}

/** As much of a device as tells whether a filter fits. */
export interface DeviceMark {
  readonly id: string;
  readonly paused: boolean;
  readonly quarantined: boolean;
  /** '' unless asked for */
  readonly name: string;
}

/**
 * Looks at the next `look` devices of a tenant in id order.
 * @returns those on `transport` (null = any), with their names when `name` is given, and without most of those whose name does not contain it; `until`: the last id looked at, null = there are no more
 */
export async function deviceMarks(
  sql: SqlRunner,
  tenantId: string,
  {
    after,
    transport,
    name,
    look,
  }: { readonly after: string | null; readonly transport: TransportKind | null; readonly name: string | null; readonly look: number },
): Promise<{ readonly marks: readonly DeviceMark[]; readonly until: string | null }> {
  const [row] = await query<{ marks: string | null; names: string | null; until: string | null }>(sql, DEVICE_MARKS, [
    tenantId,
    after,
    transport,
    name,
    look,
  ]);
  if (row === undefined || row.marks === null) return { marks: [], until: row?.until ?? null };
  const called = row.names === null ? [] : (JSON.parse(row.names) as string[]);
  const marks = row.marks.split(',').map((mark, at): DeviceMark => {
    const flag = mark[0];
    return { id: mark.slice(1), paused: flag === 'p', quarantined: flag === 'q', name: called[at] ?? '' };
  });
  return { marks, until: row.until };
}

/** Devices whose row changed at or after `sinceWallMs` by the database's clock, deleted ones too. Overlap calls by some seconds. */
export async function changedDevices(sql: SqlRunner, sinceWallMs: number): Promise<readonly DeviceRow[]> {
  return await many(sql, CHANGED_DEVICES, [sinceWallMs]);
}

/** The node that a device is to be on, if somebody said so (moveDevice); kept in its settings as `node`. */
export function pinOf(settings: Readonly<Record<string, unknown>>): string | null {
  const node = settings['node'];
  return typeof node === 'string' ? node : null;
}

/** Every device that is not deleted, for placement. */
export async function allDevices(
  sql: SqlRunner,
): Promise<readonly { readonly id: string; readonly partition: number; readonly pin: string | null }[]> {
  return await query<{ id: string; partition: number; pin: string | null }>(sql, ALL_DEVICES, []);
}

export interface NewDevice {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly transport: TransportKind;
  /** E.164 */
  readonly phone?: string | null;
  /** default: true for simulator and link, which have nothing to pair */
  readonly paired?: boolean;
  readonly paceMinMs?: number;
  readonly paceMaxMs?: number;
  readonly dailyCap?: number | null;
  /** SHA-256 of the link token */
  readonly linkTokenHash?: Uint8Array | null;
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** Makes devices, each with its ownership row and lane counters; those whose name the tenant already uses are missing from the result. */
export async function createDevices(sql: SqlRunner, devices: readonly NewDevice[]): Promise<readonly DeviceRow[]> {
  if (devices.length === 0) return [];
  return await many(sql, CREATE_DEVICES, [
    column(devices, (device) => device.id),
    column(devices, (device) => device.tenantId),
    column(devices, (device) => partitionOf(device.id)),
    column(devices, (device) => device.name),
    column(devices, (device) => device.phone ?? null),
    column(devices, (device) => device.transport),
    column(devices, (device) => device.paired ?? device.transport !== 'whatsapp'),
    column(devices, (device) => device.paceMinMs ?? 5000),
    column(devices, (device) => device.paceMaxMs ?? Math.max(15000, device.paceMinMs ?? 0)),
    column(devices, (device) => device.dailyCap ?? null),
    column(devices, (device) => device.linkTokenHash ?? null),
    column(devices, (device) => JSON.stringify(device.settings ?? {})),
  ]);
}

/** Makes one device; null when the tenant already uses its name. */
export async function createDevice(sql: SqlRunner, device: NewDevice): Promise<DeviceRow | null> {
  return (await createDevices(sql, [device]))[0] ?? null;
}

export interface DevicePatch {
  readonly name?: string;
  readonly paceMinMs?: number;
  readonly paceMaxMs?: number;
  /** null takes the cap away */
  readonly dailyCap?: number | null;
  /** merged into what is there, key by key */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** Changes a device; null when there is none. @throws unique_violation (23505) when the name is taken, check_violation (23514) when pace is wrong */
export async function updateDevice(sql: SqlRunner, tenantId: string, deviceId: string, patch: DevicePatch): Promise<DeviceRow | null> {
  return await one(sql, UPDATE_DEVICE, [
    tenantId,
    deviceId,
    patch.name ?? null,
    patch.paceMinMs ?? null,
    patch.paceMaxMs ?? null,
    patch.dailyCap !== undefined,
    patch.dailyCap ?? null,
    patch.settings === undefined ? null : JSON.stringify(patch.settings),
  ]);
}

/** Asks the owner to pair the device; null when there is no such WhatsApp device (of this tenant) or it is paired already. */
export async function requestPairing(
  sql: SqlRunner,
  deviceId: string,
  tenantId: string | null,
  request: PairingRequest,
): Promise<DeviceRow | null> {
  return await one(sql, REQUEST_PAIRING, [deviceId, tenantId, JSON.stringify(request)]);
}

/** Pauses or resumes a device; null when there is none. */
export async function setPaused(
  sql: SqlRunner,
  tenantId: string,
  deviceId: string,
  paused: boolean,
  reason: string | null = null,
): Promise<DeviceRow | null> {
  return await one(sql, SET_PAUSED, [tenantId, deviceId, paused, reason]);
}

/** Quarantines a device; null when it is already, or is gone. */
export async function setQuarantine(sql: SqlRunner, deviceId: string, reason: string): Promise<DeviceRow | null> {
  return await one(sql, SET_QUARANTINE, [deviceId, reason]);
}

/** Gives a quarantined device back, its crash count cleared; null when it is not quarantined or there is none. */
export async function releaseDevice(sql: SqlRunner, tenantId: string, deviceId: string): Promise<DeviceRow | null> {
  return await one(sql, RELEASE_DEVICE, [tenantId, deviceId]);
}

/** Notes whether a device is paired; a null phone leaves the number as it is. Null when there is no such device, and for WhatsApp devices: their transport notes it. */
export async function setPaired(sql: SqlRunner, deviceId: string, paired: boolean, phone: string | null = null): Promise<DeviceRow | null> {
  return await one(sql, SET_PAIRED, [deviceId, paired, phone]);
}

/** Gives a device a new link token (its SHA-256), or none; null when there is no such device. */
export async function setLinkToken(sql: SqlRunner, tenantId: string, deviceId: string, hash: Uint8Array | null): Promise<DeviceRow | null> {
  return await one(sql, SET_LINK_TOKEN, [tenantId, deviceId, hash === null ? null : bytea(hash)]);
}

/** Marks a device deleted; its name can be used again, its ledger stays. */
export async function deleteDevice(sql: SqlRunner, tenantId: string, deviceId: string): Promise<DeviceRow | null> {
  return await one(sql, DELETE_DEVICE, [tenantId, deviceId]);
}

/** Takes a device's session and link token away and fences its present owner; null when there is no such device. */
export async function unlinkDevice(sql: SqlRunner, tenantId: string, deviceId: string, nowMs: number): Promise<DeviceRow | null> {
  return await one(sql, UNLINK_DEVICE, [tenantId, deviceId, nowMs]);
}
