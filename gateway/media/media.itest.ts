import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SealedFiles, startSealedFiles } from '../../actors/media/testing.ts';
import { parseKeyRing } from '../../actors/sessions/index.ts';
import { createProxySeal } from '../../actors/transports/whatsapp/index.ts';
import { connectRedis } from '../../ops/connect/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { type ConnectProxy, startConnectProxy } from '../../ops/testing/index.ts';
import {
  MEDIA_WANTED_CHANNEL,
  type MediaWanted,
  mediaAgainKey,
  type ReceivedMedia,
  type StoredProxy,
  uuidV7,
} from '../../schema/domain/index.ts';
import { storeInbound } from '../../schema/sql/index.ts';
import { ADMIN_KEY, type Data, headersOf, startTestGateway, type TestGateway } from '../gateway.testing.ts';

/** Files through a whole gateway, over the wire. */
let gateway: TestGateway;
let files: SealedFiles;
let through: ConnectProxy;
const SESSION_KEYS = `t:${randomBytes(32).toString('base64')}`;
let device = '';
let tenant = '';

const ask = (query: string): Promise<Data> => gateway.ask(query);
const get = (path: string, key = ADMIN_KEY): Promise<Response> => fetch(`${gateway.base}${path}`, { headers: headersOf({ key }) });
const post = (body: BodyInit, type: string, query = '', key = ADMIN_KEY): Promise<Response> =>
  fetch(`${gateway.base}/api/media${query}`, {
    method: 'POST',
    headers: { ...headersOf({ key }), 'content-type': type },
    body,
    duplex: 'half',
  } as RequestInit);
const keyOf = (scope: string): Promise<string> => gateway.keyOf(scope);

beforeAll(async () => {
  [files, through] = await Promise.all([startSealedFiles(), startConnectProxy('a:b')]);
  const media = { WHATSAPP_MEDIA_URL: files.url, WHATSAPP_FORBID_REAL: 'true', MEDIA_DOWNLOAD_BYTES: '1000000' };
  gateway = await startTestGateway({ ...media, SESSION_KEYS, WHATSAPP_PROXY_PRIVATE_HOSTS: through.place });
  const made = await ask('mutation { createDevice(input: {name: "one", transport: SIMULATOR}) { device { id } } }');
  device = made.data.createDevice.device.id.replace('Device:', '');
  tenant = (await gateway.database.sql`select tenant_id from devices where id = ${device}`)[0]?.['tenant_id'];
});
afterAll(async () => {
  await gateway.stop();
  await files.stop();
  await through.stop();
});

describe('what people sent to devices', () => {
  const PLAIN = randomBytes(400_000);
  const receive = async (media: Partial<ReceivedMedia> | null, body = ''): Promise<string> => {
    const id = uuidV7(systemClock.wall());
    const whole =
      media === null
        ? null
        : { kind: 'image', type: 'image/jpeg', bytes: null, fileName: null, seconds: null, voice: false, path: null, key: null, ...media };
    const item = { deviceId: device, id, tenantId: tenant, sender: '+491700000002', senderLid: null, body, receivedAt: systemClock.wall() };
    await storeInbound(gateway.database.sql, [{ ...item, media: whole as ReceivedMedia | null }]);
    return id;
  };
  const phone = async (name: string): Promise<string> => {
    const id = uuidV7(systemClock.wall());
    await gateway.database
      .sql`insert into devices (id, tenant_id, partition, name, transport) values (${id}, ${tenant}, 1, ${name}, 'whatsapp')`;
    return id;
  };
  const newest = async (first = 1, after = ''): Promise<Data> =>
    (
      await ask(`{ receivedMessages(first: ${first}, deviceId: "Device:${device}"${after === '' ? '' : `, after: "${after}"`}) {
        edges { cursor node { id from body media { kind type bytes fileName seconds voice downloadPath } } } pageInfo { hasNextPage } } }`)
    ).data.receivedMessages;

  it('are listed newest first, in pages that neither skip nor repeat; a file comes as it was, as an attachment', async () => {
    await receive(null, 'hello');
    await receive({ type: 'image/jpeg', bytes: PLAIN.length, ...files.add('image', PLAIN) }, 'look');
    const [{ cursor, node }] = (await newest()).edges;
    expect(node).toMatchObject({ from: '+491700000002', body: 'look', media: { kind: 'image', bytes: PLAIN.length } });
    const [older] = (await newest(1, cursor)).edges;
    expect(older.node).toMatchObject({ body: 'hello', media: null });
    const answer = await get(node.media.downloadPath);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('image/jpeg');
    expect(answer.headers.get('content-disposition')).toMatch(/^attachment/);
    expect(answer.headers.get('content-security-policy')).toContain('sandbox');
    expect(Buffer.from(await answer.arrayBuffer()).equals(PLAIN)).toBe(true);
  });

  it('a page or a script is no page of ours (F1); a file tampered with is cut off (F2)', async () => {
    await receive({ kind: 'document', type: 'text/html', fileName: "a'ü.html", ...files.add('document', Buffer.from('<script>')) });
    const [{ node }] = (await newest()).edges;
    const answer = await get(node.media.downloadPath);
    expect(answer.headers.get('content-type')).toBe('application/octet-stream');
    expect(answer.headers.get('content-disposition')).toBe("attachment; filename*=UTF-8''a%27%C3%BC.html");
    expect(await answer.text()).toBe('<script>');
    const spoilt = files.add('image', PLAIN, (sealed) => Buffer.concat([sealed.subarray(0, -1), Buffer.from([1, 2])]));
    await receive({ ...spoilt });
    const [{ node: bad }] = (await newest()).edges;
    await expect(get(bad.media.downloadPath).then((cut) => cut.arrayBuffer())).rejects.toThrow();
  });

  it('WhatsApp does not keep it any more: the phone is asked to upload it again, and what came of that has a name', async () => {
    const deviceId = await phone('phone');
    const { path, key } = files.add('image', PLAIN);
    const download = async (before?: string): Promise<{ readonly status: number; readonly text: string; readonly body: Buffer }> => {
      const messageId = uuidV7(systemClock.wall());
      const media = {
        kind: 'image',
        type: 'image/jpeg',
        bytes: null,
        fileName: null,
        seconds: null,
        voice: false,
        path: '/v/gone',
        key,
      } as const;
      const item = {
        deviceId,
        id: messageId,
        tenantId: tenant,
        sender: '+491700000002',
        senderLid: null,
        body: '',
        receivedAt: systemClock.wall(),
      };
      await storeInbound(gateway.database.sql, [{ ...item, media }]);
      if (before !== undefined) await node.set(mediaAgainKey(deviceId, messageId), before);
      const answer = await get(`/api/media/received/${deviceId}/${messageId}`);
      const body = Buffer.from(await answer.arrayBuffer());
      return { status: answer.status, text: answer.status === 200 ? '' : body.toString(), body };
    };
    const node = connectRedis(gateway.redis.url, { role: 'general', name: 'node' });
    const listener = connectRedis(gateway.redis.url, { role: 'subscriber', name: 'node' });
    try {
      // a node that has the device, and a phone that says this
      let says = 'again';
      const asked: string[] = [];
      listener.on('message', (_channel: string, text: string) => {
        const { deviceId: device, messageId } = JSON.parse(text) as MediaWanted;
        asked.push(messageId);
        const answer = async (): Promise<void> => {
          await node.set(mediaAgainKey(device, messageId), 'asking');
          await gateway.database.sql`update inbound_messages set media = jsonb_set(media, '{path}', to_jsonb(${path}::text))
            where id = ${messageId} and ${says === 'again'}`;
          await node.set(mediaAgainKey(device, messageId), says);
        };
        void answer();
      });
      await listener.subscribe(MEDIA_WANTED_CHANNEL);
      // on a machine that stands still the node may be too late to say that it has the device: then once more
      const patient = async (status: number): ReturnType<typeof download> => {
        const end = systemClock.monotonic() + 60_000;
        for (;;) {
          const told = await download();
          if (told.status === status || systemClock.monotonic() > end) return told;
        }
      };
      expect((await patient(200)).body.equals(PLAIN)).toBe(true);
      for (const [word, status, code] of [
        ['gone', 410, 'MEDIA_GONE'],
        ['failed', 502, 'MEDIA_NOT_UPLOADED'],
        ['unanswered', 504, 'MEDIA_UNANSWERED'],
        ['offline', 503, 'MEDIA_DEVICE_OFFLINE'],
      ] as const) {
        says = word;
        const told = await patient(status);
        expect([told.status, told.text.includes(code)]).toEqual([status, true]);
      }
      // a word that stands is taken: nobody is asked again
      const before = asked.length;
      expect((await download('unanswered')).status).toBe(504);
      expect(asked).toHaveLength(before);
      await listener.unsubscribe(MEDIA_WANTED_CHANNEL);
      // no node has it
      expect((await download()).status).toBe(503);
    } finally {
      node.disconnect();
      listener.disconnect();
    }
  });

  it('comes through the proxy of its device, or not at all', async () => {
    const { sql } = gateway.database;
    const deviceId = await phone('far');
    const seal = createProxySeal(() => parseKeyRing(SESSION_KEYS), [through.place]);
    const keep = (proxy: StoredProxy) => sql`update devices set settings = ${sql.json({ proxy: { ...proxy } })} where id = ${deviceId}`;
    await keep(seal.seal(deviceId, through.url));
    const { path, key } = files.add('image', PLAIN);
    const media = { kind: 'image', type: 'image/jpeg', bytes: null, fileName: null, seconds: null, voice: false, path, key } as const;
    const item = {
      deviceId,
      id: 'm',
      tenantId: tenant,
      sender: '+491700000002',
      senderLid: null,
      body: '',
      receivedAt: systemClock.wall(),
    };
    await storeInbound(sql, [{ ...item, media }]);
    const answer = await get(`/api/media/received/${deviceId}/m`);
    expect(Buffer.from(await answer.arrayBuffer()).equals(PLAIN)).toBe(true);
    expect(through.asked).toEqual([new URL(files.url).host]);
    const before = files.asked.length;
    through.refuse = 403;
    expect((await get(`/api/media/received/${deviceId}/m`)).status).toBe(502);
    await keep({ sealed: 'AAAA', shown: '' });
    const unreadable = await get(`/api/media/received/${deviceId}/m`);
    expect([unreadable.status, (await unreadable.text()).includes('set it again')]).toEqual([502, true]);
    expect(files.asked).toHaveLength(before);
  });

  it('needs a key with the scope VIEWER of this tenant; says what is gone, too large, or not there', async () => {
    const { path, key } = files.add('image', PLAIN);
    const id = await receive({ path, key });
    const at = `/api/media/received/${device}/${id}`;
    expect((await get(at, 'flk_nobody')).status).toBe(401);
    expect((await get(at, await keyOf('SCREEN'))).status).toBe(403);
    expect((await get(at, await keyOf('VIEWER'))).status).toBe(200);
    await gateway.database.sql`insert into tenants (id, name) values (${uuidV7(systemClock.wall())}, 'other')`;
    const foreign = await fetch(`${gateway.base}${at}`, { headers: headersOf({ tenant: 'other' }) });
    expect(foreign.status).toBe(404);
    expect((await get(`/api/media/received/${device}/none`)).status).toBe(404);
    expect((await get(`/api/media/received/${device}/${await receive(null)}`)).status).toBe(404);
    expect((await get(`/api/media/received/${device}/${await receive({ path: '/v/gone', key })}`)).status).toBe(410);
    expect((await get(`/api/media/received/${device}/${await receive({ path, key, bytes: 2_000_000 })}`)).status).toBe(413);
  });
});

describe('what is to be sent', () => {
  const PICTURE = Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), randomBytes(600_000)]);
  const send = async (content: string, more = ''): Promise<Data> => {
    const end = systemClock.monotonic() + 60_000;
    const key = uuidV7(systemClock.wall());
    for (;;) {
      const said = (
        await ask(`mutation { sendMessage(input: {deviceId: "Device:${device}", to: "+491700000003", idempotencyKey: "${key}", content: {${content}}${more}}) {
          message { id kind } errors { code path } } }`)
      ).data.sendMessage;
      // a machine that stands still for longer than a request waits
      if (said.errors[0]?.code !== 'UNAVAILABLE' || systemClock.monotonic() > end) return said;
    }
  };

  it('is uploaded as it comes, and named in a message', async () => {
    const answer = await post(PICTURE, 'image/jpeg');
    expect(answer.status).toBe(201);
    const made = (await answer.json()) as Data;
    expect(made).toMatchObject({ kind: 'image', type: 'image/jpeg', bytes: PICTURE.length, fileName: null });
    expect((await send(`image: {uploadId: "${made.id}"}`)).errors).toEqual([]);
    const file = (await (await post('%PDF-1.7', 'application/pdf', '?fileName=prices.pdf')).json()) as Data;
    expect((await send(`document: {uploadId: "${file.id}"}`)).errors).toEqual([]);
    const rows = await gateway.database.sql`select content from messages where recipient = '+491700000003' order by id`;
    expect(rows.map((row) => row['content'])).toEqual([
      { kind: 'image', url: `upload:${made.id}` },
      { kind: 'document', url: `upload:${file.id}`, fileName: 'prices.pdf' },
    ]);
    const wrong = { code: 'CONTENT_INVALID' };
    expect((await send(`image: {uploadId: "${file.id}"}`)).errors).toMatchObject([wrong]);
    expect((await send(`image: {uploadId: "${made.id}", url: "https://example.com/x.jpg"}`)).errors).toMatchObject([wrong]);
    expect((await send('image: {}')).errors).toMatchObject([wrong]);
    expect((await send('image: {url: "upload:x"}')).errors).toMatchObject([wrong]);
    await gateway.database.sql`update media_uploads set expires_at = now() + interval '1 hour' where id = ${made.id}`;
    const late = new Date(systemClock.wall() + 7_200_000).toISOString();
    expect((await send(`image: {uploadId: "${made.id}"}`, `, scheduledAt: "${late}"`)).errors).toMatchObject([wrong]);
    const none = uuidV7(systemClock.wall());
    expect((await send(`image: {uploadId: "${none}"}`)).errors).toMatchObject([{ code: 'UPLOAD_NOT_FOUND' }]);
    const other = await ask('mutation { createTenant(input: {name: "third"}) { tenant { id } } }');
    await gateway.database
      .sql`update media_uploads set tenant_id = ${other.data.createTenant.tenant.id.replace('Tenant:', '')} where id = ${file.id}`;
    expect((await send(`document: {uploadId: "${file.id}"}`)).errors).toMatchObject([{ code: 'UPLOAD_NOT_FOUND' }]);
  });

  it('is refused: too large, of a type that is not taken or not its own, without the scope SENDER', async () => {
    expect((await post(Buffer.alloc(6_000_000), 'image/png')).status).toBe(413);
    expect((await post('<script>', 'text/html')).status).toBe(415);
    expect((await post('<script>', 'image/png')).status).toBe(415);
    expect((await post('x', 'nonsense')).status).toBe(415);
    expect((await post('x', 'text/plain', '?kind=film')).status).toBe(400);
    expect((await post('x', 'text/plain', '?fileName=..%2Fx')).status).toBe(400);
    expect((await post('x', 'text/plain', '?other=1')).status).toBe(400);
    expect((await post('x', 'text/plain', '', await keyOf('VIEWER'))).status).toBe(403);
    expect((await post('x', 'text/plain', '', await keyOf('SENDER'))).status).toBe(201);
  });
});
