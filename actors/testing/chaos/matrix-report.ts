import type { Figure, RunResult } from '../../../ops/report/index.ts';
import { FAULT_FIGURES, type FaultFigure, quantile } from '../checker/index.ts';
import type { Played } from './matrix.ts';

/** Tables and the result of chaos runs of the matrix. Pure. */

/** A fault that this machine cannot play. It is not a pass. */
export interface NotRun {
  readonly fault: string;
  readonly why: string;
}

const over = (value: number | null, bound: number | undefined): boolean => bound !== undefined && (value === null || value > bound);
const whole = (value: number | null): number | null => (value === null ? null : Math.round(value));
const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

/** The longest; null when one of them is missing or there are none. */
const worst = (values: readonly (number | null)[]): number | null => {
  let most: number | null = null;
  for (const value of values) {
    if (value === null) return null;
    most = most === null ? value : Math.max(most, value);
  }
  return most;
};

export const takeoverMs = ({ takeover }: Played): number | null => (takeover.missing > 0 ? null : worst(takeover.times));

/** What is wrong with a run; empty when nothing is. */
export function wrongs(played: Played): string[] {
  const { verdict, bounds } = played;
  const allowed: Partial<Record<FaultFigure, number>> = { epochFalls: verdict.staleShown > 0 ? 0 : (bounds.staleRepeats ?? 0) };
  const found: string[] = FAULT_FIGURES.filter((figure) => verdict[figure] > (allowed[figure] ?? 0));
  if (verdict.accepted === 0) found.push('accepted');
  if (bounds.repeatsInFlight === true && (played.inFlight === null || verdict.repeats > played.inFlight)) found.push('repeats');
  if (bounds.takeoverExtraMs !== undefined && over(takeoverMs(played), played.ttlMs + bounds.takeoverExtraMs)) found.push('takeoverMs');
  if (over(worst(played.backs), bounds.fullRateMs)) found.push('fullRateMs');
  if (over(played.latencyP99Ms, bounds.latencyP99Ms)) found.push('latencyP99Ms');
  if (over(quantile(sorted(played.gaps), 0.99), bounds.gapP99Ms)) found.push('gapP99Ms');
  if (over(worst(played.answers), bounds.answerMs)) found.push('answerMs');
  for (const [name, bound] of Object.entries(bounds.figures ?? {})) if (over(played.figures[name] ?? null, bound)) found.push(name);
  if (played.unowned > 0) found.push('unowned');
  if (!played.drained) found.push('drained');
  return found;
}

export const HEAD = [
  'fault',
  'case',
  'runs',
  'accepted',
  'lost',
  'unexpected',
  'doubled',
  'order',
  'stale shown',
  'stale sent',
  'other',
  'repeats',
  'recovered',
  'fenced',
  'takeover p50',
  'p99',
  'p100',
  'gap p99',
  'gap p100',
  'full rate',
  'latency p99',
  'answer p99',
  'answer p100',
  's',
  'verdict',
] as const;

const COUNTED: readonly FaultFigure[] = ['lost', 'unexpected', 'doubled', 'order', 'epochFalls'];
const otherOf = ({ verdict }: Played): number =>
  FAULT_FIGURES.filter((figure) => !COUNTED.includes(figure)).reduce((sum, figure) => sum + verdict[figure], 0);

/** One row for these runs of one fault: counts are summed, times are of all runs together. */
export function rowOf(runs: readonly Played[]): Figure[] {
  const sum = (pick: (played: Played) => number): number => runs.reduce((total, played) => total + pick(played), 0);
  const pooled = (pick: (played: Played) => readonly number[]): number[] => sorted(runs.flatMap((played) => [...pick(played)]));
  const takeovers = pooled(({ takeover }) => takeover.times);
  const missing = sum(({ takeover }) => takeover.missing);
  const gaps = pooled((played) => played.gaps);
  const answers = pooled((played) => played.answers);
  const wrong = [...new Set(runs.flatMap(wrongs))];
  return [
    runs[0]?.fault ?? '',
    runs[0]?.case ?? '',
    sum((played) => played.runs),
    sum(({ verdict }) => verdict.accepted),
    sum(({ verdict }) => verdict.lost),
    sum(({ verdict }) => verdict.unexpected),
    sum(({ verdict }) => verdict.doubled),
    sum(({ verdict }) => verdict.order),
    sum(({ verdict }) => verdict.staleShown),
    sum(({ verdict }) => verdict.epochFalls),
    sum(otherOf),
    sum(({ verdict }) => verdict.repeats),
    sum(({ verdict }) => verdict.recovered),
    sum(({ fenced }) => fenced),
    whole(quantile(takeovers, 0.5)),
    whole(quantile(takeovers, 0.99)),
    missing > 0 ? `${missing} never` : whole(takeovers.at(-1) ?? null),
    whole(quantile(gaps, 0.99)),
    whole(gaps.at(-1) ?? null),
    whole(worst(runs.flatMap((played) => played.backs))),
    whole(worst(runs.map((played) => played.latencyP99Ms))),
    whole(quantile(answers, 0.99)),
    whole(answers.at(-1) ?? null),
    Math.round(sum((played) => played.tookMs) / 1000),
    wrong.length === 0 ? 'right' : `WRONG: ${wrong.join(', ')}`,
  ];
}

/** One row per fault, in the order of first appearance. */
export function sums(played: readonly Played[], notRun: readonly NotRun[]): Figure[][] {
  const faults = [...new Set(played.map(({ fault }) => fault))];
  return [
    ...faults.map((fault) => rowOf(played.filter((one) => one.fault === fault))),
    ...notRun.map(({ fault, why }) => [fault, '', 0, ...HEAD.slice(4).map(() => null), `NOT RUN: ${why}`]),
  ];
}

export interface MatrixOutcome {
  readonly played: readonly Played[];
  readonly notRun: readonly NotRun[];
  /** what could not be played to its end */
  readonly broken: readonly string[];
  /** what showed only across the faults of a stack */
  readonly across: readonly string[];
  readonly stacks: number;
}

/** Right when every wanted fault was played, on every stack without a complaint. */
export function matrixResult(name: string, outcome: MatrixOutcome, settings: Readonly<Record<string, Figure>>): RunResult {
  const { played, notRun, broken, across } = outcome;
  const sum = (pick: (one: Played) => number): number => played.reduce((total, one) => total + pick(one), 0);
  const takeovers = sorted(
    played.filter(({ bounds }) => bounds.takeoverExtraMs !== undefined).flatMap(({ takeover }) => [...takeover.times]),
  );
  const bad = played.filter((one) => wrongs(one).length > 0);
  const figures: Record<string, Figure> = {
    ...settings,
    runs: sum((one) => one.runs),
    faults: new Set(played.map(({ fault }) => fault)).size,
    wrongFaults: new Set(bad.map(({ fault }) => fault)).size,
    brokenOff: broken.length,
    acrossFaults: across.length,
    notRun: notRun.length,
    stacks: outcome.stacks,
    accepted: sum(({ verdict }) => verdict.accepted),
    ...Object.fromEntries(FAULT_FIGURES.map((figure) => [figure, sum(({ verdict }) => verdict[figure])])),
    staleShown: sum(({ verdict }) => verdict.staleShown),
    repeats: sum(({ verdict }) => verdict.repeats),
    recovered: sum(({ verdict }) => verdict.recovered),
    fenced: sum(({ fenced }) => fenced),
    takeoverP50Ms: whole(quantile(takeovers, 0.5)),
    takeoverP99Ms: whole(quantile(takeovers, 0.99)),
    takeoverP100Ms: whole(takeovers.at(-1) ?? null),
    seconds: Math.round(sum((one) => one.tookMs) / 1000),
  };
  const bounded = played.find(({ bounds, takeover }) => bounds.takeoverExtraMs !== undefined && takeover.strikes > 0);
  const targets: Record<string, Figure> = {
    wrongFaults: 0,
    brokenOff: 0,
    acrossFaults: 0,
    ...Object.fromEntries(FAULT_FIGURES.filter((figure) => figure !== 'epochFalls').map((figure) => [figure, 0])),
    staleShown: 0,
    ...(bounded === undefined ? {} : { takeoverP100Ms: bounded.ttlMs + (bounded.bounds.takeoverExtraMs ?? 0) }),
  };
  const ok = played.length > 0 && broken.length === 0 && across.length === 0 && bad.length === 0;
  return { name: `chaos ${name}`, ok, figures, targets, rows: [HEAD, ...sums(played, notRun)] };
}

/** With a plant a run is right when the judge saw two owners at work, however that showed. Slowness or a long backlog does not count. */
export function plantedResult(name: string, plant: string, outcome: MatrixOutcome, settings: Readonly<Record<string, Figure>>): RunResult {
  const whole = matrixResult(name, outcome, settings);
  const seen = (['epochFalls', 'sharedEpochs', 'doubled', 'order'] as const).reduce(
    (sum, figure) => sum + outcome.played.reduce((total, { verdict }) => total + verdict[figure], 0),
    0,
  );
  return { ...whole, name: `chaos ${name}, plant ${plant}`, ok: seen > 0, figures: { ...whole.figures, seen }, targets: { seen: '> 0' } };
}
