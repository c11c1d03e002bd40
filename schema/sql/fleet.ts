import { readAsset } from '../../ops/lifecycle/index.ts';
import type { NodeState } from '../domain/index.ts';
import { query, type SqlRunner } from './statement.ts';

/** Figures of the fleet and the registry of nodes. */

const FLEET_TOTALS = readAsset(import.meta.url, './fleet-totals.sql');
const COUNT_FLEET = readAsset(import.meta.url, './count-fleet.sql');
const UPSERT_NODE = readAsset(import.meta.url, './upsert-node.sql');
const LIST_NODES = readAsset(import.meta.url, './list-nodes.sql');
const DRAIN_NODE = readAsset(import.meta.url, './drain-node.sql');
const UNDRAIN_NODE = readAsset(import.meta.url, './undrain-node.sql');

export interface FleetCount {
  readonly devices: number;
  /** accepted and not ended, scheduled messages among them */
  readonly backlog: number;
}
export interface FleetTotals extends FleetCount {
  /** of the last 60 s, from buckets of 10 s */
  readonly sentPerMinute: number;
  readonly failedPerMinute: number;
}
export interface KeptTotals extends Omit<FleetTotals, keyof FleetCount> {
  /** the last count of a large fleet; null = this one is counted in no time */
  readonly kept: (FleetCount & { readonly ageMs: number; readonly tookMs: number }) | null;
}

/** What is kept of a tenant's fleet: one row and a minute of traffic, however many devices there are. */
export async function fleetTotals(sql: SqlRunner, tenantId: string, nowMs: number): Promise<KeptTotals> {
  const [row] = await query<{
    devices: number | null;
    backlog: number | null;
    age_ms: number | null;
    took_ms: number | null;
    sent: number;
    failed: number;
  }>(sql, FLEET_TOTALS, [tenantId, nowMs]);
  if (row === undefined) throw new Error('fleet-totals.sql gave no row');
  const { devices, backlog, age_ms: ageMs, took_ms: tookMs, sent, failed } = row;
  const kept = devices === null || backlog === null || ageMs === null || tookMs === null ? null : { devices, backlog, ageMs, tookMs };
  return { kept, sentPerMinute: sent, failedPerMinute: failed };
}

/** A count that takes this long is kept (guess: what a busy API can spend on each question). */
export const KEEP_COUNT_MS = 5;

/** Counts a tenant's fleet from counters, and keeps it when that took long. Null: somebody else is counting it, and there is something kept. */
export async function countFleet(sql: SqlRunner, tenantId: string, keepMs: number = KEEP_COUNT_MS): Promise<FleetCount | null> {
  const [row] = await query<{ devices: number; backlog: number }>(sql, COUNT_FLEET, [tenantId, keepMs]);
  return row === undefined ? null : { devices: row.devices, backlog: row.backlog };
}

export interface NodeRow {
  readonly id: string;
  readonly state: NodeState;
  readonly version: string;
  readonly host: string;
  readonly capacity: number;
  readonly devices: number;
  /** wall ms by Postgres */
  readonly startedAt: number;
  readonly seenAt: number;
  /** since it last said that it lives */
  readonly silentMs: number;
}

/** What a node says of itself; `instance` is random per process. */
export interface NodeReport extends Pick<NodeRow, 'id' | 'state' | 'version' | 'host' | 'capacity' | 'devices'> {
  readonly instance: string;
}

/** Writes what a node says of itself; answers what is wanted of it. */
export async function upsertNode(sql: SqlRunner, node: NodeReport): Promise<{ readonly drain: boolean }> {
  const { id, state, version, host, capacity, devices, instance } = node;
  const [row] = await query<{ drain: boolean }>(sql, UPSERT_NODE, [id, state, version, host, capacity, devices, instance]);
  return { drain: row?.drain ?? false };
}

/** Wishes that a node hands over its devices and takes no more; it learns of it with its next report at the latest. */
export async function drainNode(sql: SqlRunner, nodeId: string): Promise<'wished' | 'not-found' | 'last'> {
  const [row] = await query<{ living: boolean; others: number; wished: boolean }>(sql, DRAIN_NODE, [nodeId]);
  if (row?.living !== true) return 'not-found';
  return row.wished ? 'wished' : 'last';
}

/** Takes that wish back: the node takes devices again. False: no living node has this name. */
export async function undrainNode(sql: SqlRunner, nodeId: string): Promise<boolean> {
  return (await query<{ id: string }>(sql, UNDRAIN_NODE, [nodeId])).length === 1;
}

/** Nodes seen within a day, newest word first. */
export async function listNodes(sql: SqlRunner): Promise<readonly NodeRow[]> {
  const rows = await query<{
    id: string;
    state: NodeState;
    version: string;
    host: string;
    capacity: number;
    devices: number;
    started_at: number;
    seen_at: number;
    silent_ms: number;
  }>(sql, LIST_NODES, []);
  return rows.map(({ started_at, seen_at, silent_ms, ...row }) => ({
    ...row,
    startedAt: started_at,
    seenAt: seen_at,
    silentMs: silent_ms,
  }));
}
