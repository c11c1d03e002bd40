import { describe, expect, it } from 'vitest';
import type { Redis } from '../../ops/connect/index.ts';
import { createMasters } from './masters.ts';

/**
 * Redis was rolled back to a dump of two seconds before: its leases ended two seconds before their owner, cut off from Redis, stopped acting by its
 * own deadline, and the next owner was served beside it (found by simulation). Since then the absence of a lease says nothing on a server that is
 * young. The script itself is tested on real servers (masters.itest.ts).
 */
const TTL_MS = 6000;

function setting(count: number) {
  let now = 1000;
  const states = Array.from({ length: count }, () => ({ age: 1e6, offset: 5e6, silent: false, anew: 0 }));
  const servers = states.map((state) => ({
    async evalsha(_sha: string, _keys: number, _key: string, anew: string) {
      if (state.silent) return new Promise(() => {});
      if (anew === '1') {
        state.anew += 1;
        state.age = 0;
      }
      return [state.age, now + state.offset];
    },
  }));
  let timers: { readonly at: number; readonly task: () => void }[] = [];
  const clock = {
    monotonic: () => now,
    after(ms: number, task: () => void) {
      const timer = { at: now + ms, task };
      timers.push(timer);
      return () => {
        timers = timers.filter((one) => one !== timer);
      };
    },
  };
  const forward = (ms: number): void => {
    now += ms;
    for (const state of states) state.age += ms;
    for (const { at, task } of timers) if (at <= now) task();
  };
  const masters = createMasters(servers as unknown as Redis[], { ttlMs: TTL_MS, timeoutMs: 1000 }, clock);
  const state = (at: number) => states[at] ?? expect.fail('no such master');
  return { masters, state, forward };
}

describe('which lock masters can be believed', () => {
  it('not one that began less than a TTL ago', async () => {
    const { masters, state, forward } = setting(1);
    state(0).age = 0;
    expect([...(await masters.look())]).toEqual([]);
    expect(masters.young()).toBe(true);
    forward(TTL_MS);
    expect([...(await masters.look())]).toEqual([]);
    // and the share by which clocks may differ
    forward(TTL_MS / 100 + 2);
    expect([...(await masters.look())]).toEqual([0]);
    expect(masters.young()).toBe(false);
  });

  it('not one whose clock was stepped forward: its leases ended with the step', async () => {
    const { masters, state, forward } = setting(1);
    expect([...(await masters.look())]).toEqual([0]);
    forward(500);
    // within what clocks may drift apart
    state(0).offset += 5;
    expect([...(await masters.look())]).toEqual([0]);
    forward(500);
    state(0).offset += 400;
    expect([...(await masters.look())]).toEqual([]);
    expect(state(0).anew).toBe(1);
    forward(500);
    // backwards: leases last longer, that is all
    state(0).offset -= 3_600_000;
    await masters.look();
    expect(state(0).anew).toBe(1);
    forward(TTL_MS);
    expect([...(await masters.look())]).toEqual([0]);
  });

  it('a lease is sure with a quorum of those who gave it, not of those who are there', async () => {
    const { masters, state } = setting(3);
    state(0).age = 100;
    const believed = await masters.look();
    expect([...believed]).toEqual([1, 2]);
    expect(masters.young()).toBe(false);
    // the first one had forgotten that the second one knows an owner
    expect(masters.sure({ voters: new Set([0, 2]) }, believed)).toBe(false);
    expect(masters.sure({ voters: new Set([0, 1, 2]) }, believed)).toBe(true);
  });

  it('does not wait for one that hangs once enough is known, and not for ever otherwise', async () => {
    const { masters, state, forward } = setting(3);
    state(1).silent = true;
    expect([...(await masters.look((believed) => believed.size === 2))]).toEqual([0, 2]);
    state(2).silent = true;
    const asked = masters.look((believed) => believed.size === 2);
    await Promise.resolve();
    forward(1000);
    expect([...(await asked)]).toEqual([0]);
  });
});
