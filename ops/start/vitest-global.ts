import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { systemClock } from '../lifecycle/index.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { findRedis } from './embedded-redis.ts';
import { createGuardian } from './guardian.ts';
import { findOnPath } from './redis-binary.ts';

const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/**
 * Set-up of the integration project: one Postgres for the run (TEST_POSTGRES_URL, unless it is set already) and the place of a Redis
 * server (REDIS_SERVER) from which tests start their own.
 */
export async function setup(): Promise<() => Promise<void>> {
  const redis = await findRedis(process.env, resolve('.data')).catch(() => undefined);
  if (redis !== undefined) process.env['REDIS_SERVER'] = redis;
  const browser = findOnPath(process.env, BROWSERS);
  if (browser !== undefined) process.env['CHROMIUM'] ??= browser;
  const given = process.env['TEST_POSTGRES_URL'];
  if (given !== undefined && given !== '') return async () => {};
  const parent = resolve('.data', 'test');
  mkdirSync(parent, { recursive: true });
  const dataDir = mkdtempSync(join(parent, 'run-'));
  const guardian = createGuardian();
  const postgres = await startEmbeddedPostgres({ clock: systemClock, guardian }, { dataDir, durable: false });
  process.env['TEST_POSTGRES_URL'] = postgres.url;
  return async () => {
    await postgres.stop();
    guardian.close();
    rmSync(dataDir, { recursive: true, force: true });
  };
}
