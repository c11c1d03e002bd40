import { describe, expect, it } from 'vitest';
import { runWorldSoon, SETTINGS } from './world.ts';

const SMALL = { ...SETTINGS, devices: 12, messages: 300, faults: 6, seconds: 40 };

describe('a simulated world', () => {
  it('has the same trace whenever it has the same seed', async () => {
    const [first, again, other] = [await runWorldSoon(5, SMALL), await runWorldSoon(5, SMALL), await runWorldSoon(6, SMALL)];
    expect(again).toEqual(first);
    expect(other?.hash).not.toBe(first?.hash);
  });

  it('ends every message of every seed, in order, once, under one owner', { timeout: 60_000 }, async () => {
    for (let seed = 100; seed < 112; seed++) expect(await runWorldSoon(seed, SMALL)).toMatchObject({ seed, violations: [] });
  });

  it('gives back what it takes from the process', async () => {
    const before = [globalThis.setImmediate, Date.now, process.listenerCount('unhandledRejection')];
    await runWorldSoon(7, { ...SMALL, messages: 20, seconds: 25 });
    expect([globalThis.setImmediate, Date.now, process.listenerCount('unhandledRejection')]).toEqual(before);
    expect(Date.now()).toBeLessThan(1_800_000_000_000 + 100 * 365 * 86_400_000);
  });
});
