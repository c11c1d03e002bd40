import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectRedis, type Redis, redisReady } from '../../ops/connect/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { createDatabase, startRedis, type TestDatabase, type TestRedis } from '../../ops/testing/index.ts';
import { deviceKeys, uuidV7 } from '../../schema/domain/index.ts';
import { openSealedStore } from './choose.ts';
import { createFileStore } from './file-store.ts';
import { createPostgresStore } from './postgres-store.ts';
import { checkRedisKeeps, createRedisStore } from './redis-store.ts';
import { sealedConformance } from './sealed.conformance.ts';

let database: TestDatabase;
let server: TestRedis;
let redis: Redis;
let folder: string;

beforeAll(async () => {
  database = await createDatabase();
  server = await startRedis();
  redis = connectRedis(server.url, { role: 'general', name: 'test' });
  await redisReady(redis);
  folder = mkdtempSync(join(tmpdir(), 'flotilla-sessions-'));
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

async function rowOfDevice(): Promise<string> {
  const { sql } = database;
  const id = uuidV7(systemClock.wall());
  await sql`insert into tenants (id, name) values (${id}, ${id})`;
  await sql`insert into devices (id, tenant_id, partition, name, transport) values (${id}, ${id}, 1, 'phone', 'whatsapp')`;
  await sql`insert into ownership (device_id, partition, epoch) values (${id}, 1, 1)`;
  return id;
}

sealedConformance('Postgres', () => ({
  open: () => createPostgresStore(database.sql),
  newDevice: rowOfDevice,
  raise: async (id, epoch) => void (await database.sql`update ownership set epoch = ${epoch} where device_id = ${id}`),
}));
sealedConformance('Redis', () => ({
  open: () => createRedisStore(redis),
  newDevice: async () => uuidV7(systemClock.wall()),
  raise: async () => {},
}));
sealedConformance('a folder', () => ({
  open: () => createFileStore(folder),
  newDevice: async () => uuidV7(systemClock.wall()),
  raise: async () => {},
}));

describe('a folder', () => {
  const newFolder = (): { store: ReturnType<typeof createFileStore>; device: string; path: string } => {
    const device = uuidV7(systemClock.wall());
    return { store: createFileStore(folder, { compactBytes: 20_000 }), device, path: join(folder, device) };
  };
  const logs = (path: string): string[] => readdirSync(path).filter((name) => name.endsWith('.log'));

  it('stays small: a log is written anew when most of it is old', async () => {
    const { store, device, path } = newFolder();
    await store.open(device, 1);
    for (let n = 0; n < 100; n++) await store.setKeys(device, 1, [{ type: 'session', id: 'a', value: Buffer.alloc(1000, n) }]);
    expect(logs(path)).toHaveLength(1);
    expect(readFileSync(join(path, logs(path)[0] ?? '')).length).toBeLessThan(25_000);
    expect(Buffer.from((await store.keys(device, 'session', ['a']))[0]?.value ?? [])).toEqual(Buffer.alloc(1000, 99));
  });

  it('a record cut off by a crash does not count, one damaged in the middle is an error', async () => {
    const { store, device, path } = newFolder();
    await store.open(device, 1);
    await store.saveCreds(device, 1, Buffer.from('creds'));
    const file = join(path, logs(path)[0] ?? '');
    const before = readFileSync(file);
    await store.setKeys(device, 1, [{ type: 'session', id: 'a', value: Buffer.from('x'.repeat(50)) }]);
    const whole = readFileSync(file);
    for (let cut = before.length; cut < whole.length; cut++) {
      writeFileSync(file, whole.subarray(0, cut));
      expect(Buffer.from((await createFileStore(folder).read(device))?.creds ?? []).toString()).toBe('creds');
      expect((await createFileStore(folder).read(device))?.keys).toEqual([]);
    }
    const damaged = Buffer.from(whole);
    damaged[10] = (damaged[10] ?? 0) ^ 1;
    writeFileSync(file, damaged);
    await expect(createFileStore(folder).open(device, 2)).rejects.toMatchObject({ code: 'SESSION_CORRUPT' });
    // what was there is there still, for a person to look at
    expect(readFileSync(file)).toEqual(damaged);
  });

  it('a write cut short is an error; what was there is readable, and later, shorter writes are not spoilt by what it left', async () => {
    const device = uuidV7(systemClock.wall());
    let room = Number.POSITIVE_INFINITY;
    const store = createFileStore(folder, {
      write: async (handle, bytes, at) => (await handle.write(bytes, 0, Math.min(room, bytes.length), at)).bytesWritten,
    });
    const read = async (on = createFileStore(folder)) => {
      const found = await on.read(device);
      return [Buffer.from(found?.creds ?? []).toString(), (found?.keys ?? []).map(({ id }) => id)];
    };
    await store.open(device, 1);
    await store.saveCreds(device, 1, Buffer.from('creds'));
    room = 60;
    const long = { type: 'session', id: 'long', value: Buffer.alloc(200, 7) };
    await expect(store.setKeys(device, 1, [long])).rejects.toThrow('60 of');
    expect(await read()).toEqual(['creds', []]);
    expect(await store.keys(device, 'session', ['long'])).toEqual([]);
    room = Number.POSITIVE_INFINITY;
    await store.setKeys(device, 1, [{ type: 'session', id: 'a', value: Buffer.from('x') }]);
    expect(await read()).toEqual(['creds', ['a']]);
    await store.setKeys(device, 1, [long]);
    expect(await read(store)).toEqual(['creds', ['a', 'long']]);
  });

  it('erased bytes are gone from the disk', async () => {
    const { store, device, path } = newFolder();
    await store.open(device, 1);
    await store.saveCreds(device, 1, Buffer.from('very-secret-word'));
    const all = (): boolean => readdirSync(path).some((name) => readFileSync(join(path, name)).includes('very-secret-word'));
    expect(all()).toBe(true);
    await store.erase(device, 1);
    expect(all()).toBe(false);
  });
});

describe('Redis', () => {
  it('that may throw things away, or forgets at a restart, is refused; one that does not say is believed', async () => {
    const server = (policy: string, aof: string) => ({
      config: async (_verb: string, name: string) => [name, name === 'appendonly' ? aof : policy],
    });
    await expect(checkRedisKeeps(server('allkeys-lru', 'yes') as never)).rejects.toMatchObject({ code: 'SESSION_STORE_UNSAFE' });
    await expect(checkRedisKeeps(server('noeviction', 'no') as never)).rejects.toMatchObject({ code: 'SESSION_STORE_UNSAFE' });
    await checkRedisKeeps(server('noeviction', 'yes') as never);
    await checkRedisKeeps({ config: () => Promise.reject(new Error('unknown command')) } as never);
    // this one has no AOF
    const choice = { SESSION_STORE: 'redis', DATA_DIR: folder } as const;
    const opened = openSealedStore(choice, { sql: database.sql, redis: () => redis });
    await expect(opened).rejects.toMatchObject({ code: 'SESSION_STORE_UNSAFE' });
  });

  it('keeps sessions without an end', async () => {
    const store = createRedisStore(redis);
    const device = uuidV7(systemClock.wall());
    await store.open(device, 1);
    await store.saveCreds(device, 1, Buffer.from('creds'));
    expect(await redis.ttl(deviceKeys(device).session)).toBe(-1);
  });
});
