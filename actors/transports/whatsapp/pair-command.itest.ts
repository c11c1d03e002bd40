import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectRedis, type Redis, redisReady } from '../../../ops/connect/index.ts';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { createDatabase, startRedis, type TestDatabase, type TestRedis } from '../../../ops/testing/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { createTenant } from '../../../schema/sql/index.ts';
import { type PairOptions, PairProblem, pair } from './pair-command.ts';
import { createPairingDesk, type PairingDesk } from './pairing-desk.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
let database: TestDatabase;
let server: TestRedis;
let redis: Redis;
let subscriber: Redis;
let desk: PairingDesk;
let written = '';

const run = (options: Partial<PairOptions> & { readonly device: string }): Promise<boolean> => {
  const write = (text: string): void => {
    written += text;
  };
  const deps = { sql: database.sql, redis, subscriber, clock: systemClock, write, live: false, draw: (text: string) => `[${text}]` };
  return pair(deps, { create: false, tenant: undefined, ...options });
};
const deviceNamed = async (name: string): Promise<string> => {
  const rows = await database.sql<{ id: string }[]>`select id from devices where name = ${name}`;
  return rows[0]?.id ?? '';
};

beforeAll(async () => {
  [database, server] = await Promise.all([createDatabase(), startRedis()]);
  redis = connectRedis(server.url, { role: 'general', name: 'test' });
  subscriber = connectRedis(server.url, { role: 'subscriber', name: 'test' });
  await Promise.all([redisReady(redis), redisReady(subscriber)]);
  await createTenant(database.sql, { id: uuidV7(systemClock.wall()), name: 'acme' });
  desk = createPairingDesk({ sql: database.sql, redis, clock: systemClock, log: quiet });
});
afterAll(async () => {
  desk.close();
  redis.disconnect();
  subscriber.disconnect();
  await server.stop();
  await database.drop();
});
beforeEach(() => {
  written = '';
});

describe('npm run pair', () => {
  it('makes the device, shows each code as it comes, and says PAIRED', async () => {
    const done = run({ device: 'shop-phone', create: true });
    await expect.poll(() => deviceNamed('shop-phone')).not.toBe('');
    const id = await deviceNamed('shop-phone');
    // the node that owns the device; nobody has claimed it, so its epoch is 0
    desk.watch(id, () => {
      desk.publish(id, { kind: 'qr', text: 'first', lifeMs: 60_000, number: 1, most: 6 });
      desk.publish(id, { kind: 'qr', text: 'second', lifeMs: 20_000, number: 2, most: 6 });
      desk.opened({ id, epoch: 0 }, '4917012345678:3@s.whatsapp.net');
    });
    expect(await done).toBe(true);
    expect(written).toContain('[first]');
    expect(written).toContain('within 60 s');
    expect(written.indexOf('[second]')).toBeGreaterThan(written.indexOf('[first]'));
    expect(written).toContain('within 20 s');
    expect(written.trimEnd().endsWith('PAIRED')).toBe(true);
    const rows = await database.sql`select paired, phone, settings from devices where id = ${id}`;
    expect(rows[0]).toEqual({ paired: true, phone: '+4917012345678', settings: {} });
    written = '';
    expect(await run({ device: 'shop-phone' })).toBe(true);
    expect(written).toContain('paired already (+4917012345678)');
  });

  it('says when the codes ran out', async () => {
    const done = run({ device: 'late-phone', create: true });
    await expect.poll(() => deviceNamed('late-phone')).not.toBe('');
    const id = await deviceNamed('late-phone');
    desk.watch(id, () => desk.publish(id, { kind: 'end', outcome: 'PAIRING_EXPIRED' }));
    expect(await done).toBe(false);
    expect(written).toContain('PAIRING_EXPIRED');
  });

  it('says when no node is there', async () => {
    await expect(run({ device: 'lonely', create: true, takenWithinMs: 1 })).rejects.toThrow('no node took the request');
  });

  it('names what is wrong', async () => {
    await expect(run({ device: 'nobody' })).rejects.toThrow(PairProblem);
    await expect(run({ device: 'nobody' })).rejects.toThrow('no device "nobody"');
    await expect(run({ device: 'x', create: true, tenant: 'umbrella' })).rejects.toThrow('no tenant "umbrella"');
    await createTenant(database.sql, { id: uuidV7(systemClock.wall()), name: 'other' });
    await expect(run({ device: 'x', create: true })).rejects.toThrow('--tenant acme | other');
    await run({ device: 'lonely', create: true, tenant: 'other', takenWithinMs: 1 }).catch(() => {});
    await expect(run({ device: 'lonely' })).rejects.toThrow('several tenants');
  });
});
