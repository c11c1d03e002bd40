import type { Redis } from '../../ops/connect/index.ts';
import type { Clock, Dice } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { NodeState, ToGateway, ToNode } from '../../schema/domain/index.ts';
import type { OwnershipListener } from './port.ts';

export type Transfer = Extract<ToNode, { kind: 'lease.transfer' }>;
export type OwnershipMessage = 'lease.transfer' | 'node.drain' | 'device.move';

/** What ownership needs of the node's bus (actors/node `NodeBus` fits). Lossy: a transfer that is not heard of ends with the lease's TTL. */
export interface TransferBus {
  on<K extends OwnershipMessage>(kind: K, handler: (message: Extract<ToNode, { kind: K }>) => void): () => void;
  publish(channel: string, messages: readonly (ToNode | ToGateway)[]): void;
}

export interface OwnerRow {
  readonly deviceId: string;
  readonly epoch: number;
  readonly node: string | null;
}
export interface EpochPair {
  readonly deviceId: string;
  /** the epoch read before the lease was taken; the bump counts only where it still stands */
  readonly epoch: number;
  /** the last owner did not let go */
  readonly crash: boolean;
}
export interface NodeRow {
  readonly id: string;
  readonly state: NodeState;
  readonly version: string;
  readonly host: string;
  readonly capacity: number;
  readonly devices: number;
  /** random per process */
  readonly instance: string;
}
export interface DeviceChange {
  readonly deviceId: string;
  /** deleted: nobody may own it. A quarantined device stays owned; its owner keeps it still and shows why. */
  readonly gone: boolean;
  /** the node it is to be on, if somebody said so */
  readonly pin: string | null;
  /** wall ms of the change, by Postgres */
  readonly changedAt: number;
}

/** What ownership needs of Postgres; each is one statement. `createOwnershipLedger(sql)` is the real one. */
export interface OwnershipLedger {
  /** every device that may be owned, and the node it is to be on if somebody said so */
  devices(): Promise<readonly { readonly deviceId: string; readonly pin: string | null }[]>;
  /** devices whose row changed at or after this wall time (ms, as Postgres counts it) */
  changed(sinceMs: number): Promise<readonly DeviceChange[]>;
  owners(deviceIds: readonly string[]): Promise<readonly OwnerRow[]>;
  /** compare-and-bump: returns the new epochs of those that still had the epoch given */
  bump(
    pairs: readonly EpochPair[],
    node: string,
  ): Promise<readonly { readonly deviceId: string; readonly epoch: number; readonly crashes: number }[]>;
  /** answers what is wanted of this node */
  saveNode(row: NodeRow): Promise<{ readonly drain: boolean }>;
}

export interface OwnershipDeps {
  /** role 'lease' on REDIS_URL: generations, fences and the node registry live here */
  readonly redis: Redis;
  /** role 'lease', one client per lock master: 1, 3 or 5. `[redis]` (the same object) when LOCK_REDIS_URLS is empty */
  readonly lockMasters: readonly Redis[];
  readonly bus: TransferBus;
  readonly ledger: OwnershipLedger;
  readonly listener: OwnershipListener;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly telemetry: Telemetry;
  /** another process took this node's name while we ran: everything is already given up; end the process */
  fatal(error: Error): void;
}

export interface OwnershipOptions {
  readonly nodeId: string;
  readonly version: string;
  readonly host: string;
  /** NODE_CAPACITY */
  readonly capacity: number;
  /** LEASE_TTL_MS, LEASE_RENEW_MS, LEASE_SCAN_MS, LEASE_MARGIN_MS */
  readonly ttlMs: number;
  readonly renewMs: number;
  readonly scanMs: number;
  readonly marginMs: number;
  /** tests only; see ownership.ts for the defaults */
  readonly tuning?: Partial<Tuning>;
}

export interface Tuning {
  /** a device stays at least this long before it is moved for balance */
  readonly dwellMs: number;
  /** no moves for balance this long after nodes came or went */
  readonly pauseMs: number;
  /** longest wait for one device to settle before it is moved for balance */
  readonly settleMs: number;
  /** how long a target may take what an ending node hands it before it is told again; after the second time it is passed over */
  readonly confirmMs: number;
  /** most devices moved for balance per second */
  readonly movesPerSecond: number;
}
