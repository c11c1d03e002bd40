import { type Launched, launch, STEPS } from '../../actors/testing/launch/launch.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import type { Figure } from '../../ops/report/index.ts';
import type { Bench } from './main.ts';

/**
 * `npm run bench -- campaign [--devices N] [--leads N]`: what the launch of 33 million messages costs: 3,000 devices, 3,000,000 leads, a sequence of eleven steps, all
 * on this machine with fsync, phones simulated. The other arm makes the messages of a 33rd of the leads up front, in a table with the ledger's own
 * columns and indexes; disk is enrolments and ledger with all indexes in both. Not measured: how leads come in (`import`), the drain (devices send at their own pace), a network.
 */
const ENROL_PER_SECOND = 200_000;
const WATCH_MS = 10_000;
const TARGETS = { accepted: 200, firstSend: 1000, allEnrolled: 30_000, heap: 50, redis: 100, disk: 30 } as const;

const rounded = (value: number | null, digits = 0): number | null =>
  value === null ? null : Math.round(value * 10 ** digits) / 10 ** digits;

function judged(result: Launched, leads: number): { readonly ok: boolean; readonly ratio: number } {
  const ratio = (result.eagerMb ?? 0) / result.usedMb;
  const within = (value: number | null, most: number): boolean => value !== null && value <= most;
  const ok =
    result.enrolled === leads &&
    within(result.acceptedMs, TARGETS.accepted) &&
    within(result.firstSendMs, TARGETS.firstSend) &&
    within(result.allEnrolledMs, TARGETS.allEnrolled) &&
    within(result.heapGrowthMb, TARGETS.heap) &&
    within(result.redisPeakMb, TARGETS.redis) &&
    ratio >= TARGETS.disk;
  return { ok, ratio };
}

export const campaign: Bench = async (say, parts) => {
  const of = (name: string, fallback: number): number => {
    const at = parts.indexOf(name);
    const value = at < 0 ? fallback : Number(parts[at + 1]);
    if (!Number.isInteger(value) || value < 1) throw new Error(`${name}: expected a whole number above 0`);
    return value;
  };
  const devices = of('devices', 3000);
  const leads = of('leads', devices * 1000);
  let said = 0;
  const result = await launch(systemClock, {
    devices,
    leads,
    enrolPerSecond: ENROL_PER_SECOND,
    watchMs: WATCH_MS,
    eager: true,
    say,
    progress(at) {
      if (at.sinceMs - said < 2000) return;
      said = at.sinceMs;
      say(
        `${Math.round(at.sinceMs / 1000)} s · ${at.enrolled} of ${at.leads} enrolled · ${at.sent} sent · Redis ${Math.round(at.redisMb)} MB`,
      );
    },
  });
  const { ok, ratio } = judged(result, leads);
  const figures: Record<string, Figure> = {
    devices,
    leads,
    'messages in all': leads * STEPS,
    'enrolment rate limit/s a node': ENROL_PER_SECOND,
    'accepted ms': rounded(result.acceptedMs),
    'first send ms': rounded(result.firstSendMs),
    'all enrolled ms': rounded(result.allEnrolledMs),
    enrolled: result.enrolled,
    'sent meanwhile': result.sent,
    'heap growth of a node MB': rounded(result.heapGrowthMb, 1),
    'Redis at most MB': rounded(result.redisPeakMb, 1),
    'disk MB': rounded(result.usedMb, 1),
    'disk MB made up front': rounded(result.eagerMb, 1),
    'times less disk': rounded(ratio, 1),
  };
  const targets = {
    'accepted ms': `<= ${TARGETS.accepted}`,
    'first send ms': `<= ${TARGETS.firstSend}`,
    'all enrolled ms': `<= ${TARGETS.allEnrolled}`,
    enrolled: String(leads),
    'heap growth of a node MB': `<= ${TARGETS.heap}`,
    'Redis at most MB': `<= ${TARGETS.redis}`,
    'times less disk': `>= ${TARGETS.disk}`,
  };
  return { name: 'bench-campaign', ok, figures, targets, command: 'npm run bench -- campaign' };
};
