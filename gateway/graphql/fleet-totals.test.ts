import { expect, it } from 'vitest';
import type { FleetCount, KeptTotals } from '../../schema/sql/index.ts';
import { createFleetTotals } from './fleet-totals.ts';

function world(kept: KeptTotals['kept']) {
  const state = { kept, counts: 0, answer: { devices: 7, backlog: 70 } as FleetCount | null, fails: false, warned: 0 };
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const totals = createFleetTotals({
    read: async () => ({ kept: state.kept, sentPerMinute: 1, failedPerMinute: 2 }),
    async count() {
      state.counts += 1;
      await gate;
      if (state.fails) throw new Error('away');
      return state.answer;
    },
    telemetry: {
      log: {
        warn() {
          state.warned += 1;
        },
      },
    },
  });
  return { state, totals, release };
}
const keptAt = (ageMs: number, tookMs = 100): KeptTotals['kept'] => ({ devices: 3, backlog: 30, ageMs, tookMs });

it('counts a fleet of which nothing is kept, once for all who ask together', async () => {
  const { state, totals, release } = world(null);
  const both = Promise.all([totals('t'), totals('t')]);
  release();
  expect(await both).toEqual(Array(2).fill({ devices: 7, backlog: 70, sentPerMinute: 1, failedPerMinute: 2 }));
  expect(state.counts).toBe(1);
  await totals('t');
  expect(state.counts).toBe(2);
});

it('answers a kept count at once, and counts anew behind the answer when twenty times its duration has passed', async () => {
  const { state, totals } = world(keptAt(1_999));
  expect(await totals('t')).toMatchObject({ devices: 3, backlog: 30 });
  expect(state.counts).toBe(0);
  state.kept = keptAt(2_001);
  expect(await totals('t')).toMatchObject({ devices: 3 });
  expect(await totals('t')).toMatchObject({ devices: 3 });
  expect(state.counts).toBe(1);
});

it('never answers what is older than ten seconds, but waits for the count, or takes what is kept when another counts', async () => {
  const { state, totals, release } = world(keptAt(10_001));
  release();
  expect(await totals('t')).toMatchObject({ devices: 7 });
  state.answer = null;
  expect(await totals('t')).toMatchObject({ devices: 3 });
  // a fleet that takes a second to count is counted every twenty seconds
  state.kept = keptAt(39_000, 1_000);
  state.counts = 0;
  expect(await totals('t')).toMatchObject({ devices: 3 });
  expect(state.counts).toBe(1);
});

it('a count that fails behind an answer harms nobody; one that is waited for is told', async () => {
  const { state, totals, release } = world(keptAt(5_000));
  state.fails = true;
  release();
  expect(await totals('t')).toMatchObject({ devices: 3 });
  await expect.poll(() => state.warned, { timeout: 25_000 }).toBe(1);
  state.kept = null;
  await expect(totals('t')).rejects.toThrow('away');
});
