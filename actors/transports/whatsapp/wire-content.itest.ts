import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type { proto } from '@whiskeysockets/baileys';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import {
  MEDIA_WANTED_CHANNEL,
  type MessageContent,
  mediaAgainKey,
  urlOfUpload,
  uuidV7,
  whatsappIdOf,
} from '../../../schema/domain/index.ts';
import { createUploads, openReceived } from '../../media/index.ts';
import { startSealedFiles } from '../../media/testing.ts';
import type { SendOutcome } from '../port.ts';
import { FRIEND, outbound, PHONE, until, useWire, type Watched } from './wire.testing.ts';

/** Messages that are more than a text, on the wire. */
/** where media of messages come from: path -> type and bytes */
const files = { hosts: [] as string[], at: new Map<string, { type: string; bytes: Buffer }>(), asked: [] as string[] };
let fileServer: Server;
const fileUrl = (path: string): string => `http://${files.hosts[0]}${path}`;
const wire = useWire(files.hosts);

/** Sends a message of the ledger, again and again while its media are on their way. */
async function sendContent(
  watched: Watched,
  content: MessageContent,
  body = '',
  to = FRIEND,
): Promise<{ id: string; outcome: SendOutcome }> {
  const { id: device, tenantId } = watched.device;
  const { sql } = wire.database;
  const message = { ...outbound(body, to), content };
  await sql`insert into messages (id, tenant_id, device_id, lane, recipient, body, state, due_at, content) values
    (${message.id}, ${tenantId}, ${device}, 'high', ${to}, ${body}, 'SENDING', now(), ${sql.json(content as never)})`;
  const end = systemClock.monotonic() + 45_000;
  for (;;) {
    const outcome = await watched.connection.send(message, 15_000);
    const pending = outcome.kind === 'rejected' && outcome.code === 'MEDIA_PENDING';
    if (!pending || systemClock.monotonic() > end) return { id: message.id, outcome };
    await systemClock.sleep(50);
  }
}
const gotten = async (id: string, phone = FRIEND): Promise<proto.IMessage> => {
  const find = () => wire.server.account(phone).arrived.find((arrived) => arrived.id === whatsappIdOf(id));
  await until('the message', () => find() !== undefined);
  return find()?.message ?? {};
};

beforeAll(async () => {
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
    const watched = await wire.paired();
    const image = await sendContent(watched, { kind: 'image', url: fileUrl('/cat.jpg') }, 'look');
    expect(image.outcome).toMatchObject({ kind: 'sent' });
    const picture = await gotten(image.id);
    expect(picture.imageMessage).toMatchObject({ caption: 'look', mimetype: 'image/jpeg' });
    expect(await wire.server.media.open(picture)).toEqual(PICTURE);
    expect([...wire.server.media.uploads.values()].some((bytes) => bytes.includes(PICTURE.subarray(0, 64)))).toBe(false);

    const video = await sendContent(watched, { kind: 'video', url: fileUrl('/clip.mp4') });
    expect(await wire.server.media.open(await gotten(video.id))).toEqual(files.at.get('/clip.mp4')?.bytes);
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
    const first = await wire.paired();
    const content: MessageContent = { kind: 'image', url: fileUrl('/cat.jpg') };
    const { id } = await sendContent(first, content);
    expect((await first.connection.send({ ...outbound(), id, attempt: 2, content }, 15_000)).kind).toBe('sent');
    expect([files.asked, wire.server.media.uploads.size]).toEqual([['/cat.jpg'], 1]);
    const friend = wire.server.account(FRIEND);
    await until('both', () => friend.arrived.length === 2);
    await wire.transport.close();
    wire.transport = wire.newTransport();
    const second = wire.connect(first.device);
    await wire.online(second);
    // the phone has lost its keys: it cannot read the next one, asks for it, and gets it from the ledger
    await friend.party.forget(wire.server.online()[0]?.jid ?? '');
    const lost = { ...outbound(), id, attempt: 3, content };
    expect((await second.connection.send(lost, 15_000)).kind).toBe('sent');
    await until('the repeated one', () => friend.arrived.length === 3);
    expect(await wire.server.media.open(friend.arrived[2]?.message ?? {})).toEqual(PICTURE);
    expect(wire.server.media.uploads.size).toBe(1);
  });

  it('what cannot be had ends the message or is tried again, and nothing is sent', async () => {
    const watched = await wire.paired();
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
    expect(wire.server.account(FRIEND).arrived).toEqual([]);
    expect((await watched.connection.send(outbound('after it'), 15_000)).kind).toBe('sent');
  });

  it('places, contacts, reactions and answers', async () => {
    const watched = await wire.paired();
    const { id: device, tenantId } = watched.device;
    const place = await sendContent(watched, { kind: 'location', latitude: 52.5, longitude: 13.4, name: 'Berlin' });
    expect((await gotten(place.id)).locationMessage).toMatchObject({ degreesLatitude: 52.5, degreesLongitude: 13.4, name: 'Berlin' });
    const contact = await sendContent(watched, { kind: 'contact', name: 'Doe; Jane', phone: '+491700000009' });
    expect((await gotten(contact.id)).contactMessage?.vcard).toContain(
      'FN:Doe\\; Jane\nTEL;type=CELL;type=VOICE;waid=491700000009:+491700000009',
    );
    const wireId = await wire.server.say(FRIEND, PHONE, 'are you open?');
    await wire.database.sql`insert into inbound_messages (device_id, id, tenant_id, sender, body, received_at)
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

  it('files that people send are kept as they describe them, without nonsense, and can be opened', async () => {
    const watched = await wire.paired();
    const store = await startSealedFiles();
    try {
      const { path, key } = store.add('image', PICTURE);
      const imageMessage = {
        caption: 'look',
        mimetype: 'image/jpeg',
        fileLength: PICTURE.length,
        directPath: path,
        mediaKey: Buffer.from(key, 'base64'),
      };
      await wire.server.deliver(FRIEND, PHONE, { imageMessage });
      await until('the picture', () => watched.inbound.length === 1);
      expect(watched.inbound).toEqual([`${FRIEND} look`]);
      const [media] = watched.files;
      expect(media).toEqual({
        kind: 'image',
        type: 'image/jpeg',
        bytes: PICTURE.length,
        fileName: null,
        seconds: null,
        voice: false,
        path,
        key,
        chat: '491700000002@s.whatsapp.net',
      });
      const settings = { WHATSAPP_MEDIA_URL: store.url, WHATSAPP_FORBID_REAL: true };
      const options = { mostBytes: 1_000_000, signal: new AbortController().signal, idleMs: 25_000 };
      const chunks: Buffer[] = [];
      for await (const chunk of await openReceived({ kind: 'image', path, key }, settings, options)) chunks.push(chunk);
      expect(Buffer.concat(chunks).equals(PICTURE)).toBe(true);

      const documentMessage = {
        mimetype: '<b>',
        fileName: `../a\u0000b${'x'.repeat(500)}`,
        directPath: 'http://127.0.0.1/x',
        mediaKey: Buffer.from('short'),
      };
      await wire.server.deliver(FRIEND, PHONE, { documentMessage });
      await until('the document', () => watched.files.length === 2);
      expect(watched.files[1]).toMatchObject({ kind: 'document', type: 'application/octet-stream', path: null, key: null });
      expect(watched.files[1]?.fileName).toMatch(/^\.\.abx+$/);
      expect(watched.files[1]?.fileName).toHaveLength(200);
    } finally {
      await store.stop();
    }
  });

  it('a file that WhatsApp does not keep any more is uploaded again by the phone; what it says, and that it says nothing, has a name', async () => {
    await wire.transport.close();
    wire.transport = wire.newTransport({ mediaAnswerMs: 1500 });
    const watched = await wire.paired();
    const { id: deviceId, tenantId } = watched.device;
    const key = randomBytes(32).toString('base64');
    const imageMessage = { mimetype: 'image/jpeg', directPath: '/v/old', mediaKey: Buffer.from(key, 'base64') };
    const messageId = await wire.server.deliver(FRIEND, PHONE, { imageMessage });
    await until('the picture', () => watched.files.length === 1);
    const [media] = watched.files;
    const { sql } = wire.database;
    await sql`insert into inbound_messages (device_id, id, tenant_id, sender, body, media) values
      (${deviceId}, ${messageId}, ${tenantId}, ${FRIEND}, '', ${sql.json(media as never)})`;
    const path = async (): Promise<string> =>
      (await sql`select media ->> 'path' as path from inbound_messages where device_id = ${deviceId}`)[0]?.['path'];
    const name = mediaAgainKey(deviceId, messageId);
    const ask = async (word: string, id = messageId, on = deviceId): Promise<void> => {
      wire.words.delete(mediaAgainKey(on, id));
      wire.tell(MEDIA_WANTED_CHANNEL, JSON.stringify({ deviceId: on, messageId: id }));
      await until(word, () => wire.words.get(mediaAgainKey(on, id)) === word);
    };
    const { manners } = wire.server;
    let questions = 0;
    const answers = (answer: ReturnType<typeof manners.uploadAgain>): void => {
      manners.uploadAgain = () => {
        questions += 1;
        return answer;
      };
    };
    answers('GENERAL_ERROR');
    await ask('failed');
    answers('NOT_FOUND');
    await ask('gone');
    await ask('gone', 'no-such-message');
    expect(await path()).toBe('/v/old');
    answers({ key, path: '/v/new?ccb=1' });
    await ask('again');
    expect(await path()).toBe('/v/new?ccb=1');
    expect(questions).toBe(3);
    // the phone is off: not known, not asked twice; it answers in the end
    answers(null);
    await ask('unanswered');
    await ask('unanswered');
    expect(questions).toBe(4);
    await watched.connection.close();
    wire.words.clear();
    for (const nonsense of ['', '{', '{"deviceId":1}', JSON.stringify({ deviceId, messageId })]) wire.tell(MEDIA_WANTED_CHANNEL, nonsense);
    const idle = wire.connect(await wire.newDevice());
    await sql`insert into inbound_messages (device_id, id, tenant_id, sender, body, media) values
      (${idle.device.id}, 'x', ${idle.device.tenantId}, ${FRIEND}, '', ${sql.json(media as never)})`;
    await ask('offline', 'x', idle.device.id);
    expect(wire.words.has(name)).toBe(false);
  });

  it('a file that was uploaded goes as one by URL does; one that is forgotten ends the message', async () => {
    const watched = await wire.paired();
    const upload = {
      id: uuidV7(systemClock.wall()),
      tenantId: watched.device.tenantId,
      kind: 'image' as const,
      type: 'image/jpeg',
      fileName: null,
    };
    const settings = { MEDIA_STORE: 'postgres' as const, MEDIA_KEEP_DAYS: 1, MEDIA_TENANT_BYTES: 1e6, DATA_DIR: '.none' };
    await createUploads(wire.database, settings).put(upload, Readable.from([PICTURE]));
    const image = await sendContent(watched, { kind: 'image', url: urlOfUpload(upload.id) }, 'ours');
    expect(image.outcome).toMatchObject({ kind: 'sent' });
    expect((await wire.server.media.open(await gotten(image.id))).equals(PICTURE)).toBe(true);
    await wire.database.sql`delete from media_uploads where id = ${upload.id}`;
    const gone = await sendContent(watched, { kind: 'image', url: urlOfUpload(upload.id) });
    expect(gone.outcome).toMatchObject({ kind: 'rejected', retry: false, code: 'MEDIA_NOT_FOUND' });
    expect(files.asked).toEqual([]);
  });
});
