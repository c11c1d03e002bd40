import { systemClock } from '../../../ops/lifecycle/index.ts';
import type { RunResult } from '../../../ops/report/index.ts';
import { launch, type Progress, STEPS } from '../launch/launch.ts';

/**
 * `npm run demo -- storm`: 33 million messages are launched, and nothing falls over: a sequence of eleven steps to 3,000,000 leads over 3,000 simulated devices, with a bar
 * while they are enrolled and the first ones are sent, each device at its own pace.
 */
const ENROL_PER_SECOND = 200_000;
const WATCH_MS = 30_000;
const BAR = 30;

const thousands = (n: number): string => Math.round(n).toLocaleString('en');

export function barOf({ sinceMs, enrolled, leads, sent, redisMb }: Progress): string {
  const full = Math.floor((BAR * enrolled) / leads);
  const bar = `${'#'.repeat(full)}${'.'.repeat(BAR - full)}`;
  const rate = sinceMs > 0 ? (sent / sinceMs) * 60_000 : 0;
  return `${(sinceMs / 1000).toFixed(1).padStart(6)} s [${bar}] ${thousands(enrolled)} of ${thousands(leads)} enrolled, ${thousands(sent)} sent (${thousands(rate)}/min), Redis ${Math.round(redisMb)} MB`;
}

export async function runStorm(
  write: (text: string) => void,
  sizes: { readonly devices: number; readonly leads: number },
): Promise<RunResult> {
  const { devices, leads } = sizes;
  write(
    `${thousands(leads)} leads x ${STEPS} steps over ${thousands(devices)} devices: ${thousands(leads * STEPS)} messages, of which only the next one of a lead ever exists\n`,
  );
  const result = await launch(systemClock, {
    devices,
    leads,
    enrolPerSecond: ENROL_PER_SECOND,
    watchMs: WATCH_MS,
    eager: false,
    say: (line) => write(`${line}\n`),
    progress: (at) => write(process.stdout.isTTY ? `\r${barOf(at)}\x1b[K` : `${barOf(at)}\n`),
  });
  write('\n');
  const whole = (value: number | null): number | null => (value === null ? null : Math.round(value));
  return {
    name: 'demo-storm',
    ok: result.enrolled === leads && result.sent > 0,
    figures: {
      devices,
      leads,
      messages: leads * STEPS,
      acceptedMs: whole(result.acceptedMs),
      firstSendMs: whole(result.firstSendMs),
      allEnrolledMs: whole(result.allEnrolledMs),
      enrolled: result.enrolled,
      sent: result.sent,
      redisMb: whole(result.redisPeakMb),
      heapGrowthMb: whole(result.heapGrowthMb),
      diskMb: whole(result.usedMb),
      transport: 'simulated',
    },
    targets: { enrolled: leads, sent: '> 0' },
  };
}
