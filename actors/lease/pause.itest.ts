import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { createDatabase, startRedis, type TestDatabase, type TestRedis } from '../../ops/testing/index.ts';
import { deviceKeys } from '../../schema/domain/index.ts';
import { eventually, GIVE_UP_MS, makeDevices, startNode, type TestNode } from './fleet.testing.ts';

/**
 * The main loop is stopped for real (Atomics.wait: no timer, no socket, nothing runs), with the default times: TTL 6 s, renewal 2 s,
 * margin 0.5 s (docs/decisions/0008). A longer stop is felt by everything in it, the renewal too: that is what gates it by the loop's life.
 */
describe('a main loop that stops', () => {
  const DEFAULTS = { ttlMs: 6000, renewMs: 2000, scanMs: 500, marginMs: 500 };
  let redis: TestRedis;
  let database: TestDatabase;
  let node: TestNode;

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis.stop();
  });
  beforeEach(async () => {
    await redis.flush();
    database = await createDatabase();
    await makeDevices(database, 200);
    node = await startNode('node-a', redis, database, DEFAULTS);
    await node.ownership.start();
    await eventually('all owned', () => node.ownership.owned.size === 200);
  });
  afterEach(async () => {
    await node.close();
    await database.drop();
  });
  const stop = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

  it('for 2 s, three times: no lease is lost, and every device may act before, after and in the moment it wakes', async () => {
    const devices = [...node.ownership.owned.values()];
    // From the lease that ends first: where the loop was late before, the next stop waits for the renewals that it held up. Twice in a row, because
    // Redis has a renewal before its owner has the answer, and acts by the answer.
    const renewed = async (): Promise<void> => {
      const begun = systemClock.monotonic();
      for (let good = 0; good < 2; ) {
        if (systemClock.monotonic() - begun > GIVE_UP_MS) throw new Error('the leases are not renewed');
        await systemClock.sleep(100);
        const left = await Promise.all(devices.map(({ deviceId }) => node.redis.pttl(deviceKeys(deviceId).lease)));
        good = Math.min(...left) < DEFAULTS.ttlMs - DEFAULTS.renewMs - 300 ? 0 : good + 1;
      }
    };
    for (const wait of [0, 700, 1300]) {
      await systemClock.sleep(wait);
      await renewed();
      stop(2000);
      expect(devices.filter((device) => !device.canAct())).toEqual([]);
    }
    await renewed();
    expect(node.ownership.owned.size).toBe(200);
    expect(node.counted('lease.lost')).toBe(0);
    expect(devices.filter((device) => device.signal.aborted)).toEqual([]);
  });

  it('for longer than a lease: they end in Redis, and nobody may act in the moment it wakes, before anything has run', async () => {
    const devices = [...node.ownership.owned.values()];
    stop(6500);
    expect(devices.filter((device) => device.canAct())).toEqual([]);
    const left = await node.redis.exists(...devices.slice(0, 1).map((device) => deviceKeys(device.deviceId).lease));
    expect(left).toBe(0);
    await eventually('every ownership was ended', () => devices.every((device) => device.signal.aborted));
  });
});
