import type { FlowPlace, FlowRow, ReportAsk, ReportStep } from '../../sql/index.ts';

/** How fast a campaign or sequence goes, by its reports: exact counts, some 15 s behind. Pure. */
const MINUTE_MS = 60_000;
const MINUTES = 5;
/** reports are behind by up to this much */
const BEHIND_MS = 20_000;

/** The whole minutes that a speed is taken from. */
export function speedRange(now: number): { readonly fromMs: number; readonly untilMs: number } {
  const untilMs = Math.floor((now - BEHIND_MS) / MINUTE_MS) * MINUTE_MS + MINUTE_MS;
  return { fromMs: untilMs - (MINUTES + 1) * MINUTE_MS, untilMs };
}

/** more than a range has */
export const SPEED_STEPS = 10;
/** What of the reports a speed is taken from. */
export function speedAsk(flowNo: number, now: number): ReportAsk {
  return { kind: 'FLOW', subject: String(flowNo), grain: 60, ...speedRange(now) };
}

/** Messages a minute: of the last five minutes and the one that has begun, or since the start where that was later. `steps`: those of `speedRange`. */
export function sentPerMinute(flow: Pick<FlowRow, 'startedAt'>, steps: readonly Pick<ReportStep, 'sent'>[], now: number): number {
  const sent = steps.reduce((sum, step) => sum + step.sent, 0);
  const since = Math.max(speedRange(now).fromMs, flow.startedAt ?? 0);
  return sent / Math.max(1, (now - BEHIND_MS / 2 - since) / MINUTE_MS);
}

/** Leads that are not through: they wait, or their message is under way. */
export function leftOf(places: readonly FlowPlace[]): number {
  return places.reduce((sum, { place, leads }) => sum + (place === 'WAITING' || place === 'SENDING' ? leads : 0), 0);
}

/** When the last lead is through if all goes on like this, wall ms; null where that cannot be said. */
export function etaOf(
  flow: Pick<FlowRow, 'state' | 'enrolling'>,
  places: readonly FlowPlace[],
  perMinute: number,
  now: number,
): number | null {
  if (flow.state !== 'RUNNING' || flow.enrolling || perMinute <= 0) return null;
  return Math.round(now + (leftOf(places) / perMinute) * MINUTE_MS);
}
