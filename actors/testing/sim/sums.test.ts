import { describe, expect, it } from 'vitest';
import { createSums } from './sums.ts';
import type { Outcome } from './world.ts';

const outcome = (seed: number, figures: Outcome['figures'], violations: readonly string[] = []): Outcome => ({
  seed,
  hash: `h${seed}`,
  events: 1,
  simulatedMs: 60_000,
  violations,
  faults: [],
  figures,
});

describe('the sums of a run', () => {
  it('name what no world had', () => {
    const sums = createSums();
    sums.add(outcome(1, { fenced: 1, unknowns: 2, takeovers: 3 }));
    expect(sums.zeros()).toEqual(['losts', 'refills']);
    sums.add(outcome(2, { lostAnswers: 1, refills: 1 }, ['I3']));
    expect(sums.zeros()).toEqual([]);
    expect(sums.figures()).toMatchObject({ worlds: 2, badWorlds: 1, fencedWrites: 1, unknowns: 2, losts: 1, simulatedSeconds: 120 });
  });

  it('have one digest for the same worlds in any order', () => {
    const [one, other] = [createSums(), createSums()];
    for (const seed of [1, 2]) one.add(outcome(seed, {}));
    for (const seed of [2, 1]) other.add(outcome(seed, {}));
    expect(one.figures()['digest']).toBe(other.figures()['digest']);
  });
});
