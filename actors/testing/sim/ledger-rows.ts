import { ENDED_STATES, LANES, type Lane, MESSAGE_RANK, type MessageState } from '../../../schema/domain/index.ts';
import type { DeviceRow } from '../../../schema/sql/index.ts';

/** The tables of the simulated Postgres. Times are wall ms of the server. */
export interface OwnershipRowModel {
  readonly deviceId: string;
  epoch: number;
  node: string | null;
  crashes: number;
  lastMessageId: string | null;
  nextSendAt: number;
  day: number;
  daySent: number;
  ended: number;
}
export interface MessageRowModel {
  readonly id: string;
  readonly tenantId: string;
  readonly deviceId: string;
  readonly lane: Lane;
  seq: number | null;
  state: MessageState;
  attempt: number;
  budgetFrom: number;
  epoch: number | null;
  node: string | null;
  readonly recipient: string;
  readonly body: string;
  dueAt: number;
  readonly createdAt: number;
  intentAt: number | null;
  endedAt: number | null;
  cause: string | null;
  lastError: string | null;
  readonly traceparent: string | null;
}
export interface LaneCounter {
  nextSeq: number;
  accepted: number;
}
export interface DeadLetter {
  readonly messageId: string;
  redriven: boolean;
}

export interface Tables {
  readonly devices: Map<string, DeviceRow>;
  readonly ownership: Map<string, OwnershipRowModel>;
  /** by device, in the order of LANES */
  readonly lanes: Map<string, readonly LaneCounter[]>;
  readonly messages: Map<string, MessageRowModel>;
  /** open messages with a seq, per device and lane, by seq */
  readonly open: Map<string, readonly MessageRowModel[][]>;
  /** messages in SENDING, WRITTEN or UNKNOWN */
  readonly inFlight: Map<string, Set<MessageRowModel>>;
  /** QUEUED without a seq */
  readonly waiting: Set<MessageRowModel>;
  readonly letters: Map<string, DeadLetter>;
  readonly suppressed: Set<string>;
  /** tenant and key -> message and content */
  readonly keys: Map<string, { readonly messageId: string; readonly content: string }>;
  maxBacklog: number;
}

export const rankOf = (state: MessageState): number => MESSAGE_RANK[state];
export const IN_FLIGHT: ReadonlySet<MessageState> = new Set<MessageState>(['SENDING', 'WRITTEN', 'UNKNOWN']);
export const isOpen = (state: MessageState): boolean => !ENDED_STATES.has(state);
export const laneNumber = (lane: Lane): number => LANES.indexOf(lane);

export function createTables(): Tables {
  return {
    devices: new Map(),
    ownership: new Map(),
    lanes: new Map(),
    messages: new Map(),
    open: new Map(),
    inFlight: new Map(),
    waiting: new Set(),
    letters: new Map(),
    suppressed: new Set(),
    keys: new Map(),
    maxBacklog: 1_000_000,
  };
}

/** One device as `createDevices` makes it. */
export function addDevice(tables: Tables, row: DeviceRow): void {
  const { id } = row;
  tables.devices.set(id, row);
  tables.ownership.set(id, {
    deviceId: id,
    epoch: 0,
    node: null,
    crashes: 0,
    lastMessageId: null,
    nextSendAt: Number.NEGATIVE_INFINITY,
    day: -1,
    daySent: 0,
    ended: 0,
  });
  tables.lanes.set(
    id,
    LANES.map(() => ({ nextSeq: 1, accepted: 0 })),
  );
  tables.open.set(
    id,
    LANES.map(() => []),
  );
  tables.inFlight.set(id, new Set());
}

/** Moves a message to a state and a seq, and keeps the indexes. */
export function place(tables: Tables, row: MessageRowModel, state: MessageState, seq: number | null = row.seq): void {
  const lane = tables.open.get(row.deviceId)?.[laneNumber(row.lane)];
  const flight = tables.inFlight.get(row.deviceId);
  const stood = tables.messages.has(row.id) && isOpen(row.state) && row.seq !== null;
  const stands = isOpen(state) && seq !== null;
  if (lane !== undefined && stood && (!stands || seq !== row.seq)) {
    const at = lane.indexOf(row);
    if (at >= 0) lane.splice(at, 1);
  }
  if (lane !== undefined && stands && (!stood || seq !== row.seq)) {
    let at = lane.length;
    while (at > 0 && ((lane[at - 1] as MessageRowModel).seq ?? 0) > seq) at -= 1;
    lane.splice(at, 0, row);
  }
  row.state = state;
  row.seq = seq;
  tables.messages.set(row.id, row);
  if (IN_FLIGHT.has(state)) flight?.add(row);
  else flight?.delete(row);
  if (state === 'QUEUED' && seq === null) tables.waiting.add(row);
  else tables.waiting.delete(row);
}

/** Writes a device's row anew, as every change of it does; null when there is none. */
export function changeDevice(tables: Tables, deviceId: string, change: Partial<DeviceRow>, now: number): DeviceRow | null {
  const row = tables.devices.get(deviceId);
  if (row === undefined || row.deleted) return null;
  const next = { ...row, ...change, changedAt: Math.floor(now) };
  tables.devices.set(deviceId, next);
  return next;
}
