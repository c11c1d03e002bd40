import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { seededDice, systemClock } from '../../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../../ops/testing/index.ts';
import { uuidV7, whatsappIdOf } from '../../../schema/domain/index.ts';
import { createPostgresStore, createSessionStore, parseKeyRing, type SessionStore } from '../../sessions/index.ts';
import type { Connection, OutboundMessage, Transport, TransportDevice, TransportEvents } from '../port.ts';
import { createWhatsappTransport } from './index.ts';
import { type LocalWhatsapp, seedSession, startLocalWhatsapp } from './testing/index.ts';

let database: TestDatabase;
let server: LocalWhatsapp;
let store: SessionStore;
let transport: Transport;
let device: TransportDevice;
let mayAct = true;
const published: string[] = [];
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

interface Seen {
  readonly states: string[];
  readonly receipts: string[];
  readonly inbound: { readonly from: string; readonly body: string }[];
}
function watch(): { readonly seen: Seen; readonly events: TransportEvents } {
  const seen: Seen = { states: [], receipts: [], inbound: [] };
  const events: TransportEvents = {
    state: ({ state, reason }) => void seen.states.push(reason === null ? state : `${state} ${reason}`),
    receipt: ({ messageId, state }) => void seen.receipts.push(`${messageId} ${state}`),
    inbound: async ({ from, body }) => void seen.inbound.push({ from, body }),
  };
  return { seen, events };
}
async function until(what: string, check: () => boolean, ms = 30_000): Promise<void> {
  const end = systemClock.monotonic() + ms;
  while (!check()) {
    if (systemClock.monotonic() > end) throw new Error(`waited ${ms} ms for: ${what}`);
    await systemClock.sleep(5);
  }
}
const outbound = (body = 'hello'): OutboundMessage => ({ id: uuidV7(systemClock.wall()), attempt: 1, to: '+14155550100', body });
const newStore = (): SessionStore =>
  createSessionStore({ sealed: createPostgresStore(database.sql), ring: parseKeyRing(`a:${Buffer.alloc(32, 1).toString('base64')}`) });
function newTransport(to: { readonly url: string | undefined } = server): Transport {
  const redis = {
    publish: async (channel: unknown, text: unknown) => published.push(`${String(channel)} ${String(text)}`),
    set: async () => 'OK',
  };
  return createWhatsappTransport(
    {
      sql: database.sql,
      redis: redis as never,
      sessions: store,
      clock: systemClock,
      dice: seededDice(1),
      telemetry: { log: quiet },
      config: { WHATSAPP_URL: to.url, WHATSAPP_FORBID_REAL: true, LEASE_TTL_MS: 6000 },
    },
    { timing: { backoffBaseMs: 50, backoffCapMs: 200 } },
  );
}
async function connect(): Promise<{ readonly seen: Seen; readonly connection: Connection; readonly controller: AbortController }> {
  const { seen, events } = watch();
  const controller = new AbortController();
  const connection = transport.connect(device, events, controller.signal);
  await until('ONLINE', () => seen.states.at(-1) === 'ONLINE');
  return { seen, connection, controller };
}
async function newDevice(): Promise<TransportDevice> {
  const id = uuidV7(systemClock.wall());
  const tenantId = uuidV7(systemClock.wall());
  const { sql } = database;
  await sql`insert into tenants (id, name) values (${tenantId}, ${tenantId})`;
  await sql`insert into devices (id, tenant_id, partition, name, transport) values (${id}, ${tenantId}, 1, 'phone', 'whatsapp')`;
  await sql`insert into ownership (device_id, partition, epoch, node) values (${id}, 1, 3, 'node-1')`;
  return { id, tenantId, epoch: 3, node: 'node-1', phone: null, settings: {}, canAct: () => mayAct };
}

beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  server = await startLocalWhatsapp();
  store = newStore();
  transport = newTransport();
  device = await newDevice();
  mayAct = true;
});
afterEach(async () => {
  await transport.close();
  await server.close();
});

describe('a device with a session, on a local server', () => {
  beforeEach(() => seedSession(store, device.id, device.epoch, server.selfJid));

  it('goes ONLINE, and its row says paired', async () => {
    const { seen } = await connect();
    expect(seen.states).toEqual(['CONNECTING', 'ONLINE']);
    const row = async () => (await database.sql`select paired, phone from devices where id = ${device.id}`)[0];
    await expect.poll(row).toEqual({ paired: true, phone: server.phone });
  });

  it('sends under the id derived from the ledger id, and answers sent on the ack', async () => {
    const { connection, seen } = await connect();
    const message = outbound('first words');
    expect((await connection.send(message, 30_000)).kind).toBe('sent');
    expect(server.arrived).toEqual([{ id: whatsappIdOf(message.id), to: '14155550100@s.whatsapp.net', text: 'first words' }]);
    for (const state of seen.receipts) expect(state).toBe(`${message.id} WRITTEN`);
  });

  it('hands inbound text on', async () => {
    const { seen } = await connect();
    await server.say('+14155550199', 'are you there?');
    await until('the message', () => seen.inbound.length > 0);
    expect(seen.inbound).toEqual([{ from: '+14155550199', body: 'are you there?' }]);
  });

  it('connects again from the stored session, in a new process, without pairing', async () => {
    const first = await connect();
    expect((await first.connection.send(outbound(), 30_000)).kind).toBe('sent');
    await transport.close();
    store = newStore();
    transport = newTransport();
    const second = await connect();
    expect(second.seen.states).toEqual(['CONNECTING', 'ONLINE']);
    expect((await second.connection.send(outbound('again'), 30_000)).kind).toBe('sent');
    expect(server.arrived.map((message) => message.text)).toEqual(['hello', 'again']);
  });

  it('sends nothing once the owner may not act, also when that happens while the message is prepared', async () => {
    const { connection } = await connect();
    const late = connection.send(outbound(), 30_000);
    mayAct = false;
    expect(await late).toEqual({ kind: 'not-sent', code: 'FENCED' });
    expect(await connection.send(outbound(), 30_000)).toEqual({ kind: 'not-sent', code: 'FENCED' });
    await systemClock.sleep(100);
    expect(server.arrived).toEqual([]);
  });

  it('what it calls not-sent never arrives, wherever the time ran out (S2)', { timeout: 300_000 }, async () => {
    const { connection } = await connect();
    expect((await connection.send(outbound(), 30_000)).kind).toBe('sent');
    const kinds = new Map<string, string>();
    let sent = 0;
    // in small steps, which grow with the time that a slow machine takes for one
    for (let ms = 0; ms <= 10_000 && sent < 3; ms += Math.max(4, Math.round(ms / 25))) {
      // a recipient never written to before takes longest: its devices and keys are asked for first
      const message = { ...outbound(), to: `+1415555${2000 + ms}` };
      const { kind } = await connection.send(message, ms);
      kinds.set(whatsappIdOf(message.id), kind);
      if (kind === 'sent') sent += 1;
    }
    await systemClock.sleep(300);
    const arrived = new Set(server.arrived.map((message) => message.id));
    for (const [wireId, kind] of kinds) if (kind === 'not-sent') expect(arrived.has(wireId)).toBe(false);
    expect([...kinds.values()]).toContain('not-sent');
    expect(sent).toBe(3);
  });

  it('an abort closes at once and silences every event', async () => {
    const { controller, connection, seen } = await connect();
    const before = structuredClone(seen);
    controller.abort('EXPIRED');
    expect((await connection.send(outbound(), 1000)).kind).toBe('not-sent');
    await connection.close();
    expect(seen).toEqual(before);
  });

  it('comes back by itself after the server went away', async () => {
    const { seen, connection } = await connect();
    const { url } = server;
    await server.close();
    await until('OFFLINE', () => seen.states.some((state) => state.startsWith('OFFLINE')));
    expect(await connection.send(outbound(), 1000)).toEqual({ kind: 'not-sent', code: 'OFFLINE' });
    server = await startLocalWhatsapp(url);
    await until('ONLINE again', () => seen.states.at(-1) === 'ONLINE');
    expect((await connection.send(outbound(), 30_000)).kind).toBe('sent');
  });

  it('says why when the stored session cannot be read', async () => {
    await database.sql`update sessions set creds = ${Buffer.from('junk')} where device_id = ${device.id}`;
    const { seen, events } = watch();
    transport.connect(device, events, new AbortController().signal);
    await until('the reason', () => seen.states.length > 0);
    expect(seen.states).toEqual(['OFFLINE SESSION_CORRUPT']);
  });
});

describe('a device without a session', () => {
  it('stays UNPAIRED and opens no socket', async () => {
    const { seen, events } = watch();
    const connection = transport.connect(device, events, new AbortController().signal);
    await until('UNPAIRED', () => seen.states.length > 0);
    await systemClock.sleep(300);
    expect(seen.states).toEqual(['UNPAIRED']);
    expect(await connection.send(outbound(), 1000)).toEqual({ kind: 'not-sent', code: 'OFFLINE' });
  });

  it('starts pairing when its row asks for it, once', async () => {
    const { seen, events } = watch();
    transport.connect(device, events, new AbortController().signal);
    await until('UNPAIRED', () => seen.states.length > 0);
    const pairing = { requestedAt: Math.floor(systemClock.wall()) };
    await database.sql`update devices set settings = ${database.sql.json({ pairing })} where id = ${device.id}`;
    // this server knows no pairing: it logs the device in although no phone has accepted it
    await until('the end', () => seen.states.at(-1) === 'UNPAIRED PAIRING_FAILED');
    expect(seen.states).toEqual(['UNPAIRED', 'PAIRING CONNECTING', 'UNPAIRED PAIRING_FAILED']);
    await until('the end to be told', () => published.at(-1)?.includes('PAIRING_FAILED') === true);
    await expect.poll(() => database.sql`select 1 from sessions where device_id = ${device.id}`).toHaveLength(0);
    expect(published.some((text) => text.includes(`fl:pairing:${device.id}`) && text.includes('started'))).toBe(true);
    const row = async () => (await database.sql<{ settings: unknown }[]>`select settings from devices where id = ${device.id}`)[0];
    await expect.poll(row).toEqual({ settings: {} });
  });
});

it("refuses WhatsApp's own servers in a test", async () => {
  await transport.close();
  transport = newTransport({ url: undefined });
  await seedSession(store, device.id, device.epoch, server.selfJid);
  const { seen, events } = watch();
  transport.connect(device, events, new AbortController().signal);
  await until('the reason', () => seen.states.length > 1);
  expect(seen.states).toEqual(['CONNECTING', 'OFFLINE WHATSAPP_FORBIDDEN']);
});
