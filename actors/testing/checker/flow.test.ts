import { describe, expect, it } from 'vitest';
import { uuidV7 } from '../../../schema/domain/index.ts';
import type { Arrival } from '../../transports/simulator/index.ts';
import { watchDelay } from './delay.ts';
import { watchFlow } from './flow.ts';
import { quantile } from './quantile.ts';

const arrival = (acceptedAt: number, at: number): Arrival => {
  const id = uuidV7(acceptedAt);
  return { device: 'd', id, wire: id, epoch: 1, node: 'node-1', attempt: 1, repeat: false, at, to: '+14155550100' };
};

describe('the flow of a run', () => {
  it('times messages by the clock in their ids, stalls and the return to full rate', () => {
    const watch = watchFlow();
    const base = 1_800_000_000_000;
    for (let n = 0; n < 20; n++) watch.arrival(arrival(base + n * 100, base + n * 100 + 30));
    // nothing for 3 s, then a trickle, then ten a second again
    for (let n = 0; n < 3; n++) watch.arrival(arrival(base + 2000, base + 5000 + n * 500));
    for (let n = 0; n < 20; n++) watch.arrival(arrival(base + 6500 + n * 100, base + 6500 + n * 100 + 30));
    const repeated = arrival(base, base + 100_000);
    watch.arrival({ ...repeated, at: base + 7000 });
    watch.arrival(repeated);
    const flow = watch.result(base + 10_000);
    expect(flow.stallMs).toBe(5000 - 1930);
    expect(flow.latencyMaxMs).toBe(7000);
    expect(flow.fullRateAfter(base + 4000, 9)).toBe(2530);
    expect(flow.fullRateAfter(base + 4000, 30)).toBeNull();
  });
});

describe('delays of devices', () => {
  it('are those of the named devices alone, where some are named', () => {
    const base = 1_800_000_000_000;
    const watch = watchDelay(base, base + 1000, new Set(['d']));
    watch.arrival(arrival(base + 10, base + 40));
    watch.arrival({ ...arrival(base + 20, base + 90), device: 'e' });
    expect(watch.result()).toEqual([30]);
  });

  it('are the longest of each, of messages of the window alone, and repeats do not count', () => {
    const base = 1_800_000_000_000;
    const watch = watchDelay(base, base + 1000);
    for (const [accepted, at] of [
      [base - 1, base + 9000],
      [base + 10, base + 40],
      [base + 500, base + 1400],
      [base + 1001, base + 8000],
    ] as const)
      watch.arrival(arrival(accepted, at));
    const late = arrival(base + 20, base + 60);
    watch.arrival(late);
    watch.arrival({ ...late, repeat: true, at: base + 7000 });
    watch.arrival({ ...arrival(base + 900, base + 1000), device: 'e' });
    expect(watch.result()).toEqual([900, 100]);
  });

  it('have quantiles by nearest rank', () => {
    expect([0, 0.5, 0.99, 1].map((share) => quantile([1, 2, 3, 4], share))).toEqual([1, 2, 4, 4]);
    expect(quantile([], 0.5)).toBeNull();
  });
});
