import { durationQuantile } from '../../schema/domain/index.ts';
import type { ReportCause, ReportStep } from '../../schema/sql/index.ts';
import { cellOf } from '../leads/index.ts';

/** Reports as text. What tenants named (devices, campaigns) is quoted and cannot run as a formula (gateway/leads, cellOf). */

export const REPORT_HEAD = [
  'id',
  'name',
  'status',
  'at',
  'stepSeconds',
  'sent',
  'delivered',
  'read',
  'failed',
  'dead',
  'cancelled',
  'suppressed',
  'retried',
  'takenBack',
  'successRate',
  'processingP50Ms',
  'processingP95Ms',
  'processingP99Ms',
  'latencyP50Ms',
  'latencyP95Ms',
  'latencyP99Ms',
  'causes',
  'queueDepthNow',
  'variant',
] as const;

/** What a row is about, as it is now. */
export interface About {
  readonly id: string;
  readonly name: string;
  /** of a device its node, of a campaign or node its state */
  readonly status: string;
  /** null = not known */
  readonly depth: number | null;
  /** name of the variant of a campaign that a row is about; none: a row is about the whole */
  readonly variant?: string;
}

const figure = (value: number | null): string => (value === null ? '' : String(Math.round(value * 1000) / 1000));

/** `DEAD:RETRY_BUDGET=3; FAILED:GONE=1` */
function causesCell(causes: readonly ReportCause[]): string {
  return cellOf(causes.map(({ outcome, cause, messages }) => `${outcome}:${cause}=${messages}`).join('; '));
}

/** One line. Pure. */
export function reportLine(about: About, step: ReportStep, grain: number, causes: readonly ReportCause[]): string {
  const { sent, delivered, read, failed, dead, cancelled, suppressed, retried, takenBack, processing, latency } = step;
  const ended = sent + failed + dead;
  return [
    cellOf(about.id),
    cellOf(about.name),
    cellOf(about.status),
    new Date(step.startMs).toISOString(),
    grain,
    ...[sent, delivered, read, failed, dead, cancelled, suppressed, retried, takenBack],
    figure(ended === 0 ? null : sent / ended),
    ...[0.5, 0.95, 0.99].map((share) => figure(durationQuantile(processing, share))),
    ...[0.5, 0.95, 0.99].map((share) => figure(durationQuantile(latency, share))),
    causesCell(causes),
    about.depth ?? '',
    cellOf(about.variant ?? ''),
  ].join(',');
}
