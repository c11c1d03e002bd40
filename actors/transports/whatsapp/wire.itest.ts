import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { proto } from '@whiskeysockets/baileys';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { seededDice, systemClock } from '../../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../../ops/testing/index.ts';
import { type MessageContent, type PairingEvent, uuidV7, whatsappIdOf } from '../../../schema/domain/index.ts';
import { createFileStore, createPostgresStore, createSessionStore, parseKeyRing, type SessionStore } from '../../sessions/index.ts';
import type { Connection, OutboundMessage, SendOutcome, Transport, TransportDevice, TransportEvents } from '../port.ts';
import { createWhatsappTransport } from './index.ts';
import { startWhatsappServer, type WhatsappServer } from './testing/index.ts';
import type { WhatsappTransportOptions } from './transport.ts';

/** The whole transport with real Baileys against our own server: what crabline cannot play (pairing, errors, receipts). */
const PHONE = '+491700000001';
const FRIEND = '+491700000002';
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
let database: TestDatabase;
let server: WhatsappServer;
let transport: Transport;
let published: PairingEvent[];

interface Watched {
  readonly device: TransportDevice;
  readonly states: string[];
  readonly receipts: string[];
  readonly inbound: string[];
  readonly connection: Connection;
}

async function until(what: string, check: () => boolean): Promise<void> {
  const end = systemClock.monotonic() + 45_000;
  while (!check()) {
    if (systemClock.monotonic() > end) throw new Error(`waited too long for: ${what}`);
    await systemClock.sleep(10);
  }
}
const newStore = (): SessionStore =>
  createSessionStore({ sealed: createPostgresStore(database.sql), ring: parseKeyRing(`a:${Buffer.alloc(32, 1).toString('base64')}`) });
const newTransport = (options: WhatsappTransportOptions = {}, sessions = newStore()): Transport => {
  const redis = {
    publish: async (_channel: unknown, text: unknown) => published.push((JSON.parse(String(text)) as { event: never }).event),
    set: async () => 'OK',
  };
  return createWhatsappTransport(
    {
      sql: database.sql,
      redis: redis as never,
      sessions,
      clock: systemClock,
      dice: seededDice(1),
      telemetry: { log: quiet },
      config: { WHATSAPP_URL: server.url, WHATSAPP_FORBID_REAL: true, LEASE_TTL_MS: 6000, MEDIA_PRIVATE_HOSTS: files.hosts },
    },
    { ...options, timing: { backoffBaseMs: 50, backoffCapMs: 200, conflictMs: 50, ...options.timing } },
  );
};
async function newDevice(given: Partial<TransportDevice> = {}): Promise<TransportDevice> {
  const id = uuidV7(systemClock.wall());
  const { sql } = database;
  await sql`insert into tenants (id, name) values (${id}, ${id})`;
  await sql`insert into devices (id, tenant_id, partition, name, transport) values (${id}, ${id}, 1, 'phone', 'whatsapp')`;
  await sql`insert into ownership (device_id, partition, epoch, node) values (${id}, 1, 1, 'node-1')`;
  return { id, tenantId: id, epoch: 1, node: 'node-1', phone: null, settings: {}, canAct: () => true, ...given };
}
function connect(device: TransportDevice, on = transport): Watched {
  const states: string[] = [];
  const receipts: string[] = [];
  const inbound: string[] = [];
  const events: TransportEvents = {
    state: ({ state, reason }) => void states.push(reason === null ? state : `${state} ${reason}`),
    receipt: ({ messageId, state }) => void receipts.push(`${messageId} ${state}`),
    inbound: async ({ from, body }) => void inbound.push(`${from} ${body}`),
  };
  return { device, states, receipts, inbound, connection: on.connect(device, events, new AbortController().signal) };
}
const askToPair = async (device: TransportDevice, more: object = {}, settings: Record<string, number> = {}): Promise<void> => {
  const pairing = { requestedAt: Math.floor(systemClock.wall()), ...more };
  await database.sql`update devices set settings = ${database.sql.json({ ...settings, pairing })} where id = ${device.id}`;
};
const qrs = (): readonly string[] => published.flatMap((event) => (event.kind === 'qr' ? [event.text] : []));
const online = (watched: Watched): Promise<void> => until('ONLINE', () => watched.states.at(-1) === 'ONLINE');
async function paired(phone = PHONE): Promise<Watched> {
  const watched = connect(await newDevice());
  const shown = qrs().length;
  await askToPair(watched.device);
  await until('a QR code', () => qrs().length > shown);
  await server.scan(phone, qrs().at(-1) ?? '');
  await online(watched);
  return watched;
}
/** where media of messages come from: path -> type and bytes */
const files = { hosts: [] as string[], at: new Map<string, { type: string; bytes: Buffer }>(), asked: [] as string[] };
let fileServer: Server;
const fileUrl = (path: string): string => `http://${files.hosts[0]}${path}`;

/** Sends a message of the ledger, again and again while its media are on their way. */
async function sendContent(
  watched: Watched,
  content: MessageContent,
  body = '',
  to = FRIEND,
): Promise<{ id: string; outcome: SendOutcome }> {
  const { id: device, tenantId } = watched.device;
  const message = { ...outbound(body, to), content };
  await database.sql`insert into messages (id, tenant_id, device_id, lane, recipient, body, state, due_at, content) values
    (${message.id}, ${tenantId}, ${device}, 'high', ${to}, ${body}, 'SENDING', now(), ${database.sql.json(content as never)})`;
  const end = systemClock.monotonic() + 45_000;
  for (;;) {
    const outcome = await watched.connection.send(message, 15_000);
    const pending = outcome.kind === 'rejected' && outcome.code === 'MEDIA_PENDING';
    if (!pending || systemClock.monotonic() > end) return { id: message.id, outcome };
    await systemClock.sleep(50);
  }
}
const gotten = async (id: string, phone = FRIEND): Promise<proto.IMessage> => {
  const find = () => server.account(phone).arrived.find((arrived) => arrived.id === whatsappIdOf(id));
  await until('the message', () => find() !== undefined);
  return find()?.message ?? {};
};

const outbound = (body = 'hello', to = FRIEND): OutboundMessage => ({ id: uuidV7(systemClock.wall()), attempt: 1, to, body });

beforeAll(async () => {
  database = await createDatabase();
  fileServer = createServer((request, response) => {
    files.asked.push(request.url ?? '');
    const found = files.at.get(request.url ?? '');
    if (found === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': found.type }).end(found.bytes);
  });
  await new Promise<void>((resolve) => fileServer.listen(0, '127.0.0.1', resolve));
  files.hosts.push(`127.0.0.1:${(fileServer.address() as AddressInfo).port}`);
});
afterAll(async () => {
  fileServer.closeAllConnections();
  await new Promise((resolve) => fileServer.close(resolve));
  await database.drop();
});
beforeEach(async () => {
  published = [];
  server = await startWhatsappServer();
  transport = newTransport();
});
afterEach(async () => {
  await transport.close();
  await server.close();
});

describe('pairing', () => {
  it('by QR code: signed identity, restart, login; then messages both ways', async () => {
    const watched = await paired();
    expect(watched.states).toEqual([
      'UNPAIRED',
      'PAIRING CONNECTING',
      'PAIRING SCAN_QR',
      'PAIRING RESTARTING',
      'CONNECTING RESTART_REQUIRED',
      'ONLINE',
    ]);
    const message = outbound('first words');
    server.account(FRIEND).manner = 'reads';
    expect((await watched.connection.send(message, 15_000)).kind).toBe('sent');
    await until('READ', () => watched.receipts.includes(`${message.id} READ`));
    expect(server.account(FRIEND).arrived.map(({ id, text }) => `${id} ${text}`)).toEqual([`${whatsappIdOf(message.id)} first words`]);
    await server.say(FRIEND, PHONE, 'STOP');
    await until('the answer', () => watched.inbound.length > 0);
    expect(watched.inbound).toEqual([`${FRIEND} STOP`]);
    expect(server.account(PHONE).unreadable).toEqual([]);
  });

  it('by a code that is typed on the phone', async () => {
    const watched = connect(await newDevice());
    await askToPair(watched.device, { method: 'code', phone: PHONE });
    const codes = (): string[] => published.flatMap((event) => (event.kind === 'code' ? [event.code] : []));
    await until('the code', () => codes().length > 0);
    expect(qrs()).toEqual([]);
    await expect(server.typeCode(PHONE, 'WRONGONE')).rejects.toThrow();
    await server.typeCode(PHONE, codes()[0] ?? '');
    await online(watched);
    await until('PAIRED', () => published.at(-1)?.kind === 'end');
    expect(published.map(({ kind }) => kind)).toEqual(['started', 'code', 'linking', 'end']);
    expect((await watched.connection.send(outbound(), 15_000)).kind).toBe('sent');
  });

  it('codes turn, and after the last one the pairing has expired', async () => {
    await transport.close();
    transport = newTransport({ qrLifeMs: 100, mostCodes: 3 });
    const watched = connect(await newDevice());
    await askToPair(watched.device);
    await until('the end', () => watched.states.at(-1) === 'UNPAIRED PAIRING_EXPIRED');
    expect(new Set(qrs()).size).toBe(3);
    expect(published.map((event) => (event.kind === 'qr' ? event.number : event.kind))).toEqual(['started', 1, 2, 3, 'end']);
    await expect(server.scan(PHONE, qrs().at(-1) ?? '')).rejects.toThrow();
    expect(await database.sql`select 1 from sessions where device_id = ${watched.device.id}`).toHaveLength(0);
  });

  it("another phone than the device's is refused before it has linked anything", async () => {
    const watched = connect(await newDevice({ phone: FRIEND }));
    await askToPair(watched.device);
    await until('a QR code', () => qrs().length > 0);
    await expect(server.scan(PHONE, qrs()[0] ?? '')).rejects.toThrow('went away');
    await until('the end', () => watched.states.at(-1) === 'UNPAIRED WRONG_NUMBER');
    expect(server.account(PHONE).companions.size).toBe(0);
    expect(await database.sql`select 1 from sessions where device_id = ${watched.device.id}`).toHaveLength(0);
    // the right phone may try again
    const shown = qrs().length;
    await askToPair(watched.device);
    await until('another code', () => qrs().length > shown);
    await server.scan(FRIEND, qrs().at(-1) ?? '');
    await online(watched);
  });

  it('a demand for a passkey is said as what it is', async () => {
    const watched = connect(await newDevice());
    await askToPair(watched.device);
    await until('a QR code', () => qrs().length > 0);
    server.demandPasskey(qrs()[0] ?? '');
    await until('the end', () => watched.states.at(-1) === 'UNPAIRED PASSKEY_REQUIRED');
    expect(published.at(-1)).toEqual({ kind: 'end', outcome: 'PASSKEY_REQUIRED' });
  });
});

describe('what the server may say', () => {
  it('after a restart of everything the device logs in from its session and sends again', async () => {
    const first = await paired();
    expect((await first.connection.send(outbound('one'), 15_000)).kind).toBe('sent');
    await transport.close();
    transport = newTransport();
    const second = connect(first.device);
    await online(second);
    expect(second.states).toEqual(['CONNECTING', 'ONLINE']);
    expect((await second.connection.send(outbound('two'), 15_000)).kind).toBe('sent');
    const friend = server.account(FRIEND);
    await until('both', () => friend.arrived.length === 2);
    expect(friend.arrived.map(({ text }) => text)).toEqual(['one', 'two']);
    expect(friend.unreadable).toEqual([]);
  });

  it.each([
    [515, 'CONNECTING RESTART_REQUIRED'],
    [503, 'OFFLINE SERVICE_UNAVAILABLE'],
    [440, 'OFFLINE REPLACED'],
    [428, 'OFFLINE CONNECTION_CLOSED'],
    [777, 'OFFLINE UNKNOWN_DISCONNECT'],
  ])('stream error %i: says %s and is back', async (code, said) => {
    const watched = await paired();
    const [companion] = server.online();
    if (companion === undefined) throw new Error('nobody is online');
    const before = watched.states.length;
    server.streamError(companion, code);
    await until(said, () => watched.states.slice(before).includes(said));
    await online(watched);
    expect((await watched.connection.send(outbound(), 15_000)).kind).toBe('sent');
  });

  it('401: unlinked on the phone, the session is erased', async () => {
    const watched = await paired();
    for (const companion of server.online()) server.unlink(companion);
    await until('LOGGED_OUT', () => watched.states.at(-1) === 'LOGGED_OUT LOGGED_OUT');
    expect(await database.sql`select 1 from sessions where device_id = ${watched.device.id}`).toHaveLength(0);
  });

  it.each([
    [405, 'OFFLINE CLIENT_VERSION_REFUSED'],
    [503, 'OFFLINE SERVICE_UNAVAILABLE'],
    [403, 'OFFLINE ACCOUNT_BLOCKED'],
  ])('a login refused with %i: %s', async (code, said) => {
    const watched = await paired();
    const [companion] = server.online();
    if (companion === undefined) throw new Error('nobody is online');
    server.manners.refusals.push(code);
    server.cut(companion);
    await until(said, () => watched.states.includes(said));
  });

  it.each([
    [463, false],
    [429, true],
    [479, true],
    [400, false],
  ])('a message refused with %i', async (code, retry) => {
    const watched = await paired();
    server.manners.answer = () => ({ kind: 'error', code });
    const answer = await watched.connection.send(outbound(), 15_000);
    expect(answer).toMatchObject({ kind: 'rejected', retry, code: `WHATSAPP_${code}` });
    expect(server.account(FRIEND).arrived).toEqual([]);
  });

  it('463 while the account may start no chats: strangers wait for WhatsApp to lift it, people who wrote do not', async () => {
    const watched = await paired();
    const stranger = '+491700000008';
    await server.say(FRIEND, PHONE, 'hello');
    await until('the greeting', () => watched.inbound.length > 0);
    const { id, tenantId } = watched.device;
    await database.sql`insert into inbound_messages (device_id, id, tenant_id, sender, body, received_at) values (${id}, 'x', ${tenantId}, ${FRIEND}, 'hello', now())`;
    server.standing.lockedUntil = systemClock.wall() + 600_000;
    server.manners.answer = ({ to }) => (to === stranger ? { kind: 'error', code: 463 } : { kind: 'ok' });
    expect(await watched.connection.send(outbound('hi', stranger), 30_000)).toMatchObject({ kind: 'rejected', code: 'WHATSAPP_463' });
    await until('the lock', () => watched.states.at(-1) === 'ONLINE REACHOUT_LOCKED');
    server.manners.answer = () => ({ kind: 'ok' });
    expect(await watched.connection.send(outbound('hi', stranger), 30_000)).toMatchObject({ kind: 'rejected', code: 'WHATSAPP_463' });
    expect(server.account(stranger).arrived).toEqual([]);
    expect((await watched.connection.send(outbound('hi'), 30_000)).kind).toBe('sent');
  });

  it('a session that cannot be read puts the device into quarantine; restored and released it is back', async () => {
    const { sql } = database;
    const first = await paired();
    const { id } = first.device;
    await transport.close();
    const [kept] = await sql<{ creds: Uint8Array }[]>`select creds from sessions where device_id = ${id}`;
    await sql`update sessions set creds = ${Buffer.from('junk')} where device_id = ${id}`;
    transport = newTransport();
    const second = connect(first.device);
    const row = async () => (await sql`select quarantined, quarantine_reason from devices where id = ${id}`)[0];
    for (let tries = 0; (await row())?.['quarantined'] !== true && tries < 1000; tries++) await systemClock.sleep(20);
    expect(await row()).toEqual({ quarantined: true, quarantine_reason: 'SESSION_CORRUPT' });
    expect(second.states.at(-1)).toBe('OFFLINE SESSION_CORRUPT');
    await sql`update sessions set creds = ${Buffer.from(kept?.creds ?? [])} where device_id = ${id}`;
    await sql`update devices set quarantined = false, quarantine_reason = null where id = ${id}`;
    await online(second);
  });

  it('unlinked through the API: what another store still holds is erased by the next owner, and a new pairing stays', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'flotilla-wire-'));
    const files = createFileStore(folder);
    const restart = async (): Promise<void> => {
      await transport.close();
      transport = newTransport(
        {},
        createSessionStore({ sealed: files, ring: parseKeyRing(`a:${Buffer.alloc(32, 1).toString('base64')}`) }),
      );
    };
    try {
      await restart();
      const { device } = await paired();
      const settings = { unlinkedAt: Math.floor(systemClock.wall()) };
      await database.sql`update devices set paired = false, settings = settings || ${database.sql.json(settings)} where id = ${device.id}`;
      await restart();
      const second = connect({ ...device, epoch: 2, settings });
      await until('UNPAIRED', () => second.states.at(-1) === 'UNPAIRED');
      expect(await files.read(device.id)).toBeNull();
      const shown = qrs().length;
      await askToPair(device, {}, settings);
      await until('a QR code', () => qrs().length > shown);
      await server.scan(PHONE, qrs().at(-1) ?? '');
      await online(second);
      const isPaired = async () => (await database.sql`select 1 from devices where id = ${device.id} and paired`).length === 1;
      for (let tries = 0; !(await isPaired()) && tries < 1000; tries++) await systemClock.sleep(20);
      await restart();
      await online(connect({ ...device, epoch: 3, settings }));
    } finally {
      await transport.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('an ack that never comes is unknown; the receipt that comes later is proof', async () => {
    const watched = await paired();
    const friend = server.account(FRIEND);
    friend.manner = 'silent';
    server.manners.answer = () => ({ kind: 'lost-ack' });
    const message = outbound();
    expect(await watched.connection.send(message, 1500)).toEqual({ kind: 'unknown', code: 'NO_ACK' });
    expect(friend.arrived).toHaveLength(1);
    for (const companion of server.online()) server.receipt(companion, FRIEND, [whatsappIdOf(message.id)], 'delivered');
    await until('the proof', () => watched.receipts.includes(`${message.id} DELIVERED`));
  });

  it('what a contact wrote while the device was away comes when it is back, once', async () => {
    const first = await paired();
    // a device that has not gone through its history holds everything back for 20 s at its next login (Baileys waits for it)
    for (let done = false; !done; ) {
      const { creds } = await newStore().open(first.device.id, 1);
      done = Number((creds as { accountSyncCounter?: number }).accountSyncCounter) > 0;
      await systemClock.sleep(20);
    }
    await transport.close();
    await until('gone', () => server.online().length === 0);
    await server.say(FRIEND, PHONE, 'are you there?');
    transport = newTransport();
    const second = connect(first.device);
    await until('the message', () => second.inbound.length > 0);
    expect(second.inbound).toEqual([`${FRIEND} are you there?`]);
    expect(server.online()[0]?.pending.size).toBe(0);
  });

  it('a recipient who cannot read a message asks again and gets it from the ledger', async () => {
    const watched = await paired();
    const friend = server.account(FRIEND);
    const { sql } = database;
    expect((await watched.connection.send(outbound('one'), 15_000)).kind).toBe('sent');
    await until('one', () => friend.arrived.length === 1);
    const [companion] = server.online();
    await friend.party.forget(companion?.jid ?? '');
    const lost = outbound('two');
    const { id, tenantId } = watched.device;
    await sql`insert into messages (id, tenant_id, device_id, lane, recipient, body, state, due_at) values
      (${lost.id}, ${tenantId}, ${id}, 'high', ${FRIEND}, 'two', 'SENT', now())`;
    expect((await watched.connection.send(lost, 15_000)).kind).toBe('sent');
    await until('the repeated one', () => friend.arrived.length === 2);
    expect(friend.unreadable).toHaveLength(1);
    expect(friend.arrived.map(({ text }) => text)).toEqual(['one', 'two']);
  });
});

describe('messages that are more than a text', () => {
  const PICTURE = Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), Buffer.alloc(70_000, 5)]);
  beforeEach(() => {
    files.asked.length = 0;
    files.at.clear();
    files.at.set('/cat.jpg', { type: 'image/jpeg', bytes: PICTURE });
    files.at.set('/clip.mp4', { type: 'video/mp4', bytes: Buffer.concat([Buffer.from('0000ftypisom'), Buffer.alloc(5000, 1)]) });
    files.at.set('/note.ogg', { type: 'audio/ogg', bytes: Buffer.concat([Buffer.from('OggS'), Buffer.alloc(3000, 2)]) });
    files.at.set('/price%20list.pdf', { type: 'application/pdf', bytes: Buffer.from('%PDF-1.7 and so on') });
  });

  it('media by URL: fetched, encrypted, uploaded, and opened by the phone that gets them', async () => {
    const watched = await paired();
    const image = await sendContent(watched, { kind: 'image', url: fileUrl('/cat.jpg') }, 'look');
    expect(image.outcome).toMatchObject({ kind: 'sent' });
    const picture = await gotten(image.id);
    expect(picture.imageMessage).toMatchObject({ caption: 'look', mimetype: 'image/jpeg' });
    expect(await server.media.open(picture)).toEqual(PICTURE);
    expect([...server.media.uploads.values()].some((bytes) => bytes.includes(PICTURE.subarray(0, 64)))).toBe(false);

    const video = await sendContent(watched, { kind: 'video', url: fileUrl('/clip.mp4') });
    expect(await server.media.open(await gotten(video.id))).toEqual(files.at.get('/clip.mp4')?.bytes);
    const audio = await sendContent(watched, { kind: 'audio', url: fileUrl('/note.ogg'), voice: true });
    expect((await gotten(audio.id)).audioMessage).toMatchObject({ ptt: true, mimetype: 'audio/ogg; codecs=opus' });
    const document = await sendContent(watched, { kind: 'document', url: fileUrl('/price%20list.pdf') }, 'prices');
    const file = await gotten(document.id);
    expect((file.documentWithCaptionMessage?.message ?? file).documentMessage).toMatchObject({
      fileName: 'price list.pdf',
      mimetype: 'application/pdf',
    });
  });

  it('is uploaded once: another attempt, and a recipient who asks again after a restart, get the same', async () => {
    const first = await paired();
    const content: MessageContent = { kind: 'image', url: fileUrl('/cat.jpg') };
    const { id } = await sendContent(first, content);
    expect((await first.connection.send({ ...outbound(), id, attempt: 2, content }, 15_000)).kind).toBe('sent');
    expect([files.asked, server.media.uploads.size]).toEqual([['/cat.jpg'], 1]);
    const friend = server.account(FRIEND);
    await until('both', () => friend.arrived.length === 2);
    await transport.close();
    transport = newTransport();
    const second = connect(first.device);
    await online(second);
    // the phone has lost its keys: it cannot read the next one, asks for it, and gets it from the ledger
    await friend.party.forget(server.online()[0]?.jid ?? '');
    const lost = { ...outbound(), id, attempt: 3, content };
    expect((await second.connection.send(lost, 15_000)).kind).toBe('sent');
    await until('the repeated one', () => friend.arrived.length === 3);
    expect(await server.media.open(friend.arrived[2]?.message ?? {})).toEqual(PICTURE);
    expect(server.media.uploads.size).toBe(1);
  });

  it('what cannot be had ends the message or is tried again, and nothing is sent', async () => {
    const watched = await paired();
    files.at.set('/page', { type: 'text/html', bytes: Buffer.from('<html>') });
    const port = files.hosts[0]?.split(':')[1];
    for (const [url, code, retry] of [
      [fileUrl('/gone.jpg'), 'MEDIA_NOT_FOUND', false],
      [fileUrl('/page'), 'MEDIA_TYPE', false],
      [`http://localhost:${port}/cat.jpg`, 'MEDIA_REFUSED', false],
      ['http://169.254.169.254/latest/meta-data', 'MEDIA_REFUSED', false],
      ['http://nowhere.invalid/cat.jpg', 'MEDIA_UNREACHABLE', true],
    ] as const) {
      const { outcome } = await sendContent(watched, { kind: 'image', url });
      expect([url, outcome]).toEqual([url, expect.objectContaining({ kind: 'rejected', code, retry })]);
    }
    expect(server.account(FRIEND).arrived).toEqual([]);
    expect((await watched.connection.send(outbound('after it'), 15_000)).kind).toBe('sent');
  });

  it('places, contacts, reactions and answers', async () => {
    const watched = await paired();
    const { id: device, tenantId } = watched.device;
    const place = await sendContent(watched, { kind: 'location', latitude: 52.5, longitude: 13.4, name: 'Berlin' });
    expect((await gotten(place.id)).locationMessage).toMatchObject({ degreesLatitude: 52.5, degreesLongitude: 13.4, name: 'Berlin' });
    const contact = await sendContent(watched, { kind: 'contact', name: 'Doe; Jane', phone: '+491700000009' });
    expect((await gotten(contact.id)).contactMessage?.vcard).toContain(
      'FN:Doe\\; Jane\nTEL;type=CELL;type=VOICE;waid=491700000009:+491700000009',
    );
    const wireId = await server.say(FRIEND, PHONE, 'are you open?');
    await database.sql`insert into inbound_messages (device_id, id, tenant_id, sender, body, received_at)
      values (${device}, ${wireId}, ${tenantId}, ${FRIEND}, 'are you open?', now())`;
    const answer = await sendContent(watched, { kind: 'text', replyTo: wireId }, 'we are');
    expect((await gotten(answer.id)).extendedTextMessage).toMatchObject({
      text: 'we are',
      contextInfo: { stanzaId: wireId, participant: '491700000002@s.whatsapp.net', quotedMessage: { conversation: 'are you open?' } },
    });
    const quoting = await sendContent(watched, { kind: 'image', url: fileUrl('/cat.jpg'), replyTo: answer.id }, 'from ten');
    expect((await gotten(quoting.id)).imageMessage?.contextInfo).toMatchObject({ stanzaId: whatsappIdOf(answer.id) });
    const liked = await sendContent(watched, { kind: 'reaction', to: wireId, emoji: '👍' });
    expect((await gotten(liked.id)).reactionMessage).toMatchObject({ text: '👍', key: { id: wireId, fromMe: false } });
    const own = await sendContent(watched, { kind: 'reaction', to: answer.id, emoji: '' });
    expect((await gotten(own.id)).reactionMessage).toMatchObject({ text: '', key: { id: whatsappIdOf(answer.id), fromMe: true } });
    const unknown = await sendContent(watched, { kind: 'text', replyTo: '3AFFFFFFFF' }, 'hm');
    expect(unknown.outcome).toMatchObject({ kind: 'rejected', retry: false, code: 'REFERENCE_NOT_FOUND' });
  });
});
