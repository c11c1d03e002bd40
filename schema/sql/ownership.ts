import { readAsset } from '../../ops/lifecycle/index.ts';
import type { Lane, MessageState } from '../domain/index.ts';
import { arrayLiteral, column, query, type SqlRunner } from './statement.ts';
import type { OwnershipRow } from './types.ts';

const BY_DEVICE = readAsset(import.meta.url, './ownership-by-device.sql');
const BY_PARTITION = readAsset(import.meta.url, './ownership-by-partition.sql');
const BY_NODE = readAsset(import.meta.url, './ownership-by-node.sql');
const BUMP_EPOCHS = readAsset(import.meta.url, './bump-epochs.sql');
const RAISE_EPOCHS = readAsset(import.meta.url, './raise-epochs.sql');
const NOW = readAsset(import.meta.url, './now.sql');
const ADOPT = readAsset(import.meta.url, './adopt.sql');
const OVERDUE = readAsset(import.meta.url, './overdue.sql');
const LAST_ENDED = readAsset(import.meta.url, './last-ended.sql');

/** An ownership row with the crash takeovers in the middle of a turn since the last completed turn. */
export interface OwnershipState extends OwnershipRow {
  readonly crashes: number;
}

export type OwnershipFilter =
  | { readonly deviceIds: readonly string[] }
  | { readonly partitions: readonly number[] }
  | { readonly node: string };

/** Who owns what, as last committed, in device order. By partition and by node deleted devices are left out. */
export async function ownershipOf(sql: SqlRunner, filter: OwnershipFilter): Promise<readonly OwnershipState[]> {
  const [text, parameter] =
    'deviceIds' in filter
      ? [BY_DEVICE, arrayLiteral(filter.deviceIds)]
      : 'partitions' in filter
        ? [BY_PARTITION, arrayLiteral(filter.partitions)]
        : [BY_NODE, filter.node];
  const rows = await query<{ device_id: string; partition: number; epoch: number; node: string | null; crashes: number }>(sql, text, [
    parameter,
  ]);
  return rows.map((row) => ({ deviceId: row.device_id, partition: row.partition, epoch: row.epoch, node: row.node, crashes: row.crashes }));
}

export interface EpochPair {
  readonly deviceId: string;
  /** read before the lease was taken (bumpEpochs), or the owner's own (adopt) */
  readonly epoch: number;
}

/**
 * Mints new epochs: epoch + 1 for every pair that still holds. Devices that are missing from the result were won by another node.
 * With `crash` the takeover is counted against the device if it had a message in SENDING; `crashes` is the new count.
 */
export async function bumpEpochs(
  sql: SqlRunner,
  pairs: readonly (EpochPair & { readonly crash: boolean })[],
  node: string,
): Promise<readonly { readonly deviceId: string; readonly epoch: number; readonly crashes: number }[]> {
  if (pairs.length === 0) return [];
  const rows = await query<{ device_id: string; epoch: number; crashes: number }>(sql, BUMP_EPOCHS, [
    column(pairs, (pair) => pair.deviceId),
    column(pairs, (pair) => pair.epoch),
    column(pairs, (pair) => pair.crash),
    node,
  ]);
  return rows.map((row) => ({ deviceId: row.device_id, epoch: row.epoch, crashes: row.crashes }));
}

/** More ownerships than a device can have had since any backup: one a second for eleven days. */
export const EPOCH_LIFT = 1_000_000;

/**
 * To be run once after Postgres was restored from a backup, while no node runs (`npm run raise-epochs`): without it the fences in Redis, which
 * are newer than the restored epochs, would refuse every owner. Resolves with the number of devices.
 */
export async function raiseEpochs(sql: SqlRunner, by: number = EPOCH_LIFT): Promise<number> {
  const rows = await sql.unsafe(RAISE_EPOCHS, [by]);
  return rows.count;
}

/** The ledger's clock, unix ms. */
export async function ledgerNow(sql: SqlRunner): Promise<number> {
  const [row] = await query<{ now: number }>(sql, NOW, []);
  return row?.now ?? Number.NaN;
}

export interface InheritedMessage {
  readonly deviceId: string;
  readonly lane: Lane;
  readonly seq: number | null;
  readonly id: string;
  readonly tenantId: string;
  readonly state: MessageState;
  readonly attempt: number;
}

export interface Adoption {
  /** now UNKNOWN under the new epoch; `intentAt` is the wall ms of the attempt whose outcome is not known */
  readonly adopted: readonly (InheritedMessage & { readonly intentAt: number })[];
  /** the message of each device's last intent, where it has ended: to be published again */
  readonly ended: readonly (InheritedMessage & { readonly cause: string | null; readonly endedAt: number })[];
}

interface InheritedRow {
  readonly device_id: string;
  readonly lane: Lane;
  readonly seq: number | null;
  readonly id: string;
  readonly tenant_id: string;
  readonly state: MessageState;
  readonly attempt: number;
}

const inherited = (row: InheritedRow): InheritedMessage => ({
  deviceId: row.device_id,
  lane: row.lane,
  seq: row.seq,
  id: row.id,
  tenantId: row.tenant_id,
  state: row.state,
  attempt: row.attempt,
});

/** Takes over what the predecessors left in flight (adopt.sql), then reads what they may have committed without publishing. */
export async function adopt(sql: SqlRunner, pairs: readonly EpochPair[]): Promise<Adoption> {
  if (pairs.length === 0) return { adopted: [], ended: [] };
  const devices = column(pairs, (pair) => pair.deviceId);
  const adopted = await query<InheritedRow & { intent_at: number }>(sql, ADOPT, [devices, column(pairs, (pair) => pair.epoch)]);
  const ended = await query<InheritedRow & { cause: string | null; ended_at: number }>(sql, LAST_ENDED, [devices]);
  return {
    adopted: adopted.map((row) => ({ ...inherited(row), intentAt: row.intent_at })),
    ended: ended.map((row) => ({ ...inherited(row), cause: row.cause, endedAt: row.ended_at })),
  };
}

export interface OverdueAttempt {
  readonly id: string;
  readonly deviceId: string;
  readonly tenantId: string;
  /** epoch and number of the attempt whose outcome is not known */
  readonly epoch: number;
  readonly attempt: number;
}

/** Attempts of these devices that began more than `olderThanMs` ago by Postgres' clock and whose outcome is still open (overdue.sql). */
export async function overdue(sql: SqlRunner, deviceIds: readonly string[], olderThanMs: number): Promise<OverdueAttempt[]> {
  if (deviceIds.length === 0) return [];
  const rows = await query<{ id: string; device_id: string; tenant_id: string; epoch: number; attempt: number }>(sql, OVERDUE, [
    column(deviceIds, (id) => id),
    olderThanMs,
  ]);
  return rows.map((row) => ({ id: row.id, deviceId: row.device_id, tenantId: row.tenant_id, epoch: row.epoch, attempt: row.attempt }));
}
