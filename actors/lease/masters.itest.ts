import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { connectRedis, type Redis, redisReady } from '../../ops/connect/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { createDatabase, startRedis, type TestDatabase, type TestRedis } from '../../ops/testing/index.ts';
import { deviceKeys } from '../../schema/domain/index.ts';
import { eventually, freezableClock, makeDevices, overlaps, startNode, TEST_TTL_MS, type TestNode } from './fleet.testing.ts';
import { createMasters } from './masters.ts';

/** A lock master that goes back in time, on real servers (masters.ts). */
let redis: TestRedis;
let client: Redis;
let database: TestDatabase;
let nodes: TestNode[] = [];
const folder = mkdtempSync(join(tmpdir(), 'flotilla-masters-'));

beforeAll(async () => {
  [redis, database] = await Promise.all([startRedis(), createDatabase()]);
});
beforeEach(async () => {
  await redis.restart(folder);
  client = connectRedis(redis.url, { role: 'lease', name: 'test' });
  await redisReady(client);
  await client.flushall();
});
afterEach(async () => {
  client.disconnect();
  await Promise.all(nodes.map((node) => node.close()));
  nodes = [];
});
afterAll(async () => {
  await Promise.all([redis.stop(), database.drop()]);
  rmSync(folder, { recursive: true, force: true });
});

it('is believed one TTL after it began, was emptied, or started again with what it had', async () => {
  const ttlMs = 200;
  let lag = 0;
  const clock = { monotonic: () => systemClock.monotonic() - lag, after: systemClock.after };
  const masters = createMasters([client], { ttlMs, timeoutMs: 20_000 }, clock);
  const later = createMasters([client], { ttlMs, timeoutMs: 20_000 }, clock);
  const old = async (): Promise<void> => {
    while ((await masters.look()).size === 0) await systemClock.sleep(20);
  };
  expect((await masters.look()).size).toBe(0);
  await old();
  // what one of them found the others need not wait for
  expect((await later.look()).size).toBe(1);

  await client.flushall();
  expect((await masters.look()).size).toBe(0);
  await old();

  await client.save();
  await redis.restart(folder);
  await redisReady(client);
  expect((await masters.look()).size).toBe(0);
  await old();

  // its clock is a second ahead of what it was
  lag += 1000;
  expect((await masters.look()).size).toBe(0);
  await old();
});

it('a device whose lease a rolled-back Redis has forgotten is not taken while its owner may act', async () => {
  const ids = await makeDevices(database, 5);
  const clock = freezableClock();
  const start = async (id: string, settings: Parameters<typeof startNode>[3] = {}): Promise<TestNode> => {
    const node = await startNode(id, redis, database, settings);
    nodes.push(node);
    await node.ownership.start();
    return node;
  };
  const first = await start('node-a', { clock });
  await eventually('all owned', () => first.ownership.owned.size === 5);
  // in young partitions only the named owner claims anyway
  await systemClock.sleep(TEST_TTL_MS);
  await eventually('all owned still', () => first.ownership.owned.size === 5);
  first.freeze();
  await client.del(...ids.map((id) => deviceKeys(id).lease));
  await client.save();
  await redis.restart(folder);
  await redisReady(client);
  const began = systemClock.monotonic();
  const second = await start('node-b');
  const twice: string[] = [];
  await eventually('all taken over', () => {
    twice.push(...overlaps(nodes));
    return second.ownership.owned.size === 5;
  });
  expect(twice).toEqual([]);
  for (const { at } of second.grants) expect(at - began).toBeGreaterThanOrEqual(TEST_TTL_MS);
});
