import type { Figure, RunResult } from '../../../ops/report/index.ts';
import { FAULT_FIGURES } from '../checker/index.ts';
import type { Played } from './matrix.ts';

/** Tables and the result of chaos runs of the matrix. Pure. */

/** A fault that this machine cannot play. It is not a pass. */
export interface NotRun {
  readonly fault: string;
  readonly why: string;
}

const over = (value: number | null, bound: number | undefined): boolean => bound !== undefined && (value === null || value > bound);

const worst = (values: readonly (number | null)[]): number | null =>
  values.length === 0 || values.includes(null) ? null : Math.max(...values.map(Number));

export const takeoverMs = ({ takeovers }: Played): number | null => worst(takeovers.map((one) => (one.missing > 0 ? null : one.maxMs)));

/** What is wrong with a run; empty when nothing is. */
export function wrongs(played: Played): string[] {
  const { verdict, bounds } = played;
  const found: string[] = FAULT_FIGURES.filter((figure) => verdict[figure] > 0);
  if (verdict.accepted === 0) found.push('accepted');
  if (bounds.repeatsInFlight === true && (played.inFlight === null || verdict.repeats > played.inFlight)) found.push('repeats');
  if (bounds.takeoverExtraMs !== undefined && over(takeoverMs(played), played.ttlMs + bounds.takeoverExtraMs)) found.push('takeoverMs');
  if (over(played.fullRateMs, bounds.fullRateMs)) found.push('fullRateMs');
  if (over(played.latencyP99Ms, bounds.latencyP99Ms)) found.push('latencyP99Ms');
  if (over(played.answerMs, bounds.answerMs)) found.push('answerMs');
  for (const [name, bound] of Object.entries(bounds.figures ?? {})) if (over(played.figures[name] ?? null, bound)) found.push(name);
  if (played.unowned > 0) found.push('unowned');
  if (!played.drained) found.push('drained');
  return found;
}

export const HEAD = [
  'fault',
  'runs',
  'accepted',
  'lost',
  'unexpected',
  'doubled',
  'order',
  'stale',
  'other',
  'repeats',
  'recovered',
  'fenced',
  'takeover ms',
  'full rate ms',
  'p99 ms',
  'answer ms',
  's',
  'verdict',
] as const;

const counted = ['lost', 'unexpected', 'doubled', 'order', 'epochFalls', 'sharedEpochs'];
const otherOf = ({ verdict }: Played): number =>
  FAULT_FIGURES.filter((figure) => !counted.includes(figure)).reduce((sum, figure) => sum + verdict[figure], 0);

/** One row for these runs of one fault: counts are summed, times are the longest. */
export function rowOf(runs: readonly Played[]): Figure[] {
  const sum = (pick: (played: Played) => number): number => runs.reduce((total, played) => total + pick(played), 0);
  const timed = runs.filter((played) => played.takeovers.length > 0);
  const wrong = [...new Set(runs.flatMap(wrongs))];
  return [
    runs[0]?.fault ?? '',
    sum((played) => played.runs),
    sum(({ verdict }) => verdict.accepted),
    sum(({ verdict }) => verdict.lost),
    sum(({ verdict }) => verdict.unexpected),
    sum(({ verdict }) => verdict.doubled),
    sum(({ verdict }) => verdict.order),
    sum(({ verdict }) => verdict.epochFalls + verdict.sharedEpochs),
    sum(otherOf),
    sum(({ verdict }) => verdict.repeats),
    sum(({ verdict }) => verdict.recovered),
    sum(({ fenced }) => fenced),
    timed.length === 0 ? null : worst(timed.map(takeoverMs)),
    worst(runs.map((played) => played.fullRateMs)),
    worst(runs.map((played) => played.latencyP99Ms)),
    worst(runs.map((played) => played.answerMs)),
    Math.round(sum((played) => played.tookMs) / 1000),
    wrong.length === 0 ? 'right' : `WRONG: ${wrong.join(', ')}`,
  ];
}

/** One row per fault, in the order of first appearance. */
export function sums(played: readonly Played[], notRun: readonly NotRun[]): Figure[][] {
  const faults = [...new Set(played.map(({ fault }) => fault))];
  return [
    ...faults.map((fault) => rowOf(played.filter((one) => one.fault === fault))),
    ...notRun.map(({ fault, why }) => [fault, 0, ...HEAD.slice(3).map(() => null), `NOT RUN: ${why}`]),
  ];
}

/** Right when every wanted fault was played, on every stack without a complaint. */
export function matrixResult(
  name: string,
  played: readonly Played[],
  notRun: readonly NotRun[],
  broken: readonly string[],
  settings: Readonly<Record<string, Figure>>,
): RunResult {
  const sum = (pick: (one: Played) => number): number => played.reduce((total, one) => total + pick(one), 0);
  const figures: Record<string, Figure> = {
    ...settings,
    runs: sum((one) => one.runs),
    stacks: played.length,
    rightStacks: played.filter((one) => wrongs(one).length === 0).length,
    brokenOff: broken.length,
    faults: new Set(played.map(({ fault }) => fault)).size,
    notRun: notRun.length,
    accepted: sum(({ verdict }) => verdict.accepted),
    ...Object.fromEntries(FAULT_FIGURES.map((figure) => [figure, sum(({ verdict }) => verdict[figure])])),
    staleShown: sum(({ verdict }) => verdict.staleShown),
    stacksWithStale: played.filter(({ verdict }) => verdict.epochFalls > 0).length,
    repeats: sum(({ verdict }) => verdict.repeats),
    recovered: sum(({ verdict }) => verdict.recovered),
    fenced: sum(({ fenced }) => fenced),
  };
  const targets = { rightStacks: played.length, brokenOff: 0, ...Object.fromEntries(FAULT_FIGURES.map((figure) => [figure, 0])) };
  const ok = played.length > 0 && broken.length === 0 && played.every((one) => wrongs(one).length === 0);
  return { name: `chaos ${name}`, ok, figures, targets };
}

/** A Markdown table of rows under HEAD. */
export function markdown(rows: readonly (readonly Figure[])[]): string {
  const line = (cells: readonly Figure[]): string => `| ${cells.map((cell) => (cell === null ? '—' : String(cell))).join(' | ')} |`;
  return [line(HEAD), line(HEAD.map(() => '---')), ...rows.map(line)].join('\n');
}
