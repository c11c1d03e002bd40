import { describe, expect, it } from 'vitest';
import type { Redis } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { partitionOf, uuidV7 } from '../../schema/domain/index.ts';
import type { Directory } from '../placement/index.ts';
import { type Claims, createClaims } from './claim.ts';
import type { Core } from './core.ts';
import { createGenerations } from './generations.ts';
import { createHoldings } from './holdings.ts';
import { startLoop } from './loop.ts';
import { chunks, eachLimited } from './pool.ts';
import type { Lease } from './redlock.ts';
import { createRenewalWheel } from './renewal.ts';
import { createScan } from './scan.ts';

/**
 * A cold start of 100,000 devices on a machine that was busy with other things: nodes claimed faster than they could renew what they had,
 * so leases ended behind the claims, were claimed again, and after two minutes a third was owned and 120,000 claims were made.
 * Here a process with one loop on a clock that runs only when told: every device that was granted needs some rounds of the loop to begin, so
 * the more have been granted, the longer a round takes; what Redis answers is heard late, and later than a second is not heard at all.
 */
const TTL_MS = 6000;
const RENEW_MS = 2000;
const SCAN_MS = 500;
const MARGIN_MS = 500;

/** rounds of the loop until a granted device has begun */
const ROUNDS = 20;
/** as of a client of role lease */
const COMMAND_TIMEOUT_MS = 1000;

interface Cost {
  /** ms of the server per lease won */
  readonly claimMs: number;
  /** ms of the loop per device that is beginning, each round */
  readonly roundMs: number;
}

function makeNode(count: number, cost: Cost, blind = false) {
  let now = 0;
  let timers: { at: number; order: number; task: () => void }[] = [];
  let order = 0;
  const clock: Clock = {
    monotonic: () => now,
    wall: () => 1_700_000_000_000 + now,
    after(ms, task) {
      const timer = { at: now + ms, order: order++, task };
      timers.push(timer);
      return () => {
        timers = timers.filter((one) => one !== timer);
      };
    },
    sleep: (ms) => new Promise((resolve) => void clock.after(ms, resolve)),
  };
  /** settles when the server has done this after all that was asked before; rejects when that is heard too late */
  let free = 0;
  const serve = async (ms: number): Promise<void> => {
    const sent = now;
    free = Math.max(free, now) + ms;
    await clock.sleep(free - now);
    if (now - sent > COMMAND_TIMEOUT_MS) throw new Error('Command timed out');
  };
  /** granted devices that are beginning: rounds left */
  let beginning: { devices: number; rounds: number }[] = [];
  const work = (): void => {
    for (const some of beginning) {
      now += some.devices * cost.roundMs;
      some.rounds -= 1;
    }
    beginning = beginning.filter((some) => some.rounds > 0);
  };
  const generation = 'g:0';
  const pipeline = () => {
    const replies: unknown[] = [];
    let ms = 0.1;
    const line = {
      time: () => {
        replies.push(['1700000000', '0']);
        return line;
      },
      get: () => {
        replies.push(null);
        return line;
      },
      mget: (...keys: string[]) => {
        replies.push(keys.map((key) => (key.endsWith(':generation') ? generation : null)));
        return line;
      },
      // renew.lua: three arguments per device behind the key, the generation, the TTL and a flag
      evalsha: (_sha: string, _keys: number, ...args: unknown[]) => {
        const devices = (args.length - 4) / 3;
        ms += devices * 0.005;
        replies.push('k'.repeat(devices));
        return line;
      },
      exec: async () => {
        await serve(ms);
        return replies.map((reply) => [null, reply]);
      },
    };
    return line;
  };
  const redis = {
    status: 'ready',
    pipeline,
    // fence.lua
    evalsha: async (_sha: string, keys: number) => {
      await serve(0.05);
      return 'k'.repeat(keys - 1);
    },
  } as unknown as Redis;
  const counts = new Map<string, number>();
  const telemetry = {
    log: { debug() {}, info() {}, warn() {}, error() {} },
    count: (name: string, value = 1) => void counts.set(name, (counts.get(name) ?? 0) + value),
    record() {},
  } as unknown as Telemetry;
  const ids = Array.from({ length: count }, () => uuidV7(clock.wall()));
  const partitions = new Map<number, Set<string>>();
  for (const id of ids) partitions.set(partitionOf(id), (partitions.get(partitionOf(id)) ?? new Set()).add(id));
  const deadlines = (sent: { monotonic: number; wall: number }) => ({
    deadline: sent.monotonic + TTL_MS,
    wallDeadline: sent.wall + TTL_MS,
  });
  const instant = () => ({ monotonic: clock.monotonic(), wall: clock.wall() });
  let asked = 0;
  const core = {
    deps: {
      redis,
      clock,
      telemetry,
      dice: { next: () => 0.5 },
      listener: { granted: (devices: readonly unknown[]) => void beginning.push({ devices: devices.length, rounds: ROUNDS }) },
      ledger: {
        owners: async (some: readonly string[]) => some.map((deviceId) => ({ deviceId, epoch: 0, node: null })),
        bump: async (pairs: readonly { deviceId: string; epoch: number }[]) =>
          pairs.map(({ deviceId, epoch }) => ({ deviceId, epoch: epoch + 1, crashes: 0 })),
      },
    },
    options: { nodeId: 'node-a', capacity: 100_000, ttlMs: TTL_MS, renewMs: RENEW_MS, scanMs: SCAN_MS, marginMs: MARGIN_MS },
    masters: { look: async () => new Set([0]), young: () => false, sure: () => true },
    locks: {
      masters: [redis],
      quorum: 1,
      now: instant,
      deadlines,
      release: async () => {},
      async acquire(some: readonly string[]) {
        asked += some.length;
        // as many at once as the real one: each lease counts from when it was asked for
        const won: Lease[] = [];
        await eachLimited(chunks(some, 64), 1, async (batch) => {
          const sent = instant();
          const heard = await serve(batch.length * cost.claimMs).then(
            () => true,
            () => false,
          );
          if (!heard) return;
          for (const deviceId of batch) won.push({ deviceId, token: `token of ${deviceId}`, ...deadlines(sent) });
        });
        return won;
      },
    },
    holdings: createHoldings({ clock, telemetry, marginMs: MARGIN_MS }),
    generations: createGenerations(redis, TTL_MS),
    busy: new Set(),
    phase: 'running',
    members: [
      { id: 'node-a', instance: 'a', state: 'ACTIVE', version: '1', host: 'h', capacity: 100_000, devices: 0, startedAt: 0, beat: 1 },
    ],
    partitionLost: (partition: number, cause: string) => {
      throw new Error(`partition ${partition} lost: ${cause}`);
    },
    letGo: async () => {},
    renewalsLate: () => (blind ? 0 : wheel.lateMs() / RENEW_MS),
    renewSoon: (partition: number) => wheel.soon(partition),
  } as unknown as Core;
  const wheel = createRenewalWheel(core);
  const directory = {
    version: 1,
    ids: () => ids,
    inPartition: (partition: number) => partitions.get(partition) ?? new Set(),
    pins: new Map(),
  } as unknown as Directory;
  const claims = createClaims(core);
  const unconcerned: Claims = {
    ...claims,
    async claim(some, named) {
      const { asked: tried } = await claims.claim(some, named);
      return { asked: tried, granted: tried, took: 0 };
    },
  };
  const scan = createScan(core, directory, blind ? unconcerned : claims, async () => {});
  let hurry = false;
  const report = (error: unknown): void => void errors.push(error);
  const errors: unknown[] = [];
  startLoop(
    clock,
    () => RENEW_MS / 20,
    async () => wheel.tick(),
    report,
  );
  startLoop(
    clock,
    () => (hurry ? SCAN_MS / 5 : SCAN_MS),
    async () => {
      hurry = await scan.run();
    },
    report,
  );
  return {
    core,
    errors,
    wheel,
    lost: () => counts.get('lease.lost') ?? 0,
    held: () => counts.get('claims.held') ?? 0,
    asked: () => asked,
    owned: () => core.holdings.owned.size,
    /** runs the world until `ms` from now or until `done` */
    async run(ms: number, done: () => boolean = () => false): Promise<number> {
      const end = now + ms;
      while (now <= end && !done()) {
        const due = timers.filter((one) => one.at <= now).sort((a, b) => a.at - b.at || a.order - b.order);
        timers = timers.filter((one) => one.at > now);
        for (const one of due) {
          one.task();
          await reactions();
        }
        if (beginning.length > 0) work();
        else now = Math.max(now, Math.min(...timers.map((one) => one.at)));
      }
      return now;
    },
  };
}
const reactions = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe('claims under pressure', () => {
  const SLOW: Cost = { claimMs: 0.2, roundMs: 0.8 };

  it('a node whose devices begin slowly: renewals come first, nothing is lost, all are owned in the end', async () => {
    const node = makeNode(12_000, SLOW);
    await node.run(300_000, () => node.owned() === 12_000);
    expect(node.errors).toEqual([]);
    expect(node.owned()).toBe(12_000);
    expect(node.lost()).toBe(0);
    await node.run(10_000);
    expect(node.lost()).toBe(0);
  });

  it('the same without looking at renewals loses leases and claims them again', async () => {
    const node = makeNode(12_000, SLOW, true);
    await node.run(120_000);
    expect(node.lost()).toBeGreaterThan(2000);
    expect(node.owned()).toBeLessThan(6000);
  });

  it('claims nothing while a renewal has no answer, and goes on when it has', async () => {
    const node = makeNode(3000, { claimMs: 0.2, roundMs: 0.01 });
    await node.run(60_000, () => node.owned() >= 600);
    let late = 0.9;
    const { renewalsLate } = node.core;
    Object.assign(node.core, { renewalsLate: () => Math.max(late, renewalsLate()) });
    await node.run(600);
    const before = node.asked();
    await node.run(5000);
    expect(node.asked()).toBe(before);
    expect(node.held()).toBeGreaterThan(5);
    late = 0;
    await node.run(60_000, () => node.owned() === 3000);
    expect(node.owned()).toBe(3000);
    expect(node.lost()).toBe(0);
  });

  it('a node that is fast is not held back', async () => {
    const node = makeNode(10_000, { claimMs: 0.2, roundMs: 0.01 });
    expect(await node.run(60_000, () => node.owned() === 10_000)).toBeLessThan(10_000);
    expect(node.held()).toBe(0);
  });
});
