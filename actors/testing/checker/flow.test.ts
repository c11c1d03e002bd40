import { describe, expect, it } from 'vitest';
import { uuidV7 } from '../../../schema/domain/index.ts';
import type { Arrival } from '../../transports/simulator/index.ts';
import { watchFlow } from './flow.ts';

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
