import { readAsset } from '../../ops/lifecycle/index.ts';
import { addDurations } from '../domain/index.ts';
import { arrayLiteral, column, query, type SqlRunner } from './statement.ts';

/** Traffic of the fleet as it is counted by nodes and gateways, and read as rates and history: never a scan of the ledger. */

const ADD_TRAFFIC = readAsset(import.meta.url, './add-traffic.sql');
const FLEET_HISTORY = readAsset(import.meta.url, './fleet-history.sql');
const FLEET_SAMPLES = readAsset(import.meta.url, './fleet-samples.sql');
const SAMPLE_FLEETS = readAsset(import.meta.url, './sample-fleets.sql');
const TRIM_HISTORY = readAsset(import.meta.url, './trim-history.sql');

/** Length of a traffic bucket, ms. */
export const TRAFFIC_BUCKET_MS = 10_000;
/** Steps of the history, s. */
export const HISTORY_GRAINS = [60, 3600] as const;
export type HistoryGrain = (typeof HISTORY_GRAINS)[number];

interface Counts {
  readonly sent: number;
  readonly delivered: number;
  readonly failed: number;
  readonly accepted?: number;
  /** counts by duration class: from the intent to the recorded outcome */
  readonly processing?: readonly number[];
  /** counts by duration class: from the acceptance to the provider's word */
  readonly latency?: readonly number[];
}
export interface TrafficRow extends Counts {
  readonly tenantId: string;
  /** start of the bucket, wall ms, a multiple of TRAFFIC_BUCKET_MS */
  readonly bucketMs: number;
  /** the node or gateway that counted */
  readonly node: string;
}

/** Adds up two sets of counts. */
export function addCounts(a: Counts, b: Counts): Required<Counts> {
  return {
    accepted: (a.accepted ?? 0) + (b.accepted ?? 0),
    sent: a.sent + b.sent,
    delivered: a.delivered + b.delivered,
    failed: a.failed + b.failed,
    processing: addDurations(a.processing ?? [], b.processing ?? []),
    latency: addDurations(a.latency ?? [], b.latency ?? []),
  };
}

type HistoryRow = Required<Counts> & {
  readonly tenantId: string;
  readonly node: string;
  readonly grain: HistoryGrain;
  readonly startMs: number;
};
const NOTHING: Counts = { sent: 0, delivered: 0, failed: 0 };

/** The minutes and hours that the buckets belong to. */
function historyOf(rows: readonly TrafficRow[]): HistoryRow[] {
  const steps = new Map<string, HistoryRow>();
  for (const row of rows) {
    for (const grain of HISTORY_GRAINS) {
      const startMs = row.bucketMs - (row.bucketMs % (grain * 1000));
      const key = `${row.tenantId} ${grain} ${startMs} ${row.node}`;
      const known = steps.get(key);
      steps.set(key, { ...addCounts(known ?? NOTHING, row), tenantId: row.tenantId, node: row.node, grain, startMs });
    }
  }
  return [...steps.values()];
}

/** Adds counts; a (tenant, bucket, node) stands at most once in a batch. Not safe to repeat: a repeat counts twice. */
export async function addTraffic(sql: SqlRunner, rows: readonly TrafficRow[]): Promise<void> {
  if (rows.length === 0) return;
  const buckets = rows.filter((row) => row.sent + row.delivered + row.failed > 0);
  const history = historyOf(rows);
  await query(sql, ADD_TRAFFIC, [
    column(buckets, (row) => row.tenantId),
    column(buckets, (row) => row.bucketMs),
    column(buckets, (row) => row.node),
    column(buckets, (row) => row.sent),
    column(buckets, (row) => row.delivered),
    column(buckets, (row) => row.failed),
    column(history, (row) => row.tenantId),
    column(history, (row) => row.grain),
    column(history, (row) => row.startMs),
    column(history, (row) => row.node),
    column(history, (row) => row.accepted),
    column(history, (row) => row.sent),
    column(history, (row) => row.delivered),
    column(history, (row) => row.failed),
    column(history, (row) => arrayLiteral(row.processing)),
    column(history, (row) => arrayLiteral(row.latency)),
  ]);
}

export type HistoryPoint = Required<Counts> & {
  /** wall ms */
  readonly startMs: number;
  /** the most that was queued in the step; null = no sample was taken in it */
  readonly backlog: number | null;
};

const countsOf = (text: string): number[] => (text === '' ? [] : text.split(',').map(Number));

/** What a tenant's fleet did since `fromMs` (a multiple of the grain), all writers together; steps in which nothing happened are left out. */
export async function fleetHistory(
  sql: SqlRunner,
  tenantId: string,
  grain: HistoryGrain,
  fromMs: number,
): Promise<readonly HistoryPoint[]> {
  const [rows, samples] = await Promise.all([
    query<{ start: number; accepted: number; sent: number; delivered: number; failed: number; processing: string; latency: string }>(
      sql,
      FLEET_HISTORY,
      [tenantId, grain, fromMs],
    ),
    query<{ start: number; backlog: number }>(sql, FLEET_SAMPLES, [tenantId, grain, fromMs]),
  ]);
  const points = new Map<number, HistoryPoint>();
  const pointAt = (startMs: number): HistoryPoint => points.get(startMs) ?? { ...addCounts(NOTHING, NOTHING), startMs, backlog: null };
  for (const row of rows) {
    const counts = { ...row, processing: countsOf(row.processing), latency: countsOf(row.latency) };
    const { startMs, backlog, ...known } = pointAt(row.start);
    points.set(row.start, { ...addCounts(known, counts), startMs, backlog });
  }
  for (const { start, backlog } of samples) points.set(start, { ...pointAt(start), backlog });
  return [...points.values()].sort((a, b) => a.startMs - b.startMs);
}

/** Writes down devices and backlog of every tenant for the present minute, if nobody has yet; returns how many tenants that were. */
export async function sampleFleets(sql: SqlRunner): Promise<number> {
  return (await query<{ tenant_id: string }>(sql, SAMPLE_FLEETS, [])).length;
}

/** Forgets what is older than the history shows. */
export async function trimHistory(sql: SqlRunner): Promise<void> {
  await query(sql, TRIM_HISTORY, []);
}
