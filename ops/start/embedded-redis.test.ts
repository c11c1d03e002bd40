import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { NoRedis } from './debian-redis.ts';
import { findRedis } from './embedded-redis.ts';

const home = mkdtempSync(join(tmpdir(), 'flotilla-redis-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

function program(folder: string, name: string, mode = 0o755): string {
  mkdirSync(join(home, folder), { recursive: true });
  const path = join(home, folder, name);
  writeFileSync(path, '#!/bin/sh\n');
  chmodSync(path, mode);
  return path;
}

describe('where the Redis server comes from', () => {
  const redis = program('a', 'redis-server');
  const valkey = program('b', 'valkey-server');
  const unpacked = program('data/redis', 'redis-server');
  program('c', 'redis-server', 0o644);
  const data = join(home, 'data');

  it('is the one named in REDIS_SERVER first', async () => {
    expect(await findRedis({ REDIS_SERVER: '/x/redis', PATH: join(home, 'a') }, data)).toBe('/x/redis');
  });
  it('is redis-server, then valkey-server on PATH, executables only', async () => {
    expect(await findRedis({ PATH: [join(home, 'b'), join(home, 'c'), join(home, 'a')].join(':') }, data)).toBe(redis);
    expect(await findRedis({ PATH: [join(home, 'c'), join(home, 'b')].join(':') }, data)).toBe(valkey);
  });
  it('is the one unpacked earlier where none is installed', async () => {
    expect(await findRedis({ PATH: join(home, 'nowhere') }, data)).toBe(unpacked);
  });
  it('else says what to install', () => {
    expect(new NoRedis('this machine has no apt-get').message).toMatch(/no apt-get[\s\S]*apt-get install redis-server[\s\S]*REDIS_URL/);
  });
});
