import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createPostgresStore, createSessionStore, parseKeyRing } from '../actors/sessions/index.ts';
import type { Transport } from '../actors/transports/port.ts';
import { createWhatsappTransport } from '../actors/transports/whatsapp/index.ts';
import { startWhatsappServer, type WhatsappServer } from '../actors/transports/whatsapp/testing/index.ts';
import { connectRedis, type Redis } from '../ops/connect/index.ts';
import { systemClock, systemDice } from '../ops/lifecycle/index.ts';
import type { TestDatabase } from '../ops/testing/index.ts';
import { uuidV7 } from '../schema/domain/index.ts';
import { createDevice } from '../schema/sql/index.ts';
import { type Data, startTestGateway, type TestGateway } from './gateway.testing.ts';

/** From the API to a phone that scans: gateway, ledger, Redis, a node's transport and real Baileys, on a local server. */
const PHONE = '+491700000001';
let gateway: TestGateway;
let database: TestDatabase;
let tenantId = '';
let redis: Redis;
let subscriber: Redis;
let server: WhatsappServer;
let transport: Transport;
let deviceId = '';

interface Update {
  readonly stage: string;
  readonly qr: string | null;
  readonly png: string | null;
  readonly code: string | null;
  readonly number: number | null;
  readonly remainingMs: number | null;
  readonly reason: string | null;
}

beforeAll(async () => {
  [gateway, server] = await Promise.all([startTestGateway({ LIVE_TICK_MS: '5' }), startWhatsappServer()]);
  ({ database } = gateway);
  redis = connectRedis(gateway.redis.url, { role: 'general', name: 'test' });
  subscriber = connectRedis(gateway.redis.url, { role: 'subscriber', name: 'test' });
  tenantId = String((await database.sql.unsafe('select id from tenants limit 1'))[0]?.['id']);
});
beforeEach(async () => {
  transport = createWhatsappTransport({
    sql: database.sql,
    redis,
    subscribe: async (channel, handler) => {
      subscriber.on('message', (from: string, text: string) => from === channel && handler(text));
      await subscriber.subscribe(channel);
    },
    sessions: createSessionStore({
      sealed: createPostgresStore(database.sql),
      ring: parseKeyRing(`a:${Buffer.alloc(32, 1).toString('base64')}`),
    }),
    clock: systemClock,
    dice: systemDice,
    telemetry: gateway.telemetry,
    config: { WHATSAPP_URL: server.url, WHATSAPP_FORBID_REAL: true, LEASE_TTL_MS: 6000 },
  });
  deviceId = uuidV7(systemClock.wall());
  await createDevice(database.sql, { id: deviceId, tenantId, name: deviceId, transport: 'whatsapp' });
  await database.sql`update ownership set epoch = 1, node = 'node-1' where device_id = ${deviceId}`;
  const silent = { state: () => {}, receipt: () => {}, inbound: async () => {} };
  const device = { id: deviceId, tenantId, epoch: 1, node: 'node-1', phone: null, settings: {}, canAct: () => true };
  transport.connect(device, silent, new AbortController().signal);
});
afterEach(async () => {
  await gateway.hangUp();
  await transport.close();
});
afterAll(async () => {
  redis.disconnect();
  subscriber.disconnect();
  await gateway.stop();
  await server.close();
});

function watch(id = deviceId): Update[] {
  const seen: Update[] = [];
  gateway.connect().subscribe<{ pairing: Update }>(
    {
      query: 'subscription ($id: ID!) { pairing(deviceId: $id) { stage qr png code number remainingMs reason } }',
      variables: { id: `Device:${id}` },
    },
    { next: ({ data }) => data != null && seen.push(data.pairing), error: () => {}, complete: () => {} },
  );
  return seen;
}
const pair = (input: object): Promise<Data> =>
  gateway.ask('mutation ($input: PairDeviceInput!) { pairDevice(input: $input) { device { id } errors { code path } } }', {
    variables: { input },
  });
const soon = { timeout: 30_000 };

describe('pairing through the API', () => {
  it('streams codes as text and picture, to those who come later too, and ends PAIRED', async () => {
    const seen = watch();
    await expect.poll(() => seen.at(-1)?.stage, soon).toBe('NONE');
    expect(await pair({ deviceId })).toEqual({ data: { pairDevice: { device: { id: `Device:${deviceId}` }, errors: [] } } });
    await expect.poll(() => seen.at(-1)?.stage, soon).toBe('QR');
    const code = seen.at(-1);
    expect(code).toMatchObject({ number: 1, code: null, reason: null });
    expect(code?.remainingMs).toBeGreaterThan(0);
    expect(code?.remainingMs).toBeLessThanOrEqual(60_000);
    expect(
      Buffer.from(code?.png?.split(',')[1] ?? '', 'base64')
        .subarray(1, 4)
        .toString(),
    ).toBe('PNG');
    const late = watch();
    await expect.poll(() => late.at(-1)?.qr, soon).toBe(code?.qr);
    await server.scan(PHONE, code?.qr ?? '');
    await expect.poll(() => seen.at(-1)?.stage, soon).toBe('PAIRED');
    await expect.poll(() => late.at(-1)?.stage, soon).toBe('PAIRED');
    expect(seen.at(-1)).toMatchObject({ qr: null, png: null, remainingMs: null });
    expect(await pair({ deviceId })).toMatchObject({ data: { pairDevice: { errors: [{ code: 'ALREADY_PAIRED' }] } } });
  });

  it('by a code to type', async () => {
    const seen = watch();
    await pair({ deviceId, method: 'CODE', phone: '+491700000009' });
    await expect.poll(() => seen.at(-1)?.code, soon).toMatch(/^[0-9A-Z]{8}$/);
    await server.typeCode('+491700000009', seen.at(-1)?.code ?? '');
    await expect.poll(() => seen.at(-1)?.stage, soon).toBe('PAIRED');
  });

  it('says why it ended', async () => {
    const seen = watch();
    await pair({ deviceId });
    await expect.poll(() => seen.at(-1)?.stage, soon).toBe('QR');
    server.demandPasskey(seen.at(-1)?.qr ?? '');
    await expect.poll(() => seen.at(-1), soon).toMatchObject({ stage: 'ENDED', reason: 'PASSKEY_REQUIRED', qr: null });
  });

  it('refuses what makes no sense', async () => {
    const errors = (answer: Data): unknown => answer.data.pairDevice.errors;
    expect(errors(await pair({ deviceId: uuidV7(1) }))).toEqual([{ code: 'DEVICE_NOT_FOUND', path: ['input', 'deviceId'] }]);
    expect(errors(await pair({ deviceId, method: 'CODE' }))).toEqual([{ code: 'INVALID_PHONE', path: ['input', 'phone'] }]);
    const other = uuidV7(systemClock.wall());
    await createDevice(database.sql, { id: other, tenantId, name: other, transport: 'simulator' });
    expect(errors(await pair({ deviceId: other }))).toEqual([{ code: 'NOT_A_WHATSAPP_DEVICE', path: ['input', 'deviceId'] }]);
  });

  it('has a page that needs nothing but the gateway', async () => {
    const page = await fetch(`${gateway.base}/console/pair/${deviceId}`);
    expect(page.status).toBe(200);
    const text = await page.text();
    const script = /<script src="([^"]+)"/.exec(text)?.[1] ?? '';
    const answer = await fetch(`${gateway.base}${script}`);
    expect(answer.headers.get('content-type')).toContain('javascript');
    const code = await answer.text();
    expect(() => new Function(code)).not.toThrow();
    for (const id of code.matchAll(/by\('(\w+)'\)/g)) expect(text).toContain(`id="${id[1]}"`);
  });
});
