import { connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createControlLane } from '../../actors/mailbox/index.ts';
import { deviceKeys, partitionOf, uuidV7 } from '../../schema/domain/index.ts';
import { LINK_CLOSE } from '../../schema/link/index.ts';
import { linkClient } from '../../schema/link/ws.testing.ts';
import { deleteDevice, setLinkToken } from '../../schema/sql/index.ts';
import { hashOf, newLinkToken } from '../auth/index.ts';
import { createLinkCloser } from './index.ts';
import { dial, hello, type LinkWorld, startLinkWorld, type TestGateway, telemetry, until } from './world.testing.ts';

let world: LinkWorld;
let one: TestGateway;
let two: TestGateway;
let deviceId: string;
let token: string;
const WAIT = { timeout: 60_000 };
/** a heartbeat that is soon over; a device that shares a busy machine with its gateway can answer it all the same */
const SOON_MS = 3000;

beforeAll(async () => {
  world = await startLinkWorld();
  [one, two] = await Promise.all([world.gateway('gw-1'), world.gateway('gw-2')]);
});
afterAll(() => world.stop());
beforeEach(async () => {
  world.toNode.length = 0;
  ({ deviceId, token } = await world.device());
});

const presence = async (): Promise<{ gateway?: string } | null> => {
  const text = await world.general.get(deviceKeys(deviceId).link);
  return text === null ? null : (JSON.parse(text) as { gateway: string });
};
const kinds = (): string[] =>
  world.toNode.flatMap((message) => ('deviceId' in message && message.deviceId === deviceId ? message.kind : []));
const send = (id: string, epoch: number) => ({
  kind: 'link.send' as const,
  deviceId,
  node: 'node-1',
  id,
  epoch,
  to: '+491701234567',
  body: 'hi',
});

describe('device link', () => {
  it('welcomes a device, tells nodes where it is, and forgets it when it goes', async () => {
    const device = await hello(one.url, token, { deviceId });
    expect(device.frames[0]).toEqual({ type: 'welcome', deviceId, epoch: 3, heartbeatMs: 10_000 });
    expect(await presence()).toMatchObject({ gateway: 'gw-1' });
    await expect.poll(kinds, WAIT).toEqual(['link.up']);
    device.socket.close();
    await expect.poll(presence, WAIT).toBeNull();
    await expect.poll(kinds, WAIT).toEqual(['link.up', 'link.down']);
  });

  it('L2: an older epoch is dropped; the owner of a newer one gets the acks', async () => {
    const device = await hello(one.url, token);
    const [m1, m2, late] = [uuidV7(1), uuidV7(2), uuidV7(4)];
    await world.tell('gw-1', [send(m1, 5), send(uuidV7(3), 4), send(m2, 5)]);
    await expect.poll(() => device.frames.filter((frame) => frame['type'] === 'send').map((frame) => frame['id']), WAIT).toEqual([m1, m2]);
    device.say({ type: 'ack', id: m1, epoch: 5, status: 'sent' });
    await expect
      .poll(() => world.toNode.filter((message) => message.kind === 'link.ack'), WAIT)
      .toEqual([{ kind: 'link.ack', deviceId, id: m1, epoch: 5, status: 'sent', error: null }]);
    await world.tell('gw-1', [
      { kind: 'link.owner', deviceId, node: 'node-2', epoch: 6 },
      { kind: 'link.owner', deviceId, node: 'node-1', epoch: 5 },
      send(late, 5),
    ]);
    await world.tell('gw-1', [{ kind: 'link.ok', deviceId, id: m1, status: 'sent' }]);
    expect(await device.frame('ok')).toEqual({ type: 'ok', id: m1, status: 'sent' });
    device.say({ type: 'ack', id: m2, epoch: 5, status: 'sent' });
    const lane = createControlLane(world.general);
    await expect.poll(async () => (await lane.read([partitionOf(deviceId)])).map((ack) => ack.messageId).sort(), WAIT).toEqual([m1, m2]);
    expect(world.toNode.filter((message) => message.kind === 'link.ack')).toHaveLength(1);
    expect(device.frames.map((frame) => frame['id'])).not.toContain(late);
    device.socket.close();
  });

  it('says ok to an inbound message once it is stored, however often it comes', async () => {
    const device = await hello(one.url, token);
    for (let at = 0; at < 3; at++) device.say({ type: 'inbound', id: 'in-1', from: '+491701234567', body: 'hello' });
    await expect.poll(() => device.frames.filter((frame) => frame['type'] === 'ok').length, WAIT).toBe(3);
    const rows = await world.database.sql.unsafe('select id, body from inbound_messages where device_id = $1', [deviceId]);
    expect([...rows]).toEqual([{ id: 'in-1', body: 'hello' }]);
    device.socket.close();
  });

  it('L1: the newest socket wins, on the same gateway and on another', async () => {
    const first = await hello(one.url, token);
    const second = await hello(one.url, token);
    expect(await first.closed()).toBe(LINK_CLOSE.replaced);
    const third = await hello(two.url, token);
    expect(await second.closed()).toBe(LINK_CLOSE.replaced);
    expect(second.frames.at(-1)).toEqual({ type: 'bye', reason: 'REPLACED' });
    expect(await presence()).toMatchObject({ gateway: 'gw-2' });
    third.socket.close();
    await expect.poll(presence, WAIT).toBeNull();
  });

  it('L1: a late word about an older socket leaves the newer one alone', async () => {
    // A device went from gw-1 to gw-2 and back within a moment; gw-2's word about the first socket then ended the third, for good (4409).
    const device = await hello(one.url, token);
    await world.tell('gw-1', [
      { kind: 'link.close', deviceId, reason: 'REPLACED', socket: 'an older one' },
      { kind: 'link.close', deviceId, reason: 'TOKEN_REVOKED', socket: 'an older one' },
      send(uuidV7(5), 4),
    ]);
    await device.frame('send');
    device.socket.close();
  });

  it('keeps acks of which no owner is known until one takes them', async () => {
    const device = await hello(one.url, token);
    const id = uuidV7(7);
    await world.tell('gw-1', [{ kind: 'link.owner', deviceId, node: 'nobody', epoch: 9 }, send(id, 9)]);
    await device.frame('send');
    device.say({ type: 'ack', id, epoch: 9, status: 'delivered' });
    device.say({ type: 'ack', id, epoch: 9, status: 'failed', error: 'no' });
    const lane = createControlLane(world.general);
    const mine = async () => (await lane.read([partitionOf(deviceId)])).filter((ack) => ack.deviceId === deviceId);
    await expect.poll(async () => (await mine()).length, WAIT).toBe(2);
    expect(await mine()).toContainEqual({ deviceId, messageId: id, status: 'failed', epoch: 9, error: 'no', at: expect.any(Number) });
    await lane.remove(await mine());
    expect(await mine()).toEqual([]);
    device.socket.close();
  });
});

describe('watch over sockets', () => {
  it('renews presence, and writes it again after Redis lost it', async () => {
    const fast = await world.gateway('gw-fast', { heartbeatMs: SOON_MS });
    const device = await hello(fast.url, token);
    await world.redis.flush();
    await expect.poll(presence, WAIT).not.toBeNull();
    device.socket.close();
  });

  it('ends a device that answers no ping', async () => {
    const fast = await world.gateway('gw-mute', { heartbeatMs: 300 });
    const device = await hello(fast.url, token, { pong: false });
    expect(await device.closed()).toBe(LINK_CLOSE.heartbeat);
    await expect.poll(presence, WAIT).toBeNull();
  });

  it('finds a half-open socket: nothing comes, nothing is refused; the device comes back on another one', async () => {
    const fast = await world.gateway('gw-half', { heartbeatMs: SOON_MS });
    const pipes: Socket[] = [];
    const proxy = createServer((near) => {
      const far = connect(fast.port, '127.0.0.1');
      pipes.push(near, far);
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) socket.on('error', () => {});
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const { port } = proxy.address() as { port: number };
    const gone: number[] = [];
    const client = linkClient({
      urls: [`ws://127.0.0.1:${port}/link`],
      token,
      backoff: { baseMs: 50, capMs: 200 },
      onGone: ({ code }) => void gone.push(code),
    });
    await until(
      () => 'no welcome',
      () => client.online || undefined,
    );
    const first = await presence();
    for (const pipe of pipes) pipe.unpipe().pause();
    // both ends find out by themselves, and the newer socket is the device's
    await expect.poll(() => gone.length, WAIT).toBeGreaterThan(0);
    await expect
      .poll(async () => {
        const now = await presence();
        return now !== null && JSON.stringify(now) !== JSON.stringify(first);
      }, WAIT)
      .toBe(true);
    await expect.poll(() => fast.link.devices(), WAIT).toBe(1);
    client.stop();
    for (const pipe of pipes) pipe.destroy();
    proxy.close();
  });

  it('a socket that never says hello is closed', async () => {
    const strict = await world.gateway('gw-strict', { helloMs: 100 });
    const silent = [dial(strict.url), dial(strict.url)];
    for (const one of silent) expect(await one.closed()).toBe(LINK_CLOSE.helloTimeout);
    await expect(dial(strict.url, { protocol: 'other' }).refused()).resolves.toMatch(/400/);
  });
});

describe('bad frames, and old ones', () => {
  const ack = { type: 'ack', id: '01a1fc14-13ac-793b-ace1-10d7ff6dcdcf', epoch: 1, status: 'sent' };
  it.each([
    ['invalid JSON', '{', LINK_CLOSE.protocol, 'INVALID_JSON'],
    ['no object', '[]', LINK_CLOSE.protocol, 'EXPECTED_OBJECT'],
    ['unknown type', { type: 'nonsense' }, LINK_CLOSE.protocol, 'UNKNOWN_TYPE'],
    ['ack without an id', { ...ack, id: undefined }, LINK_CLOSE.protocol, 'EXPECTED_ID'],
    ['ack of what is no message id', { ...ack, id: 'm1' }, LINK_CLOSE.protocol, 'EXPECTED_ID'],
    ['unknown status', { ...ack, status: 'eaten' }, LINK_CLOSE.protocol, 'EXPECTED_STATUS'],
    ['an epoch that nobody told it', { ...ack, epoch: 4 }, LINK_CLOSE.protocol, 'EPOCH_AHEAD'],
    ['a hello said again', { type: 'hello', token: 'x' }, LINK_CLOSE.protocol, 'HELLO_TWICE'],
    ['too large a frame', { type: 'inbound', id: 'x', from: 'y', body: 'z'.repeat(70_000) }, LINK_CLOSE.tooLarge, 'FRAME_TOO_LARGE'],
    ['a binary frame', Buffer.from(JSON.stringify(ack)), LINK_CLOSE.unsupported, 'TEXT_EXPECTED'],
  ])('%s', async (_name, frame, code, reason) => {
    const device = await hello(one.url, token);
    device.say(frame);
    expect(await device.closed()).toBe(code);
    expect(device.frames.at(-1)).toEqual({ type: 'bye', reason });
  });

  it('nothing goes before the hello', async () => {
    const early = dial(one.url);
    await early.open();
    early.say({ type: 'inbound', id: 'x', from: 'y', body: 'z' });
    expect(await early.closed()).toBe(LINK_CLOSE.unauthorized);
  });

  it('frames that were under way when the socket was replaced count for nothing', async () => {
    const old = await hello(one.url, token);
    const [m1, m2] = [uuidV7(11), uuidV7(12)];
    const next = await hello(one.url, token);
    // told of its end or not, what the old socket says is not heard
    if (old.socket.readyState === old.socket.OPEN) old.say({ ...ack, id: m1 });
    next.say({ ...ack, id: m2 });
    await expect
      .poll(() => world.toNode.flatMap((message) => (message.kind === 'link.ack' && message.deviceId === deviceId ? message.id : [])), WAIT)
      .toEqual([m2]);
    next.socket.close();
  });
});

describe('who may not come in', () => {
  it('unknown tokens are refused, and an address that tries too many is told to wait', async () => {
    const own = await world.gateway('gw-tokens');
    const wrong = dial(own.url);
    await wrong.open();
    wrong.say({ type: 'hello', token: 'flt_wrong' });
    expect(await wrong.closed()).toBe(LINK_CLOSE.unauthorized);
    expect(wrong.frames).toEqual([{ type: 'bye', reason: 'UNKNOWN_TOKEN' }]);
    const many = Array.from({ length: 150 }, () => dial(own.url));
    await Promise.all(
      many.map(async (device) => {
        await device.open();
        device.say({ type: 'hello', token: 'flt_wrong' });
        await device.closed();
      }),
    );
    // on a slow machine one more may be let in, as time passes: it fails too
    let refusal = '';
    for (let tries = 0; tries < 200 && refusal === ''; tries++) {
      const device = dial(own.url);
      device.socket.on('open', () => device.say({ type: 'hello', token: 'flt_wrong' }));
      // a refused upgrade is closed too, after it has said why
      await device.closed();
      if (device.frames.length === 0) refusal = await device.refused();
    }
    expect(refusal).toMatch(/429/);
  });

  it('a device that takes itself for another, and one that is deleted, have a code of their own', async () => {
    const other = await world.device();
    const wrong = dial(one.url);
    await wrong.open();
    wrong.say({ type: 'hello', token, deviceId: other.deviceId });
    expect(await wrong.closed()).toBe(LINK_CLOSE.unknownDevice);
    expect(wrong.frames).toEqual([{ type: 'bye', reason: 'UNKNOWN_DEVICE' }]);
    await deleteDevice(world.database.sql, world.tenantId, deviceId);
    const gone = dial(one.url);
    await gone.open();
    gone.say({ type: 'hello', token });
    expect(await gone.closed()).toBe(LINK_CLOSE.unknownDevice);
    expect(gone.frames).toEqual([{ type: 'bye', reason: 'DEVICE_DELETED' }]);
  });

  it('a token that was replaced ends the socket that used it, by word', async () => {
    const device = await hello(one.url, token);
    const fresh = newLinkToken();
    await setLinkToken(world.database.sql, world.tenantId, deviceId, hashOf(fresh));
    createLinkCloser(world.general, telemetry)(deviceId, 'TOKEN_REVOKED');
    expect(await device.closed()).toBe(LINK_CLOSE.revoked);
    const again = dial(one.url);
    await again.open();
    again.say({ type: 'hello', token });
    expect(await again.closed()).toBe(LINK_CLOSE.unauthorized);
    (await hello(one.url, fresh)).socket.close();
  });

  it('and without a word too; so does the deletion of a device', async () => {
    const watchful = await world.gateway('gw-watch', { heartbeatMs: SOON_MS });
    const device = await hello(watchful.url, token);
    const doomed = await world.device();
    const dying = await hello(watchful.url, doomed.token);
    const unharmed = await hello(watchful.url, (await world.device()).token);
    await setLinkToken(world.database.sql, world.tenantId, deviceId, null);
    await deleteDevice(world.database.sql, world.tenantId, doomed.deviceId);
    expect(await device.closed()).toBe(LINK_CLOSE.revoked);
    expect(await dying.closed()).toBe(LINK_CLOSE.unknownDevice);
    expect(unharmed.frames.filter((frame) => frame['type'] === 'bye')).toEqual([]);
    unharmed.socket.close();
  });
});

describe('limits', () => {
  it('a device that connects again and again is told when to come back, and its socket stays', async () => {
    const sockets = [];
    let refused: Awaited<ReturnType<typeof dial>> | undefined;
    for (let at = 0; at < 40 && refused === undefined; at++) {
      const device = dial(one.url);
      await device.open();
      device.say({ type: 'hello', token });
      await until(
        () => 'no answer',
        () => device.frames[0],
      );
      if (device.frames[0]?.['type'] === 'bye') refused = device;
      else sockets.push(device);
    }
    expect(refused?.frames[0]).toEqual({ type: 'bye', reason: 'TOO_MANY_CONNECTS', retryAfterMs: expect.any(Number) });
    expect(await refused?.closed()).toBe(LINK_CLOSE.rate);
    expect(sockets.length).toBeGreaterThanOrEqual(10);
    await world.tell('gw-1', [send(uuidV7(6), 4)]);
    await sockets.at(-1)?.frame('send');
  });

  it('a device that floods is cut off, also over several sockets; others are not', async () => {
    const own = await world.gateway('gw-flood', { framesPerSecond: 2 });
    const calm = await hello(own.url, (await world.device()).token);
    const flood = async () => {
      const device = await hello(own.url, token);
      for (let at = 0; at < 200; at++) device.say({ type: 'pong' });
      return device;
    };
    const first = await flood();
    expect(await first.closed()).toBe(LINK_CLOSE.rate);
    expect(first.frames.at(-1)).toEqual({ type: 'bye', reason: 'TOO_MANY_FRAMES', retryAfterMs: expect.any(Number) });
    expect(await (await flood()).closed()).toBe(LINK_CLOSE.rate);
    calm.say({ type: 'inbound', id: 'calm', from: '+1', body: 'x' });
    await calm.frame('ok');
    calm.socket.close();
  });

  it('hellos stand in line; above its length devices are sent away, each with a time of its own', async () => {
    const own = await world.gateway('gw-storm', { hellosPerSecond: 2 });
    const devices = await Promise.all(Array.from({ length: 30 }, () => world.device()));
    const sockets = devices.map(() => dial(own.url));
    await Promise.all(sockets.map((socket) => socket.open()));
    sockets.forEach((socket, index) => {
      socket.say({ type: 'hello', token: devices[index]?.token });
    });
    const firsts = await Promise.all(
      sockets.map((socket) =>
        until(
          () => 'no answer',
          () => socket.frames[0],
        ),
      ),
    );
    const sent = firsts.filter((frame) => frame['type'] === 'bye');
    expect(firsts.filter((frame) => frame['type'] === 'welcome').length).toBeGreaterThanOrEqual(10);
    expect(sent.length).toBeGreaterThanOrEqual(10);
    for (const frame of sent) expect(frame).toMatchObject({ reason: 'BUSY', retryAfterMs: expect.any(Number) });
    expect(new Set(sent.map((frame) => frame['retryAfterMs'])).size).toBeGreaterThan(1);
    for (const socket of sockets) socket.socket.close();
  });
});
