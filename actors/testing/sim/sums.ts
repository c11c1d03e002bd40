import type { Figure } from '../../../ops/report/index.ts';
import { digestOf, type Outcome } from './world.ts';

/** Sums over the worlds of a run. */
export interface Sums {
  add(outcome: Outcome): void;
  readonly worlds: number;
  readonly bad: readonly Outcome[];
  readonly simulatedMs: number;
  figures(): Record<string, Figure>;
  /** names of those that must not be zero and are */
  zeros(): string[];
}

/** What worlds must have had, all together, for a run to mean anything. */
const NEEDED = ['fencedWrites', 'unknowns', 'takeovers', 'losts', 'refills'] as const;

export function createSums(): Sums {
  const sums: Record<string, number> = {};
  const hashes = new Map<number, string>();
  const bad: Outcome[] = [];
  let simulatedMs = 0;
  let events = 0;
  let takeoverMs = 0;
  const of = (name: string): number => sums[name] ?? 0;
  const needed = (): Record<(typeof NEEDED)[number], number> => ({
    fencedWrites: of('fenced'),
    unknowns: of('unknowns'),
    takeovers: of('takeovers'),
    losts: of('lost') + of('lostAnswers'),
    refills: of('refills'),
  });
  return {
    bad,
    get worlds() {
      return hashes.size;
    },
    get simulatedMs() {
      return simulatedMs;
    },
    add(outcome) {
      hashes.set(outcome.seed, outcome.hash);
      simulatedMs += outcome.simulatedMs;
      events += outcome.events;
      if (outcome.violations.length > 0) bad.push(outcome);
      for (const [name, value] of Object.entries(outcome.figures)) sums[name] = of(name) + value;
      takeoverMs = Math.max(takeoverMs, outcome.figures['takeoverMs'] ?? 0);
    },
    figures: () => ({
      worlds: hashes.size,
      badWorlds: bad.length,
      simulatedSeconds: Math.round(simulatedMs / 1000),
      events,
      ...needed(),
      takeoversJudged: of('judged'),
      takeoverMaxMs: Math.round(takeoverMs),
      grants: of('grants'),
      messages: of('messages'),
      arrivals: of('arrivals'),
      repeats: of('repeats'),
      staleSends: of('staleSends'),
      cancelled: of('cancelled'),
      redriven: of('redriven'),
      untold: of('untold'),
      lateWorlds: of('late'),
      digest: digestOf([...hashes].sort((a, b) => a[0] - b[0]).map(([, hash]) => hash)),
    }),
    zeros: () => NEEDED.filter((name) => needed()[name] === 0),
  };
}
