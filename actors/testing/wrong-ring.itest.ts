import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { connectPostgres } from '../../ops/connect/index.ts';
import { type Api, ask, startStack } from '../../ops/start/index.ts';
import { createPostgresStore, createSessionStore, parseKeyRing } from '../sessions/index.ts';

const ring = (fill: number): string => `k:${Buffer.alloc(32, fill).toString('base64')}`;

/** Two sessions sealed with one ring, a node with another: it must not take the devices and quarantine them all. */
it('a node with the wrong key ring refuses to start and changes nothing', { timeout: 240_000 }, async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-ring-'));
  const env = { SESSION_KEYS: ring(2), WHATSAPP_FORBID_REAL: 'true', DATABASE_URL: undefined, REDIS_URL: undefined };
  const stack = await startStack({ dataDir, nodes: 0, gateways: 1, phones: false, durable: false, env });
  const sql = connectPostgres(stack.databaseUrl, { applicationName: 'test', max: 1 });
  try {
    const api: Api = { url: stack.gateways[0]?.url ?? '', key: stack.adminKey };
    const store = createSessionStore({ sealed: createPostgresStore(sql), ring: parseKeyRing(ring(1)) });
    for (const name of ['one', 'two']) {
      const { createDevice } = await ask<{ createDevice: { device: { id: string } } }>(
        api,
        'mutation ($name: String!) { createDevice(input: {name: $name, transport: WHATSAPP}) { device { id } } }',
        { name },
      );
      const session = await store.open(createDevice.device.id.replace(/^.*:/, ''), 0);
      session.saveCreds({ me: { id: '491700000001:1@s.whatsapp.net' } });
      await session.flush();
    }
    const before = await sql`select device_id, creds from sessions order by 1`;
    await expect(stack.addNode()).rejects.toThrow();
    expect(await sql`select device_id, creds from sessions order by 1`).toEqual(before);
    expect(await sql`select 1 from devices where quarantined`).toHaveLength(0);
    // it was the sessions: without them a node with this ring starts
    await sql`delete from sessions`;
    expect((await stack.addNode()).running()).toBe(true);
  } finally {
    await sql.end({ timeout: 2 });
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
});
