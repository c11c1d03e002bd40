import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { connectRedis, redisReady } from '../../../../ops/connect/index.ts';
import { freePort } from '../../../../ops/start/index.ts';
import { redisCommand } from '../../../../ops/testing/index.ts';
import { createRedisClock, redisClockMissing } from './redis-clock.ts';

describe.skipIf((await redisClockMissing()) !== undefined)('a clock for Redis', () => {
  it('steps while Redis runs, and what lives by it ends or lives on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'redis-clock-'));
    const clock = await createRedisClock(folder, 'clock');
    const port = await freePort();
    const server = redisCommand();
    const child: ChildProcess = spawn(server.file, ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder], {
      stdio: 'ignore',
      env: { ...server.env, ...clock.env },
    });
    const redis = connectRedis(`redis://127.0.0.1:${port}`, { role: 'general', name: 'test' });
    const ahead = async (): Promise<number> => Math.round((Number((await redis.time())[0]) - Date.now() / 1000) / 10) * 10 || 0;
    try {
      await redisReady(redis, 30_000);
      expect(await ahead()).toBe(0);
      await redis.set('lease', 'x', 'PX', 600_000);
      clock.step(-3600);
      expect(await ahead()).toBe(-3600);
      expect(await redis.get('lease')).toBe('x');
      clock.step(3600);
      expect(await ahead()).toBe(3600);
      expect(await redis.get('lease')).toBeNull();
    } finally {
      redis.disconnect();
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true });
    }
  }, 60_000);
});
