import { describe, expect, it } from 'vitest';
import type { Redis } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { partitionOf } from '../../schema/domain/index.ts';
import { withinDeadline } from './deadline.ts';
import { bornAt, createGenerations } from './generations.ts';
import { createHoldings } from './holdings.ts';
import { namedBy } from './let-go.ts';
import { startLoop } from './loop.ts';
import { byPartition, chunks, eachLimited } from './pool.ts';
import { judge } from './renew.ts';

const telemetry = createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0 });

function fakeClock(): Clock & { forward(ms: number): void; skipWall(ms: number): void } {
  let now = 0;
  let skipped = 1_000_000;
  let timers: { at: number; task: () => void }[] = [];
  return {
    monotonic: () => now,
    wall: () => now + skipped,
    after(ms, task) {
      const timer = { at: now + ms, task };
      timers.push(timer);
      return () => {
        timers = timers.filter((one) => one !== timer);
      };
    },
    sleep: async () => {},
    forward(ms) {
      now += ms;
      const due = timers.filter((one) => one.at <= now);
      timers = timers.filter((one) => one.at > now);
      for (const timer of due) timer.task();
    },
    skipWall(ms) {
      skipped += ms;
    },
  };
}

describe('withinDeadline', () => {
  it('ends the margin before the deadline, on the millisecond', () => {
    expect(withinDeadline(399, 500, 100)).toBe(true);
    expect(withinDeadline(400, 500, 100)).toBe(false);
  });
});

describe('holdings', () => {
  const id = 'a-device';
  const make = () => {
    const clock = fakeClock();
    const holdings = createHoldings({ clock, telemetry, marginMs: 100 });
    const lease = { deviceId: id, token: 't', deadline: 1000, wallDeadline: clock.wall() + 1000 };
    const device = holdings.grant(lease, 3, 'new', 0);
    return { clock, holdings, lease, device };
  };

  it('lets a device act until its deadline less the margin, then aborts it', () => {
    const { clock, holdings, device } = make();
    clock.forward(899);
    expect(device.canAct()).toBe(true);
    expect(holdings.expire()).toEqual([]);
    clock.forward(1);
    expect(device.canAct()).toBe(false);
    expect(device.signal.aborted).toBe(false);
    expect(holdings.expire().map((held) => held.token)).toEqual(['t']);
    expect(device.signal.reason).toBe('EXPIRED');
    expect(holdings.owned.size).toBe(0);
    expect([...holdings.partitions()]).toEqual([]);
  });

  it('finds what has ended among what was renewed, also what came later with an earlier end', () => {
    const { clock, holdings } = make();
    const add = (deviceId: string, deadline: number) =>
      holdings.grant({ deviceId, token: deviceId, deadline, wallDeadline: clock.wall() + deadline }, 1, 'new', 0);
    add('b', 3000);
    holdings.extend(id, 't', { deadline: 2000, wallDeadline: clock.wall() + 2000 });
    clock.forward(900);
    // the first look past the earliest end: all were renewed meanwhile
    expect(holdings.expire()).toEqual([]);
    add('c', 1500);
    clock.forward(500);
    expect(holdings.expire().map((held) => held.token)).toEqual(['c']);
    clock.forward(500);
    expect(holdings.expire().map((held) => held.token)).toEqual(['t']);
    clock.forward(999);
    expect(holdings.expire()).toEqual([]);
    clock.forward(1);
    expect(holdings.expire().map((held) => held.token)).toEqual(['b']);
  });

  it('moves a deadline forward only, and only for the same token', () => {
    const { clock, holdings, device } = make();
    const later = { deadline: 2000, wallDeadline: clock.wall() + 2000 };
    holdings.extend(id, 'another', later);
    holdings.extend(id, 't', { deadline: 500, wallDeadline: 0 });
    clock.forward(899);
    expect(device.canAct()).toBe(true);
    holdings.extend(id, 't', later);
    clock.forward(1000);
    expect(device.canAct()).toBe(true);
    clock.forward(1);
    expect(device.canAct()).toBe(false);
  });

  it('stops acting when only the wall clock says that the lease has ended: the machine slept', () => {
    const { clock, device } = make();
    clock.skipWall(950);
    expect(device.canAct()).toBe(false);
  });

  it('aborts before it forgets, once, and remembers which epoch it was', () => {
    const { holdings, device } = make();
    let ownedAtAbort: boolean | undefined;
    device.signal.addEventListener('abort', () => {
      ownedAtAbort = holdings.owned.has(id);
    });
    expect(holdings.inPartition(partitionOf(id)).length).toBe(1);
    expect(holdings.lose(id, 'FENCED')?.token).toBe('t');
    expect(holdings.lose(id, 'EXPIRED')).toBeUndefined();
    expect(ownedAtAbort).toBe(true);
    expect(device.signal.reason).toBe('FENCED');
    expect(device.canAct()).toBe(false);
    expect(holdings.heldBefore(id, 3)).toBe(true);
    expect(holdings.heldBefore(id, 4)).toBe(false);
  });

  it('a new grant of the same device is a new object; the old one stays dead', () => {
    const { clock, holdings, device } = make();
    const next = holdings.grant({ deviceId: id, token: 'u', deadline: 5000, wallDeadline: clock.wall() + 5000 }, 4, 'rebuild', 0);
    expect(device.canAct()).toBe(false);
    expect(next.canAct()).toBe(true);
    expect(holdings.owned.get(id)).toBe(next);
  });
});

describe('judge', () => {
  it('counts a quorum; silence is unknown, never lost or kept', () => {
    expect(judge('k', ['k'], 1)).toBe('kept');
    expect(judge('k', ['l'], 1)).toBe('lost');
    expect(judge(undefined, [undefined], 1)).toBe('unknown');
    expect(judge('k', ['k', 'k', undefined], 2)).toBe('kept');
    expect(judge('k', ['k', 'l', undefined], 2)).toBe('unknown');
    expect(judge('k', ['k', 'l', 'l'], 2)).toBe('lost');
    expect(judge('k', ['k', 'r', 'r'], 2)).toBe('lost');
    expect(judge('f', ['k', 'k', 'k'], 2)).toBe('fenced');
    expect(judge(undefined, ['k', 'k', 'l'], 2)).toBe('kept');
  });
});

describe('generations', () => {
  it('learns, tells a loss from news, and ignores answers to old questions', () => {
    const generations = createGenerations({} as Redis, 1000);
    expect(generations.observe(1, null, undefined)).toBe('missing');
    expect(generations.observe(1, 'a:5000', undefined)).toBe('learned');
    expect(generations.observe(1, 'a:5000', 'a:5000')).toBe('same');
    expect(generations.observe(1, null, undefined)).toBe('same');
    expect(generations.observe(1, null, 'a:5000')).toBe('lost-missing');
    expect(generations.observe(1, 'b:6000', 'a:5000')).toBe('lost-changed');
    expect(generations.young(1, 5999)).toBe(true);
    expect(generations.young(1, 6000)).toBe(false);
    generations.forget(1);
    expect(generations.get(1)).toBeUndefined();
    expect(generations.young(1, 9_999_999)).toBe(true);
    expect(bornAt('abc:1700000000000')).toBe(1_700_000_000_000);
    expect(bornAt('nonsense')).toBe(0);
  });
});

describe('namedBy', () => {
  it('an owner that let go at this epoch is nobody, at an earlier one it still counts', () => {
    const row = { deviceId: 'd', epoch: 4, node: 'a' };
    expect(namedBy(row, new Map(), 'a')).toBe('me');
    expect(namedBy(row, new Map(), 'b')).toBe('other');
    expect(namedBy(row, new Map([['d', 4]]), 'b')).toBe('nobody');
    expect(namedBy(row, new Map([['d', 3]]), 'b')).toBe('other');
    expect(namedBy({ ...row, node: null }, new Map(), 'b')).toBe('nobody');
  });
});

describe('loop', () => {
  it('runs one at a time, again when kicked meanwhile, goes on after an error, and stops', async () => {
    const clock = fakeClock();
    const errors: unknown[] = [];
    const releases: (() => void)[] = [];
    let runs = 0;
    const settle = async (): Promise<void> => {
      for (let i = 0; i < 10; i++) await Promise.resolve();
    };
    const loop = startLoop(
      clock,
      () => 10,
      () =>
        new Promise((resolve, reject) => {
          runs++;
          releases.push(runs === 2 ? () => reject(new Error('twice')) : resolve);
        }),
      (error) => errors.push(error),
    );
    clock.forward(10);
    expect(runs).toBe(1);
    loop.kick();
    clock.forward(100);
    expect(runs).toBe(1);
    releases[0]?.();
    await settle();
    expect(runs).toBe(2);
    releases[1]?.();
    await settle();
    expect(errors.length).toBe(1);
    clock.forward(10);
    expect(runs).toBe(3);
    const stopped = loop.stop();
    releases[2]?.();
    await stopped;
    loop.kick();
    clock.forward(100);
    expect(runs).toBe(3);
  });
});

describe('pool', () => {
  it('keeps to the limit, and fails with the first error when the running ones have ended', async () => {
    let running = 0;
    let most = 0;
    await eachLimited([1, 2, 3, 4, 5, 6], 2, async () => {
      most = Math.max(most, ++running);
      await Promise.resolve();
      running--;
    });
    expect(most).toBe(2);
    await expect(
      eachLimited([1, 2, 3], 1, async (item) => {
        if (item === 2) throw new Error('two');
      }),
    ).rejects.toThrow('two');
    expect(chunks([1, 2, 3], 2)).toEqual([[1, 2], [3]]);
    expect([...byPartition(['a', 'bb', 'c'], (text) => text.length)]).toEqual([
      [1, ['a', 'c']],
      [2, ['bb']],
    ]);
  });
});
