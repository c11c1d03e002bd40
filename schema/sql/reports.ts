import { readAsset } from '../../ops/lifecycle/index.ts';
import { addDurations } from '../domain/index.ts';
import { arrayLiteral, query, type SqlRunner } from './statement.ts';

/**
 * Reports: what became of messages, by minute, hour and day. Counted in the transactions that change messages (trigger report_messages) and folded into
 * steps a little later; reading them never looks at the ledger.
 */

const sqlFile = (name: string): string => readAsset(import.meta.url, `./${name}.sql`);
const FOLD = sqlFile('fold-reports');
const STEPS = sqlFile('report-steps');
const CAUSES = sqlFile('report-causes');
const DEPTHS = sqlFile('report-depths');
const TRIM = sqlFile('trim-reports');

/** What a report is about. FLOW: a campaign or a sequence. */
export const REPORT_KINDS = ['FLEET', 'DEVICE', 'FLOW', 'NODE'] as const;
export type ReportKind = (typeof REPORT_KINDS)[number];
/** Steps, s. Days are those of UTC. */
export const REPORT_GRAINS = [60, 3600, 86_400] as const;
export type ReportGrain = (typeof REPORT_GRAINS)[number];
export const REPORT_OUTCOMES = ['FAILED', 'DEAD', 'CANCELLED', 'SUPPRESSED', 'RETRIED'] as const;
export type ReportOutcome = (typeof REPORT_OUTCOMES)[number];

export interface ReportCounts {
  readonly sent: number;
  readonly delivered: number;
  readonly read: number;
  readonly failed: number;
  readonly dead: number;
  readonly cancelled: number;
  readonly suppressed: number;
  /** attempts that failed and were made again */
  readonly retried: number;
  /** failed, dead, cancelled or suppressed before, and open again or proven sent now */
  readonly takenBack: number;
  /** counts by duration class: from the intent to the recorded outcome */
  readonly processing: readonly number[];
  /** counts by duration class: from the acceptance to the proof that it was sent */
  readonly latency: readonly number[];
}
export interface ReportStep extends ReportCounts {
  /** '' (the fleet), number of the device or flow, of a variant `variantSubject`, name of the node */
  readonly subject: string;
  /** wall ms */
  readonly startMs: number;
}
export const NO_COUNTS: ReportCounts = Object.freeze({
  sent: 0,
  delivered: 0,
  read: 0,
  failed: 0,
  dead: 0,
  cancelled: 0,
  suppressed: 0,
  retried: 0,
  takenBack: 0,
  processing: [],
  latency: [],
});

/** Adds up two sets of counts. Pure. */
export function addReportCounts(a: ReportCounts, b: ReportCounts): ReportCounts {
  return {
    sent: a.sent + b.sent,
    delivered: a.delivered + b.delivered,
    read: a.read + b.read,
    failed: a.failed + b.failed,
    dead: a.dead + b.dead,
    cancelled: a.cancelled + b.cancelled,
    suppressed: a.suppressed + b.suppressed,
    retried: a.retried + b.retried,
    takenBack: a.takenBack + b.takenBack,
    processing: addDurations(a.processing, b.processing),
    latency: addDurations(a.latency, b.latency),
  };
}

/** Which steps. */
export interface ReportAsk {
  readonly kind: ReportKind;
  /** null = every subject of the kind */
  readonly subject: string | null;
  readonly grain: ReportGrain;
  /** wall ms, the first step's start or before it */
  readonly fromMs: number;
  /** wall ms; steps that begin then or later are left out */
  readonly untilMs: number;
}

/** rows of report_events in one statement: some 25,000 messages at most */
const FOLD_CHUNK = 50;

/** Counts what was reported since the last time, at most `chunks` statements; returns how many rows that were. Safe from any number of processes. */
export async function foldReports(sql: SqlRunner, chunks = 1000): Promise<number> {
  let all = 0;
  for (let n = 0; n < chunks; n++) {
    const [row] = await query<{ folded: number }>(sql, FOLD, [FOLD_CHUNK]);
    const folded = row?.folded ?? 0;
    if (folded === 0) break;
    all += folded;
  }
  return all;
}

const countsOf = (text: string): number[] => (text === '' ? [] : text.split(',').map(Number));

/** A page of steps in the order of subject and start; steps in which nothing happened are left out. */
export async function reportSteps(
  sql: SqlRunner,
  tenantId: string,
  ask: ReportAsk,
  page: { readonly after: Pick<ReportStep, 'subject' | 'startMs'> | null; readonly limit: number },
): Promise<readonly ReportStep[]> {
  const { kind, subject, grain, fromMs, untilMs } = ask;
  const rows = await query<
    Omit<ReportStep, 'startMs' | 'takenBack' | 'processing' | 'latency'> & {
      readonly start: number;
      readonly taken_back: number;
      readonly processing: string;
      readonly latency: string;
    }
  >(sql, STEPS, [tenantId, kind, grain, subject, fromMs, untilMs, page.after?.subject ?? null, page.after?.startMs ?? null, page.limit]);
  return rows.map(({ start, taken_back: takenBack, processing, latency, ...row }) => ({
    ...row,
    startMs: start,
    takenBack,
    processing: countsOf(processing),
    latency: countsOf(latency),
  }));
}

export interface ReportCause {
  readonly subject: string;
  /** wall ms; null when steps were not asked for */
  readonly startMs: number | null;
  readonly outcome: ReportOutcome;
  readonly cause: string;
  readonly messages: number;
}

/** Why messages ended badly or were tried again, the most frequent first; at most `limit`. */
export async function reportCauses(
  sql: SqlRunner,
  tenantId: string,
  ask: Omit<ReportAsk, 'subject'> & { readonly subjects: readonly string[] | null },
  options: { readonly bySteps: boolean; readonly limit: number },
): Promise<readonly ReportCause[]> {
  const { kind, subjects, grain, fromMs, untilMs } = ask;
  const rows = await query<Omit<ReportCause, 'startMs'> & { readonly start: number | null }>(sql, CAUSES, [
    tenantId,
    kind,
    grain,
    subjects === null ? null : arrayLiteral(subjects),
    fromMs,
    untilMs,
    options.bySteps,
    options.limit,
  ]);
  return rows.map(({ start, ...row }) => ({ ...row, startMs: start }));
}

export interface QueueDepth {
  /** number of the device: its subject in reports */
  readonly no: number;
  readonly id: string;
  readonly name: string;
  readonly node: string | null;
  /** messages accepted and not yet ended */
  readonly depth: number;
}

/** How much the devices of a tenant have before them now: all, one, or those of a node. */
export async function queueDepths(
  sql: SqlRunner,
  tenantId: string,
  only: { readonly node?: string; readonly deviceId?: string } = {},
): Promise<readonly QueueDepth[]> {
  return await query<QueueDepth>(sql, DEPTHS, [tenantId, only.node ?? null, only.deviceId ?? null]);
}

/** Forgets steps that are older than reports go back, at most some `chunk` of each kind; returns how many. */
export async function trimReports(sql: SqlRunner, chunk: number): Promise<number> {
  const [row] = await query<{ gone: number }>(sql, TRIM, [chunk]);
  return row?.gone ?? 0;
}
