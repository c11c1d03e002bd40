import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectRedis, type Redis, redisReady } from '../../ops/connect/index.ts';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';
import { startRedis } from '../../ops/testing/index.ts';
import { rateKey } from '../../schema/domain/index.ts';
import { createShares, shareLimits, sharesFrom } from './index.ts';

let server: Awaited<ReturnType<typeof startRedis>>;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, { role: 'general', name: 'shares' });
  await redisReady(redis);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

it('gives no more than there is, refills with time, and is full again when nobody asked for long', async () => {
  const source = sharesFrom(redis);
  // a bucket so slow that the time a busy machine takes refills nothing
  const limits = { perSecond: 0.01, most: 10, ahead: 0 };
  const ask = async (wanted: number, kind: 'auth' | 'tenant' = 'auth') => (await source(kind, limits, [{ name: 'x', wanted }]))[0];
  expect(await ask(7)).toEqual({ given: 7, waitMs: 0 });
  const rest = await ask(7);
  expect(rest?.given).toBe(3);
  expect(rest?.waitMs).toBeGreaterThan(0);
  expect((await ask(1))?.given).toBe(0);
  // another kind and another name have buckets of their own
  expect((await ask(7, 'tenant'))?.given).toBe(7);
  expect((await source('auth', limits, [{ name: 'y', wanted: 2 }]))[0]?.given).toBe(2);
  const key = rateKey('auth', 'x');
  expect(await redis.pttl(key)).toBeGreaterThan(900_000);
  const at = Number(await redis.hget(key, 'at'));
  await redis.hset(key, 'at', at - 250_000);
  expect((await ask(9))?.given).toBe(2);
  // a clock that has stepped back takes nothing away
  await redis.hset(key, 'tokens', 4, 'at', at + 3_600_000);
  expect((await ask(9))?.given).toBe(4);
  await redis.del(key);
  expect((await ask(20))?.given).toBe(10);
});

it('two gateways get the tokens of one over a real Redis', async () => {
  const limits = { ...shareLimits(200), most: 20, perSecond: 20, ahead: 4 };
  const gateways = [1, 2].map(() => createShares({ clock, source: sharesFrom(redis) }, 'tenant', limits));
  const began = clock.monotonic();
  let passed = 0;
  // at least what was there, however slow the machine
  while (clock.monotonic() - began < 2_000 || (passed < 20 && clock.monotonic() - began < 60_000)) {
    for (const shares of gateways) {
      if (shares.wait('both') > 0) continue;
      shares.take('both');
      passed += 1;
    }
    await clock.sleep(5);
  }
  const seconds = (clock.monotonic() - began) / 1000;
  // what was there, what came since, and what each may owe
  expect(passed).toBeLessThanOrEqual(20 + 20 * seconds + 2 * 40 + 1);
  expect(passed).toBeGreaterThanOrEqual(20);
});
