import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { type ConnectProxy, startConnectProxy } from '../../../ops/testing/index.ts';
import { urlOfUpload, uuidV7 } from '../../../schema/domain/index.ts';
import { createUploads } from '../../media/index.ts';
import { parseKeyRing } from '../../sessions/index.ts';
import type { TransportDevice } from '../port.ts';
import { createProxySeal } from './proxy-seal.ts';
import { FRIEND, outbound, PHONE, SESSION_KEYS, until, useWire, type Watched } from './wire.testing.ts';

/** A device with a proxy of its own, real Baileys on the wire: every byte goes through it, or none does (C8, W1). */
const places: string[] = [];
const wire = useWire([], places);
const seal = createProxySeal(() => parseKeyRing(SESSION_KEYS), places);
const ANOTHER = '+491700000009';
let proxy: ConnectProxy;

beforeEach(async () => {
  proxy = await start();
});
afterEach(async () => {
  await proxy.stop();
  places.length = 0;
});

async function start(): Promise<ConnectProxy> {
  const started = await startConnectProxy('some-user:some-password');
  places.push(started.place);
  return started;
}
type Settings = { proxy?: unknown };
/** a device that was made with this proxy; its settings can be changed */
async function deviceWith(through: ConnectProxy): Promise<{ readonly device: TransportDevice; readonly settings: Settings }> {
  const settings: Settings = {};
  const device = await wire.newDevice({ settings: settings as Readonly<Record<string, unknown>> });
  settings.proxy = seal.seal(device.id, through.url);
  return { device, settings };
}
async function pair(device: TransportDevice, phone = PHONE): Promise<Watched> {
  const watched = wire.connect(device);
  const shown = wire.qrs().length;
  await wire.askToPair(device);
  await until('a QR code', () => wire.qrs().length > shown);
  await wire.server.scan(phone, wire.qrs().at(-1) ?? '');
  await wire.online(watched);
  return watched;
}
/** sends a picture that was uploaded to us */
async function sendPicture({ device, connection }: Watched): Promise<void> {
  const { sql } = wire.database;
  const [id, uploadId] = [uuidV7(systemClock.wall()), uuidV7(systemClock.wall())];
  const { tenantId } = device;
  const settings = { MEDIA_STORE: 'postgres', MEDIA_KEEP_DAYS: 1, MEDIA_TENANT_BYTES: 1e9, DATA_DIR: '' } as const;
  const picture = Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), Buffer.alloc(90_000, 5)]);
  const upload = { id: uploadId, tenantId, kind: 'image', type: 'image/jpeg', fileName: null } as const;
  await createUploads({ sql }, settings).put(
    upload,
    (async function* () {
      yield picture;
    })(),
  );
  const content = { kind: 'image', url: urlOfUpload(uploadId) } as const;
  await sql`insert into messages (id, tenant_id, device_id, lane, recipient, body, state, due_at, content) values
    (${id}, ${tenantId}, ${device.id}, 'high', ${FRIEND}, '', 'SENDING', now(), ${sql.json(content as never)})`;
  await until('the picture to be sent', async () => {
    const outcome = await connection.send({ ...outbound(''), id, content }, 25_000);
    return outcome.kind === 'sent';
  });
}
/** connections that reached the servers by another way than these proxies */
const past = (...proxies: readonly ConnectProxy[]): readonly number[] =>
  wire.server.seen.ports.filter((port) => !proxies.some((one) => one.ports.has(port)));
const said = (watched: Watched, state: string): Promise<void> => until(state, () => watched.states.includes(state));

describe('a device with a proxy', () => {
  it('pairs, sends, uploads and hears through it alone; another device goes its own way', async () => {
    const { device } = await deviceWith(proxy);
    const watched = await pair(device);
    expect(await watched.connection.send(outbound('through a proxy'), 25_000)).toMatchObject({ kind: 'sent' });
    await sendPicture(watched);
    await wire.server.say(FRIEND, PHONE, 'hello back');
    await until('the answer', () => watched.inbound.length === 1);
    // pairing, login after it, upload
    expect(wire.server.seen.ports.length).toBeGreaterThanOrEqual(3);
    expect(past(proxy)).toEqual([]);
    expect(proxy.bytes.up).toBeGreaterThan(90_000);

    const straight = await wire.paired(ANOTHER);
    expect(past(proxy).length).toBeGreaterThan(0);
    expect(await straight.connection.send(outbound('straight'), 25_000)).toMatchObject({ kind: 'sent' });
    expect(wire.logged.join()).not.toMatch(/some-user|some-password|c29tZS11c2Vy/);
  });

  it('whose proxy is dead waits for it, says so, and never goes past it', async () => {
    const watched = await pair((await deviceWith(proxy)).device);
    const before = wire.server.seen.ports.length;
    proxy.refuse = 'reset';
    proxy.cut();
    await said(watched, 'OFFLINE PROXY_UNREACHABLE');
    const tries = (): number => watched.states.filter((state) => state === 'OFFLINE PROXY_UNREACHABLE').length;
    await until('more tries', () => tries() >= 4);
    expect(wire.server.seen.ports).toHaveLength(before);
    proxy.refuse = undefined;
    await wire.online(watched);
    expect(past(proxy)).toEqual([]);
    expect(wire.logged.join()).not.toMatch(/some-user|some-password|c29tZS11c2Vy/);
  });

  it('that its proxy refuses says PROXY_REFUSED and is ONLINE once it is let through', async () => {
    const { device } = await deviceWith(proxy);
    const watched = await pair(device);
    proxy.refuse = 407;
    proxy.cut();
    await said(watched, 'OFFLINE PROXY_REFUSED');
    proxy.refuse = undefined;
    await wire.online(watched);
    expect(past(proxy)).toEqual([]);
  });

  it('whose proxy may not be reached, or cannot be read, is not connected', async () => {
    const one = await deviceWith(proxy);
    places.length = 0;
    const inside = wire.connect(one.device);
    await wire.askToPair(one.device);
    await said(inside, 'UNPAIRED PROXY_FORBIDDEN');
    places.push(proxy.place);
    const other = await deviceWith(proxy);
    other.settings.proxy = one.settings.proxy;
    const foreign = wire.connect(other.device);
    await wire.askToPair(other.device);
    await said(foreign, 'UNPAIRED PROXY_UNREADABLE');
    expect(wire.server.seen.ports).toEqual([]);
    expect(proxy.asked).toEqual([]);
  });

  it('goes the new way when its proxy changes, and straight when it is taken away', async () => {
    const { device, settings } = await deviceWith(proxy);
    const watched = await pair(device);
    const second = await start();
    try {
      settings.proxy = seal.seal(device.id, second.url);
      await said(watched, 'OFFLINE PROXY_CHANGED');
      await wire.online(watched);
      expect(second.asked.length).toBeGreaterThan(0);
      expect(past(proxy, second)).toEqual([]);
      expect(await watched.connection.send(outbound('another way'), 25_000)).toMatchObject({ kind: 'sent' });
      const logins = wire.server.seen.logins;
      settings.proxy = null;
      await until('a login', () => wire.server.seen.logins > logins);
      await wire.online(watched);
      const straight = past(proxy, second).length;
      expect(straight).toBeGreaterThan(0);
      // what cannot be read is no leave to go straight
      settings.proxy = { sealed: 'damaged', shown: '' };
      await said(watched, 'OFFLINE PROXY_UNREADABLE');
      await until('nobody to be online', () => wire.server.online().length === 0);
      settings.proxy = seal.seal(device.id, second.url);
      await wire.online(watched);
      expect(past(proxy, second)).toHaveLength(straight);
    } finally {
      await second.stop();
    }
  });
});
