import type { Figure, RunResult } from '../../../ops/report/index.ts';
import { FAULT_FIGURES } from '../checker/index.ts';
import type { SmokeResult } from './smoke.ts';

/** The shipped lease, and what a crash takeover may cost beyond it. */
export const LEASE_TTL_MS = 6000;
export const TAKEOVER_EXTRA_MS = 1500;

export interface Settings {
  readonly messages: number;
  readonly devices: number;
  readonly runs: number;
  readonly seed: number;
  /** name of a test build without something, undefined = the product as it is */
  readonly plant: string | undefined;
  readonly json: string | undefined;
  readonly keep: boolean;
}

/** What is wrong with a run that was meant to be right; empty when nothing is. */
export function complaints(result: SmokeResult): string[] {
  const { verdict, killed } = result;
  const wrong: string[] = FAULT_FIGURES.filter((figure) => verdict[figure] > 0);
  if (verdict.repeats > result.inFlightAtFaults) wrong.push('repeats');
  if (killed.missing > 0 || (killed.maxMs ?? Number.POSITIVE_INFINITY) > LEASE_TTL_MS + TAKEOVER_EXTRA_MS) wrong.push('takeoverMs');
  if (!result.gatewayDied) wrong.push('gatewayDied');
  if (!result.drained) wrong.push('drained');
  return wrong;
}

/** The judge saw the missing fences: two owners at work shows as one of these. Slowness or a long backlog does not count. */
export const sawNoFence = ({ verdict }: SmokeResult): boolean =>
  verdict.epochFalls + verdict.doubled + verdict.order + verdict.sharedEpochs > 0;

const worst = (values: readonly (number | null)[]): number | null => (values.includes(null) ? null : Math.max(...values.map(Number)));

function figuresOf(results: readonly SmokeResult[]): Record<string, Figure> {
  const most = (pick: (result: SmokeResult) => number | null): number | null => worst(results.map(pick));
  return {
    accepted: Math.min(...results.map(({ verdict }) => verdict.accepted)),
    arrived: Math.min(...results.map(({ verdict }) => verdict.arrived)),
    ...Object.fromEntries(FAULT_FIGURES.map((figure) => [figure, most(({ verdict }) => verdict[figure])])),
    repeats: most(({ verdict }) => verdict.repeats),
    inFlightAtFaults: most((result) => result.inFlightAtFaults),
    takeoverMs: most(({ killed }) => killed.maxMs),
    takeoverMedianMs: most(({ killed }) => killed.medianMs),
    takeoverMissing: most(({ killed }) => killed.missing),
    stoppedTakeoverMs: most(({ stopped }) => stopped.maxMs),
    gatewayDied: results.every((result) => result.gatewayDied),
    drained: results.every((result) => result.drained),
    apiRetries: most((result) => result.apiRetries),
    secondsPerRun: most((result) => Math.round(result.tookMs / 1000)),
  };
}

/** One result over all runs: without a plant right when no run has a complaint, with one when every run saw it. */
export function report(settings: Settings, results: readonly SmokeResult[]): RunResult {
  const planted = settings.plant !== undefined;
  const right = results.filter((result) => (planted ? sawNoFence(result) : complaints(result).length === 0)).length;
  const figures: Record<string, Figure> = {
    runs: results.length,
    [planted ? 'found' : 'right']: right,
    messages: settings.messages,
    devices: settings.devices,
    seed: settings.seed,
    ...figuresOf(results),
  };
  const targets: Record<string, Figure> = planted
    ? { found: settings.runs }
    : {
        right: settings.runs,
        accepted: settings.messages,
        ...Object.fromEntries(FAULT_FIGURES.map((figure) => [figure, 0])),
        repeats: 'at most inFlightAtFaults',
        takeoverMs: LEASE_TTL_MS + TAKEOVER_EXTRA_MS,
        takeoverMissing: 0,
        gatewayDied: true,
        drained: true,
      };
  const whole = planted || results.every(({ verdict }) => verdict.accepted === settings.messages);
  return { name: planted ? `chaos smoke, plant ${settings.plant}` : 'chaos smoke', ok: right === settings.runs && whole, figures, targets };
}
