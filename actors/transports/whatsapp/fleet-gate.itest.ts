import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectRedis, type Redis, redisReady } from '../../../ops/connect/index.ts';
import { type Clock, systemClock } from '../../../ops/lifecycle/index.ts';
import { startRedis, type TestRedis } from '../../../ops/testing/index.ts';
import { fleetGateConformance } from './fleet-gate.conformance.ts';
import { createMemoryGate, createRedisGate, type FleetGateOptions } from './fleet-gate.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
let server: TestRedis;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, { role: 'general', name: 'test' });
  await redisReady(redis);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

fleetGateConformance('in memory', async () => {
  let now = 0;
  const clock: Clock = { ...systemClock, monotonic: () => now };
  const current: FleetGateOptions = { places: 1, placeLifeMs: 1, devices: 1, windowMs: 1, probeMs: 1 };
  const gate = createMemoryGate(clock, quiet, current);
  return {
    nodes: (options) => {
      Object.assign(current, options);
      return [gate, gate];
    },
    wait: async (ms) => {
      now += ms;
    },
  };
});
fleetGateConformance('in Redis', async () => {
  await redis.flushall();
  return {
    nodes: (options) => {
      const node = () => createRedisGate({ redis, clock: systemClock, log: quiet }, options);
      return [node(), node()];
    },
    wait: (ms) => systemClock.sleep(ms),
  };
});

describe('a node whose Redis does not answer', () => {
  it('goes by itself: its own bound and its own breaker', async () => {
    const gone = { evalsha: () => Promise.reject(new Error('gone')) } as unknown as Redis;
    const gate = createRedisGate(
      { redis: gone, clock: systemClock, log: quiet },
      { places: 1, placeLifeMs: 60_000, devices: 1, windowMs: 60_000, probeMs: 60_000 },
    );
    expect([(await gate.ask('1')).go, (await gate.ask('2')).go]).toEqual([true, false]);
    await gate.ended('1', 503);
    expect(await gate.ask('2')).toMatchObject({ go: false, code: 503 });
    await gate.ended('1', 'opened');
    expect((await gate.ask('2')).go).toBe(true);
  });
});
