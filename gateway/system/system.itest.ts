import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../ops/config/index.ts';
import { connectPostgres, connectRedis, type Redis, type Sql } from '../../ops/connect/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { startRedis, type TestRedis } from '../../ops/testing/index.ts';
import { checkRedis, plainAddress, problemsOf, readiness } from './index.ts';

let server: TestRedis;
let redis: Redis;
const nowhere: Sql = connectPostgres('postgres://nobody@127.0.0.1:1/none', { applicationName: 'test' });

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, { role: 'general', name: 'test' });
});
afterAll(async () => {
  redis?.disconnect();
  await server?.stop();
  await nowhere.end({ timeout: 0 });
});

const check = () => checkRedis(redis, { url: server.url.replace('redis://', 'redis://user:secret@'), clock: systemClock });

describe('redis-check', () => {
  it('says what it talks to, and never the password', async () => {
    const report = await check();
    expect(JSON.stringify(report)).not.toContain('secret');
    expect(report).toMatchObject({
      client: 'ioredis',
      address: `redis://127.0.0.1:${server.port}`,
      reachable: true,
      evictionPolicy: 'noeviction',
    });
    expect(report.latencyMs).toBeGreaterThan(0);
    expect(report.memory?.usedBytes).toBeGreaterThan(0);
    expect(report.server?.version).toMatch(/^\d+\.\d+/);
  });

  it('names what is wrong and how to mend it', async () => {
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    const report = await check();
    expect(report.ok).toBe(false);
    expect(report.problems.map((problem) => problem.code)).toEqual(['EVICTION', 'AOF_OFF']);
    expect(report.problems[0]?.mend).toContain('noeviction');
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
    // switching it on for real would leave files of the server in the working folder
    const mended = { ...report, evictionPolicy: 'noeviction', persistence: report.persistence && { ...report.persistence, aof: true } };
    expect(problemsOf(mended)).toEqual([]);
    expect(problemsOf({ ...mended, server: report.server && { ...report.server, version: '6.2.14' } })[0]?.code).toBe('VERSION');
    expect(problemsOf({ ...mended, latencyMs: 40 })[0]?.code).toBe('LATENCY');
    expect(problemsOf({ ...mended, memory: { usedBytes: 90, maxBytes: 100, fragmentation: 1 } })[0]?.code).toBe('MEMORY');
  });

  it('answers soon when nobody is there, or the server stands still', async () => {
    server.freeze();
    const from = systemClock.monotonic();
    const report = await check();
    expect(systemClock.monotonic() - from).toBeLessThan(25_000);
    server.thaw();
    expect(report).toMatchObject({ ok: false, reachable: false, problems: [{ code: 'UNREACHABLE' }] });
  });

  it('hides credentials wherever an address carries them', () => {
    expect(plainAddress('rediss://:pass@cache.example:6380/2?password=x')).toBe('rediss://cache.example:6380/2');
    expect(plainAddress('nonsense')).toBe('unreadable');
  });

  it('a REDIS_URL that still holds a template stops the process with that said', () => {
    const open = '$' + '{{';
    for (const url of [`redis://${open}Redis.HOST}}:6379`, `${open}REDIS_URL}}`, 'redis://{{ host }}:6379', 'redis://<host>:6379']) {
      expect(() => loadConfig({ REDIS_URL: url })).toThrow(ConfigError);
      expect(() => loadConfig({ REDIS_URL: url })).toThrow(/REDIS_URL: still holds an unfilled template/);
    }
  });
});

describe('readiness', () => {
  it('names the dependency that is missing, soon', async () => {
    const from = systemClock.monotonic();
    expect(await readiness({ sql: nowhere, redis, clock: systemClock, draining: false })).toEqual({
      ready: false,
      postgres: 'missing',
      redis: 'ok',
      draining: false,
    });
    expect(systemClock.monotonic() - from).toBeLessThan(25_000);
  });
});
