import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { whatsappIdOf } from '../../../schema/domain/index.ts';
import { createFileStore, createSessionStore, parseKeyRing } from '../../sessions/index.ts';
import { FRIEND, outbound, PHONE, until, useWire } from './wire.testing.ts';

/** Pairing, and what the server may say: what crabline cannot play. */
const wire = useWire();

describe('pairing', () => {
  it('by QR code: signed identity, restart, login; then messages both ways', async () => {
    const watched = await wire.paired();
    expect(watched.states).toEqual([
      'UNPAIRED',
      'PAIRING CONNECTING',
      'PAIRING SCAN_QR',
      'PAIRING RESTARTING',
      'CONNECTING RESTART_REQUIRED',
      'ONLINE',
    ]);
    const message = outbound('first words');
    wire.server.account(FRIEND).manner = 'reads';
    expect((await watched.connection.send(message, 15_000)).kind).toBe('sent');
    await until('READ', () => watched.receipts.includes(`${message.id} READ`));
    expect(wire.server.account(FRIEND).arrived.map(({ id, text }) => `${id} ${text}`)).toEqual([`${whatsappIdOf(message.id)} first words`]);
    await wire.server.say(FRIEND, PHONE, 'STOP');
    await until('the answer', () => watched.inbound.length > 0);
    expect(watched.inbound).toEqual([`${FRIEND} STOP`]);
    expect(wire.server.account(PHONE).unreadable).toEqual([]);
  });

  it('by a code that is typed on the phone', async () => {
    const watched = wire.connect(await wire.newDevice());
    await wire.askToPair(watched.device, { method: 'code', phone: PHONE });
    const codes = (): string[] => wire.published.flatMap((event) => (event.kind === 'code' ? [event.code] : []));
    await until('the code', () => codes().length > 0);
    expect(wire.qrs()).toEqual([]);
    await expect(wire.server.typeCode(PHONE, 'WRONGONE')).rejects.toThrow();
    await wire.server.typeCode(PHONE, codes()[0] ?? '');
    await wire.online(watched);
    await until('PAIRED', () => wire.published.at(-1)?.kind === 'end');
    expect(wire.published.map(({ kind }) => kind)).toEqual(['started', 'code', 'linking', 'end']);
    expect((await watched.connection.send(outbound(), 15_000)).kind).toBe('sent');
  });

  it('codes turn, and after the last one the pairing has expired', async () => {
    await wire.transport.close();
    wire.transport = wire.newTransport({ qrLifeMs: 100, mostCodes: 3 });
    const watched = wire.connect(await wire.newDevice());
    await wire.askToPair(watched.device);
    await until('the end', () => watched.states.at(-1) === 'UNPAIRED PAIRING_EXPIRED');
    await until('the end to be told', () => wire.published.at(-1)?.kind === 'end');
    expect(new Set(wire.qrs()).size).toBe(3);
    expect(wire.published.map((event) => (event.kind === 'qr' ? event.number : event.kind))).toEqual(['started', 1, 2, 3, 'end']);
    await expect(wire.server.scan(PHONE, wire.qrs().at(-1) ?? '')).rejects.toThrow();
    await expect.poll(() => wire.database.sql`select 1 from sessions where device_id = ${watched.device.id}`).toHaveLength(0);
  });

  it("another phone than the device's is refused before it has linked anything", async () => {
    const watched = wire.connect(await wire.newDevice({ phone: FRIEND }));
    await wire.askToPair(watched.device);
    await until('a QR code', () => wire.qrs().length > 0);
    await expect(wire.server.scan(PHONE, wire.qrs()[0] ?? '')).rejects.toThrow('went away');
    await until('the end', () => watched.states.at(-1) === 'UNPAIRED WRONG_NUMBER');
    expect(wire.server.account(PHONE).companions.size).toBe(0);
    await expect.poll(() => wire.database.sql`select 1 from sessions where device_id = ${watched.device.id}`).toHaveLength(0);
    // the right phone may try again
    const shown = wire.qrs().length;
    await wire.askToPair(watched.device);
    await until('another code', () => wire.qrs().length > shown);
    await wire.server.scan(FRIEND, wire.qrs().at(-1) ?? '');
    await wire.online(watched);
  });

  it('a demand for a passkey is said as what it is', async () => {
    const watched = wire.connect(await wire.newDevice());
    await wire.askToPair(watched.device);
    await until('a QR code', () => wire.qrs().length > 0);
    wire.server.demandPasskey(wire.qrs()[0] ?? '');
    await until('the end', () => watched.states.at(-1) === 'UNPAIRED PASSKEY_REQUIRED');
    await expect.poll(() => wire.published.at(-1)).toEqual({ kind: 'end', outcome: 'PASSKEY_REQUIRED' });
  });
});

describe('what the server may say', () => {
  it('after a restart of everything the device logs in from its session and sends again', async () => {
    const first = await wire.paired();
    expect((await first.connection.send(outbound('one'), 15_000)).kind).toBe('sent');
    await wire.transport.close();
    wire.transport = wire.newTransport();
    const second = wire.connect(first.device);
    await wire.online(second);
    expect(second.states).toEqual(['CONNECTING', 'ONLINE']);
    expect((await second.connection.send(outbound('two'), 15_000)).kind).toBe('sent');
    const friend = wire.server.account(FRIEND);
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
    const watched = await wire.paired();
    const [companion] = wire.server.online();
    if (companion === undefined) throw new Error('nobody is online');
    const before = watched.states.length;
    wire.server.streamError(companion, code);
    await until(said, () => watched.states.slice(before).includes(said));
    await wire.online(watched);
    expect((await watched.connection.send(outbound(), 15_000)).kind).toBe('sent');
  });

  it('401: unlinked on the phone, the session is erased', async () => {
    const watched = await wire.paired();
    for (const companion of wire.server.online()) wire.server.unlink(companion);
    await until('LOGGED_OUT', () => watched.states.at(-1) === 'LOGGED_OUT LOGGED_OUT');
    await expect.poll(() => wire.database.sql`select 1 from sessions where device_id = ${watched.device.id}`).toHaveLength(0);
  });

  it.each([
    [405, 'OFFLINE CLIENT_VERSION_REFUSED'],
    [503, 'OFFLINE SERVICE_UNAVAILABLE'],
    [403, 'OFFLINE ACCOUNT_BLOCKED'],
  ])('a login refused with %i: %s', async (code, said) => {
    const watched = await wire.paired();
    const [companion] = wire.server.online();
    if (companion === undefined) throw new Error('nobody is online');
    wire.server.manners.refusals.push(code);
    wire.server.cut(companion);
    await until(said, () => watched.states.includes(said));
  });

  it.each([
    [463, false],
    [429, true],
    [479, true],
    [400, false],
  ])('a message refused with %i', async (code, retry) => {
    const watched = await wire.paired();
    wire.server.manners.answer = () => ({ kind: 'error', code });
    const answer = await watched.connection.send(outbound(), 15_000);
    expect(answer).toMatchObject({ kind: 'rejected', retry, code: `WHATSAPP_${code}` });
    expect(wire.server.account(FRIEND).arrived).toEqual([]);
  });

  it('463 while the account may start no chats: strangers wait for WhatsApp to lift it, people who wrote do not', async () => {
    const watched = await wire.paired();
    const stranger = '+491700000008';
    await wire.server.say(FRIEND, PHONE, 'hello');
    await until('the greeting', () => watched.inbound.length > 0);
    const { id, tenantId } = watched.device;
    await wire.database
      .sql`insert into inbound_messages (device_id, id, tenant_id, sender, body, received_at) values (${id}, 'x', ${tenantId}, ${FRIEND}, 'hello', now())`;
    wire.server.standing.lockedUntil = systemClock.wall() + 600_000;
    wire.server.manners.answer = ({ to }) => (to === stranger ? { kind: 'error', code: 463 } : { kind: 'ok' });
    expect(await watched.connection.send(outbound('hi', stranger), 30_000)).toMatchObject({ kind: 'rejected', code: 'WHATSAPP_463' });
    await until('the lock', () => watched.states.at(-1) === 'ONLINE REACHOUT_LOCKED');
    wire.server.manners.answer = () => ({ kind: 'ok' });
    expect(await watched.connection.send(outbound('hi', stranger), 30_000)).toMatchObject({ kind: 'rejected', code: 'COLD_PAUSED' });
    expect(wire.server.account(stranger).arrived).toEqual([]);
    expect((await watched.connection.send(outbound('hi'), 30_000)).kind).toBe('sent');
    const { sql } = wire.database;
    const standing = async () => (await sql`select settings -> 'standing' as s from devices where id = ${id}`)[0]?.['s'] as object;
    const second = Math.floor(wire.server.standing.lockedUntil / 1000) * 1000;
    await until('the ledger knows', async () => 'coldUntil' in ((await standing()) ?? {}));
    expect(await standing()).toMatchObject({ coldUntil: second, coldWhy: 'REACHOUT_LOCKED' });
    expect(await sql`select phone from acquaintances where device_id = ${id}`).toEqual([{ phone: FRIEND }]);
    // somebody who writes meanwhile is written to; what the ledger set aside is due when WhatsApp lifts it
    await wire.server.say(stranger, PHONE, 'hello?');
    await until('an acquaintance', async () => (await sql`select 1 from acquaintances where device_id = ${id}`).length === 2);
    expect((await watched.connection.send(outbound('hi', stranger), 30_000)).kind).toBe('sent');
    const aside = outbound();
    await sql`insert into messages (id, tenant_id, device_id, lane, recipient, body, state, due_at, cause) values
      (${aside.id}, ${tenantId}, ${id}, 'high', '+491700000009', 'hi', 'QUEUED', now() + interval '1 hour', 'COLD_PAUSED')`;
    wire.server.standing.lockedUntil = 0;
    for (const companion of wire.server.online()) wire.server.tellStanding(companion);
    await until('lifted', () => watched.states.at(-1) === 'ONLINE');
    await until('due', async () => (await sql`select 1 from messages where id = ${aside.id} and due_at <= now()`).length === 1);
    await expect.poll(() => sql`select 1 from acquaintances where device_id = ${id}`).toHaveLength(0);
  });

  it('new chats are counted by WhatsApp and paused when they are used up, until its cycle ends', async () => {
    const { sql } = wire.database;
    await wire.transport.close();
    wire.transport = wire.newTransport({ timing: { newChatsMs: 1 } });
    wire.server.standing.newChatsUsed = 7;
    const watched = await wire.paired();
    const { id } = watched.device;
    const standing = async () =>
      (await sql`select settings -> 'standing' as s from devices where id = ${id}`)[0]?.['s'] as { newChats?: object };
    await until('the count', async () => (await standing())?.newChats !== undefined);
    expect((await standing()).newChats).toMatchObject({ used: 7, total: 1000, capped: false });
    wire.server.standing.newChatsUsed = 1000;
    wire.server.standing.newChatsEnd = Math.floor(systemClock.wall() / 1000 + 600) * 1000;
    for (const companion of wire.server.online()) wire.server.tellStanding(companion);
    await until('the pause', () => watched.states.at(-1) === 'ONLINE NEW_CHAT_CAP');
    await until('the ledger knows', async () => 'coldUntil' in (await standing()));
    expect(await standing()).toMatchObject({ coldUntil: wire.server.standing.newChatsEnd, coldWhy: 'NEW_CHAT_CAP' });
    expect(await watched.connection.send(outbound('hi', '+491700000008'), 30_000)).toMatchObject({ code: 'COLD_PAUSED' });
  });

  it('a recipient who is not on WhatsApp: FAILED with a cause of its own, asked once; those who are get LIDs that are kept', async () => {
    const { sql } = wire.database;
    const device = await wire.newDevice({ settings: { checkNumbers: true } });
    const watched = wire.connect(device);
    await wire.askToPair(device);
    await until('a QR code', () => wire.qrs().length > 0);
    await wire.server.scan(PHONE, wire.qrs().at(-1) ?? '');
    await wire.online(watched);
    const nobody = '+491700000077';
    wire.server.manners.absent.add(nobody);
    const refused = { kind: 'rejected', retry: false, code: 'NOT_ON_WHATSAPP' };
    expect(await watched.connection.send(outbound('hi', nobody), 30_000)).toMatchObject(refused);
    wire.server.manners.absent.delete(nobody);
    expect(await watched.connection.send(outbound('hi', nobody), 30_000)).toMatchObject(refused);
    expect(wire.server.account(nobody).arrived).toEqual([]);
    expect((await watched.connection.send(outbound(), 30_000)).kind).toBe('sent');
    const kept = () => sql`select lid, registered from identities where tenant_id = ${device.tenantId} and phone = ${FRIEND}`;
    await until('the LID', async () => (await kept())[0]?.['lid'] != null);
    expect(await kept()).toEqual([{ lid: wire.server.account(FRIEND).lid, registered: true }]);
  });

  it('a session that cannot be read puts the device into quarantine; restored and released it is back', async () => {
    const { sql } = wire.database;
    const first = await wire.paired();
    const { id } = first.device;
    await wire.transport.close();
    const [kept] = await sql<{ creds: Uint8Array }[]>`select creds from sessions where device_id = ${id}`;
    await sql`update sessions set creds = ${Buffer.from('junk')} where device_id = ${id}`;
    wire.transport = wire.newTransport();
    const second = wire.connect(first.device);
    const row = async () => (await sql`select quarantined, quarantine_reason from devices where id = ${id}`)[0];
    await expect.poll(row).toEqual({ quarantined: true, quarantine_reason: 'SESSION_CORRUPT' });
    await until('the reason', () => second.states.at(-1) === 'OFFLINE SESSION_CORRUPT');
    await sql`update sessions set creds = ${Buffer.from(kept?.creds ?? [])} where device_id = ${id}`;
    await sql`update devices set quarantined = false, quarantine_reason = null where id = ${id}`;
    await wire.online(second);
  });

  it('unlinked through the API: what another store still holds is erased by the next owner, and a new pairing stays', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'flotilla-wire-'));
    const files = createFileStore(folder);
    const restart = async (): Promise<void> => {
      await wire.transport.close();
      // the next owner
      await wire.database.sql`update ownership set epoch = epoch + 1`;
      wire.transport = wire.newTransport(
        {},
        createSessionStore({ sealed: files, ring: parseKeyRing(`a:${Buffer.alloc(32, 1).toString('base64')}`) }),
      );
    };
    try {
      await restart();
      const { device } = await wire.paired();
      const isPaired = async () => (await wire.database.sql`select 1 from devices where id = ${device.id} and paired`).length === 1;
      // its row says so a moment after it is online, and would say so after the unlinking
      await until('paired', isPaired);
      const settings = { unlinkedAt: Math.floor(systemClock.wall()) };
      await wire.database
        .sql`update devices set paired = false, settings = settings || ${wire.database.sql.json(settings)} where id = ${device.id}`;
      await restart();
      const second = wire.connect({ ...device, epoch: 2, settings });
      await until('UNPAIRED', () => second.states.at(-1) === 'UNPAIRED');
      expect(await files.read(device.id)).toBeNull();
      const shown = wire.qrs().length;
      await wire.askToPair(device, {}, settings);
      await until('a QR code', () => wire.qrs().length > shown);
      await wire.server.scan(PHONE, wire.qrs().at(-1) ?? '');
      await wire.online(second);
      await until('paired', isPaired);
      await restart();
      await wire.online(wire.connect({ ...device, epoch: 3, settings }));
    } finally {
      await wire.transport.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('an ack that never comes is unknown; the receipt that comes later is proof', async () => {
    const watched = await wire.paired();
    const friend = wire.server.account(FRIEND);
    friend.manner = 'silent';
    // the first message to somebody takes longest: his devices and keys are asked for
    expect((await watched.connection.send(outbound('first'), 30_000)).kind).toBe('sent');
    wire.server.manners.answer = () => ({ kind: 'lost-ack' });
    const message = outbound();
    expect(await watched.connection.send(message, 4000)).toEqual({ kind: 'unknown', code: 'NO_ACK' });
    expect(friend.arrived).toHaveLength(2);
    for (const companion of wire.server.online()) wire.server.receipt(companion, FRIEND, [whatsappIdOf(message.id)], 'delivered');
    await until('the proof', () => watched.receipts.includes(`${message.id} DELIVERED`));
  });

  it('what a contact wrote while the device was away comes when it is back, once', async () => {
    const first = await wire.paired();
    // a device that has not gone through its history holds everything back for 20 s at its next login (Baileys waits for it)
    for (let done = false; !done; ) {
      const { creds } = await wire.newStore().open(first.device.id, 1);
      done = Number((creds as { accountSyncCounter?: number }).accountSyncCounter) > 0;
      await systemClock.sleep(20);
    }
    await wire.transport.close();
    await until('gone', () => wire.server.online().length === 0);
    await wire.server.say(FRIEND, PHONE, 'are you there?');
    wire.transport = wire.newTransport();
    const second = wire.connect(first.device);
    await until('the message', () => second.inbound.length > 0);
    expect(second.inbound).toEqual([`${FRIEND} are you there?`]);
    await until('it is acknowledged', () => wire.server.online()[0]?.pending.size === 0);
  });

  it('a recipient who cannot read a message asks again and gets it from the ledger', async () => {
    const watched = await wire.paired();
    const friend = wire.server.account(FRIEND);
    const { sql } = wire.database;
    expect((await watched.connection.send(outbound('one'), 15_000)).kind).toBe('sent');
    await until('one', () => friend.arrived.length === 1);
    const [companion] = wire.server.online();
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
