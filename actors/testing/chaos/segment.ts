import type { Arrival } from '../../transports/simulator/index.ts';
import {
  acceptedAt,
  createJudge,
  FAULT_FIGURES,
  type FaultFigure,
  readArrivals,
  type TakeoverWatch,
  type Verdict,
  watchDelay,
  watchFlow,
  watchTakeover,
} from '../checker/index.ts';
import type { Fault, Strike } from './faults/fault.ts';
import { arrivalsOf, type Scene } from './scene.ts';
import type { Answers } from './sender.ts';

/**
 * The part of a stack's life that belongs to one fault. Segments do not overlap, and each begins with nothing open: a message belongs to the
 * segment in which it was accepted, with all its arrivals, however late. One more judge sees the whole stack: what only shows across
 * segments shows there.
 */
export interface Segment {
  readonly fault: Fault;
  readonly strikes: readonly Strike[];
  /** wall ms; messages accepted from here on */
  readonly from: number;
  /** when the load ended */
  readonly loadedUntil: number;
  readonly answers: Answers;
  readonly fenced: number;
  readonly unowned: number;
  readonly drained: boolean;
  readonly tookMs: number;
}

export interface Judged {
  readonly verdict: Verdict;
  readonly takeover: { readonly strikes: number; readonly devices: number; readonly missing: number; readonly times: readonly number[] };
  readonly gaps: readonly number[];
  readonly latencyP99Ms: number | null;
  readonly latencyMaxMs: number | null;
  readonly stallMs: number;
  /** ms to full rate after each strike was healed; null = never */
  readonly backs: readonly (number | null)[];
}

export interface StackVerdict {
  readonly each: readonly Judged[];
  /** figures that only show when all segments are judged as one */
  readonly across: Partial<Record<FaultFigure, number>>;
}

/** Which segment a message accepted at this wall ms belongs to; -1 before the first. Pure. */
export function segmentAt(starts: readonly number[], at: number): number {
  let found = -1;
  for (const [n, from] of starts.entries()) if (at >= from) found = n;
  return found;
}

const FULL_SHARE = 0.9;

/** Feeds one segment's judge and watches. */
function judgeOf({ strikes, loadedUntil }: Segment, perSecond: number) {
  const judge = createJudge();
  const flow = watchFlow();
  const takeovers: TakeoverWatch[] = strikes.flatMap(({ owned, at }) => (owned === undefined ? [] : [watchTakeover(owned, at)]));
  const delays = strikes.map(({ at, healedAt, handed }) => watchDelay(at, handed?.until ?? healedAt, handed?.devices));
  return {
    judge,
    arrival(arrival: Arrival): void {
      judge.arrival(arrival);
      flow.arrival(arrival);
      for (const watch of takeovers) watch.arrival(arrival);
      for (const watch of delays) watch.arrival(arrival);
    },
    result(): Judged {
      const flowed = flow.result(loadedUntil);
      const results = takeovers.map((watch) => watch.result());
      const sum = (pick: (one: (typeof results)[number]) => number): number => results.reduce((total, one) => total + pick(one), 0);
      return {
        verdict: judge.verdict(),
        takeover: {
          strikes: results.length,
          devices: sum((one) => one.devices),
          missing: sum((one) => one.missing),
          times: takeovers.flatMap((watch) => [...watch.times()]),
        },
        gaps: delays.flatMap((watch) => [...watch.result()]),
        latencyP99Ms: flowed.latencyP99Ms,
        latencyMaxMs: flowed.latencyMaxMs,
        stallMs: flowed.stallMs,
        backs: strikes.map(({ healedAt }) => flowed.fullRateAfter(healedAt, perSecond * FULL_SHARE)),
      };
    },
  };
}

/**
 * Reads the ledger and the phones' file once and gives each message to its segment.
 * @param until messages accepted from this wall ms on are not judged: their fault broke off
 */
export async function judgeSegments(
  scene: Scene,
  segments: readonly Segment[],
  perSecond: number,
  until: number = Number.POSITIVE_INFINITY,
): Promise<StackVerdict> {
  // what broke off after the last segment is nobody's
  const starts = [...segments.map(({ from }) => from), until];
  const parts = segments.map((segment) => judgeOf(segment, perSecond));
  const whole = createJudge();
  const spared = segments.map(({ strikes }) => new Set(strikes.flatMap((strike) => strike.spared ?? [])));
  const left = new Set<string>();
  await scene.ledger.rows((row) => {
    const n = segmentAt(starts, acceptedAt(row.id));
    if (n === segments.length || spared[n]?.has(row.device) === true) {
      left.add(row.id);
      return;
    }
    whole.ledger(row);
    parts[n]?.judge.ledger(row);
  });
  for (const id of scene.sender.answered) {
    if (left.has(id) || acceptedAt(id) >= until) continue;
    whole.answered(id);
    parts[segmentAt(starts, acceptedAt(id))]?.judge.answered(id);
  }
  for await (const arrival of readArrivals(arrivalsOf(scene.folder))) {
    if (left.has(arrival.id) || acceptedAt(arrival.id) >= until) continue;
    whole.arrival(arrival);
    parts[segmentAt(starts, acceptedAt(arrival.id))]?.arrival(arrival);
  }
  const each = parts.map((part) => part.result());
  const verdict = whole.verdict();
  const across: Partial<Record<FaultFigure, number>> = {};
  for (const figure of FAULT_FIGURES) {
    const more = verdict[figure] - each.reduce((sum, one) => sum + one.verdict[figure], 0);
    if (more > 0) across[figure] = more;
  }
  return { each, across };
}
