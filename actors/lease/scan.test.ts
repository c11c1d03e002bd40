import { expect, it } from 'vitest';
import { partitionOf, uuidV7 } from '../../schema/domain/index.ts';
import type { Directory } from '../placement/index.ts';
import type { Core } from './core.ts';
import { createScan } from './scan.ts';

/** Leases of two dead nodes ended in two heaps, and the scan rested for half a second between them: the last devices were owned after 7.1 s. */
it('looks again soon for a renewal interval after a claim, also while nothing is free', async () => {
  const RENEW_MS = 2000;
  let now = 0;
  const id = uuidV7(1_700_000_000_000);
  const leases = new Map<string, string>();
  const pipeline = () => {
    const replies: unknown[] = [];
    const line = {
      time: () => replies.push([null, ['1700000000', '0']]) && line,
      mget: (key: string) => replies.push([null, [key.endsWith(':generation') ? 'g' : (leases.get(id) ?? null)]]) && line,
      exec: async () => replies,
    };
    return line;
  };
  const redis = { status: 'ready', pipeline };
  const core = {
    deps: { redis, clock: { monotonic: () => now }, dice: { next: () => 0.5 }, telemetry: { count() {} } },
    options: { nodeId: 'a', capacity: 10, renewMs: RENEW_MS, scanMs: 500 },
    masters: { look: async () => new Set([0]), young: () => false },
    locks: { masters: [redis] },
    holdings: { owned: new Map() },
    generations: { get: () => 'g', observe: () => 'known', young: () => false },
    busy: new Set(),
    phase: 'running',
    members: [{ id: 'a', instance: 'a', state: 'ACTIVE', version: '1', host: 'h', capacity: 10, devices: 0, startedAt: 0, beat: 1 }],
    renewalsLate: () => 0,
  } as unknown as Core;
  const directory = {
    version: 1,
    ids: () => [id],
    inPartition: (partition: number) => new Set(partition === partitionOf(id) ? [id] : []),
    pins: new Map(),
  } as unknown as Directory;
  const claims = {
    async claim(ids: readonly string[]) {
      for (const one of ids) leases.set(one, 'token');
      return { asked: ids.length, granted: ids.length, took: 0 };
    },
    adopt: async () => {},
  };
  const scan = createScan(core, directory, claims, async () => {});
  const soonAt = async (ms: number): Promise<boolean> => {
    now = ms;
    return scan.run();
  };
  leases.set(id, 'somebody');
  expect(await soonAt(0)).toBe(false);
  leases.clear();
  expect(await soonAt(500)).toBe(true);
  expect([await soonAt(600), await soonAt(499 + RENEW_MS), await soonAt(500 + RENEW_MS)]).toEqual([true, true, false]);
});
