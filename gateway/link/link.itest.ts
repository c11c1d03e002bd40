import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { connectRedis, type Redis } from '../../ops/connect/index.ts';
import { systemClock, systemDice } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { createDatabase, startRedis, type TestDatabase, type TestRedis } from '../../ops/testing/index.ts';
import { deviceKeys, gatewayChannel, nodeChannel, type ToNode, uuidV7 } from '../../schema/domain/index.ts';
import { createDevice, createTenant, deviceByLinkToken, storeInbound } from '../../schema/sql/index.ts';
import { hashOf, newLinkToken } from '../auth/index.ts';
import { createServer, type Server } from '../server/index.ts';
import { asyncapiDocument, createLink, LINK_CLOSE, type Link } from './index.ts';

const telemetry = createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0 });
const clients: Redis[] = [];
let redis: TestRedis;
let database: TestDatabase;
let general: Redis;
let one: Gateway;
let two: Gateway;
let deviceId: string;
let token: string;
const toNode: ToNode[] = [];

interface Gateway {
  readonly server: Server;
  readonly link: Link;
  readonly port: number;
}

function client(role: 'general' | 'subscriber'): Redis {
  const made = connectRedis(redis.url, { role, name: 'test' });
  clients.push(made);
  return made;
}

async function startGateway(name: string): Promise<Gateway> {
  const subscriber = client('subscriber');
  const link = createLink(
    {
      findDevice: (hash) => deviceByLinkToken(database.sql, hash),
      ownerOf: async () => ({ epoch: 3, node: 'node-1' }),
      storeInbound: (items) => storeInbound(database.sql, items),
      redis: general,
      subscribe: async (channel, handler) => {
        subscriber.on('message', (_channel: string, text: string) => handler(text));
        await subscriber.subscribe(channel);
      },
      clock: systemClock,
      telemetry,
    },
    { gateway: name, heartbeatMs: 400, helloMs: 150 },
  );
  const server = createServer({ clock: systemClock, dice: systemDice, telemetry });
  server.websocket('/link', link.behaviour);
  const { port } = await server.listen('127.0.0.1', 0);
  await link.start();
  return { server, link, port };
}

/** A device that keeps every frame and waits for one. */
function dial(gateway: Gateway, options: { readonly protocol?: string; readonly pong?: boolean } = {}) {
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/link`, options.protocol ?? 'flotilla-link.v1');
  const frames: Record<string, unknown>[] = [];
  let code: number | undefined;
  let refused: string | undefined;
  socket.on('message', (data) => {
    const frame = JSON.parse(String(data)) as Record<string, unknown>;
    frames.push(frame);
    if (frame['type'] === 'ping' && options.pong !== false) socket.send(JSON.stringify({ type: 'pong' }));
  });
  socket.on('close', (given) => {
    code = given;
  });
  socket.on('error', (error) => {
    refused = error.message;
  });
  const until = async <T>(read: () => T | undefined): Promise<T> => {
    const deadline = systemClock.monotonic() + 5000;
    for (;;) {
      const value = read();
      if (value !== undefined) return value;
      if (systemClock.monotonic() > deadline) throw new Error(`nothing came; frames: ${JSON.stringify(frames)}, code ${code}, ${refused}`);
      await systemClock.sleep(5);
    }
  };
  return {
    socket,
    frames,
    open: () => until(() => (socket.readyState === WebSocket.OPEN ? true : undefined)),
    frame: (type: string) => until(() => frames.find((frame) => frame['type'] === type)),
    closed: () => until(() => code),
    refused: () => until(() => refused),
    say: (frame: unknown) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
  };
}

async function hello(gateway: Gateway, options: { readonly pong?: boolean } = {}) {
  const device = dial(gateway, options);
  await device.open();
  device.say({ type: 'hello', token });
  await device.frame('welcome');
  return device;
}

beforeAll(async () => {
  [redis, database] = await Promise.all([startRedis(), createDatabase()]);
  general = client('general');
  const tenantId = uuidV7(systemClock.wall());
  await createTenant(database.sql, { id: tenantId, name: 'link' });
  token = newLinkToken();
  deviceId = uuidV7(systemClock.wall());
  await createDevice(database.sql, { id: deviceId, tenantId, name: 'one', transport: 'link', linkTokenHash: hashOf(token) });
  const bus = client('subscriber');
  bus.on('message', (_channel: string, text: string) => toNode.push(...(JSON.parse(text) as ToNode[])));
  await bus.subscribe(nodeChannel('node-1'));
  [one, two] = await Promise.all([startGateway('gw-1'), startGateway('gw-2')]);
});
afterAll(async () => {
  for (const gateway of [one, two]) {
    gateway?.link.stop();
    await gateway?.server.drain({ windowMs: 0, deadlineMs: 500 });
  }
  await systemClock.sleep(20);
  for (const each of clients) each.disconnect();
  await redis?.stop();
  await database?.drop();
});
beforeEach(() => {
  toNode.length = 0;
});

describe('device link', () => {
  it('welcomes a device, tells nodes where it is, and forgets it when it goes', async () => {
    const device = await hello(one);
    expect(device.frames[0]).toEqual({ type: 'welcome', deviceId, epoch: 3, heartbeatMs: 400 });
    expect(JSON.parse((await general.get(deviceKeys(deviceId).link)) ?? '{}')).toMatchObject({ gateway: 'gw-1' });
    await expect.poll(() => toNode.map((message) => message.kind)).toEqual(['link.up']);
    device.socket.close();
    await expect.poll(() => general.get(deviceKeys(deviceId).link)).toBeNull();
    await expect.poll(() => toNode.map((message) => message.kind)).toEqual(['link.up', 'link.down']);
    expect(one.link.devices()).toBe(0);
  });

  it('passes messages to the device and its acks to the node that sent them; an older epoch is dropped', async () => {
    const device = await hello(one);
    const send = (id: string, epoch: number) => ({
      kind: 'link.send',
      deviceId,
      node: 'node-1',
      id,
      epoch,
      to: '+491701234567',
      body: 'hi',
    });
    await general.publish(gatewayChannel('gw-1'), JSON.stringify([send('m1', 5), send('stale', 4), send('m2', 5)]));
    await expect.poll(() => device.frames.filter((frame) => frame['type'] === 'send').map((frame) => frame['id'])).toEqual(['m1', 'm2']);
    device.say({ type: 'ack', id: 'm1', epoch: 5, status: 'sent' });
    await expect
      .poll(() => toNode.filter((message) => message.kind === 'link.ack'))
      .toEqual([{ kind: 'link.ack', deviceId, id: 'm1', epoch: 5, status: 'sent', error: null }]);
    device.socket.close();
  });

  it('says ok to an inbound message once it is stored, however often it comes', async () => {
    const device = await hello(one);
    for (let at = 0; at < 3; at++) device.say({ type: 'inbound', id: 'in-1', from: '+491701234567', body: 'STOP' });
    await expect.poll(() => device.frames.filter((frame) => frame['type'] === 'ok').length).toBe(3);
    const rows = await database.sql.unsafe('select id, body from inbound_messages');
    expect([...rows]).toEqual([{ id: 'in-1', body: 'STOP' }]);
    device.socket.close();
  });

  it('the newest socket wins, on the same gateway and on another', async () => {
    const first = await hello(one);
    const second = await hello(one);
    expect(await first.closed()).toBe(LINK_CLOSE.replaced);
    const third = await hello(two);
    expect(await second.closed()).toBe(LINK_CLOSE.replaced);
    expect(second.frames.at(-1)).toEqual({ type: 'bye', reason: 'REPLACED' });
    expect(JSON.parse((await general.get(deviceKeys(deviceId).link)) ?? '{}')).toMatchObject({ gateway: 'gw-2' });
    third.socket.close();
    await expect.poll(() => general.get(deviceKeys(deviceId).link)).toBeNull();
  });

  it('renews presence, and writes it again after Redis lost it', async () => {
    const device = await hello(one);
    await redis.flush();
    await expect.poll(() => general.get(deviceKeys(deviceId).link), { timeout: 30_000 }).not.toBeNull();
    await systemClock.sleep(1300);
    expect(await general.get(deviceKeys(deviceId).link)).not.toBeNull();
    device.socket.close();
  });

  it('ends a device that answers no ping', async () => {
    const device = await hello(one, { pong: false });
    expect(await device.closed()).toBe(LINK_CLOSE.heartbeat);
  });

  it.each([
    ['invalid JSON', '{', LINK_CLOSE.protocol, 'INVALID_JSON'],
    ['unknown type', { type: 'nonsense' }, LINK_CLOSE.protocol, 'UNKNOWN_TYPE'],
    ['ack without an id', { type: 'ack', epoch: 1, status: 'sent' }, LINK_CLOSE.protocol, 'EXPECTED_ID'],
    ['unknown status', { type: 'ack', id: 'x', epoch: 1, status: 'eaten' }, LINK_CLOSE.protocol, 'EXPECTED_STATUS'],
    ['a second hello', { type: 'hello', token: 'x' }, LINK_CLOSE.protocol, 'HELLO_TWICE'],
    ['too large a frame', { type: 'inbound', id: 'x', from: 'y', body: 'z'.repeat(70_000) }, LINK_CLOSE.tooLarge, 'FRAME_TOO_LARGE'],
  ])('bad frame: %s', async (_name, frame, code, reason) => {
    const device = await hello(one);
    device.say(frame);
    expect(await device.closed()).toBe(code);
    expect(device.frames.at(-1)).toEqual({ type: 'bye', reason });
  });

  it('nothing goes before the hello, and the hello does not wait', async () => {
    const early = dial(one);
    await early.open();
    early.say({ type: 'inbound', id: 'x', from: 'y', body: 'z' });
    expect(await early.closed()).toBe(LINK_CLOSE.unauthorized);
    const silent = dial(one);
    expect(await silent.closed()).toBe(LINK_CLOSE.helloTimeout);
    await expect(dial(one, { protocol: 'other' }).refused()).resolves.toMatch(/400/);
  });

  it('unknown tokens are refused, and an address that tries too many is told to wait', async () => {
    const wrong = dial(two);
    await wrong.open();
    wrong.say({ type: 'hello', token: 'flt_wrong' });
    expect(await wrong.closed()).toBe(LINK_CLOSE.unauthorized);
    expect(wrong.frames).toEqual([{ type: 'bye', reason: 'UNKNOWN_TOKEN' }]);
    const many = Array.from({ length: 110 }, () => dial(two));
    await Promise.all(
      many.map(async (device) => {
        await device.open();
        device.say({ type: 'hello', token: 'flt_wrong' });
        await device.closed();
      }),
    );
    await expect(dial(two).refused()).resolves.toMatch(/429/);
  });

  it('describes itself: every frame type of the code stands in the document', () => {
    const document = asyncapiDocument() as unknown as { channels: { link: { messages: Record<string, unknown> } } };
    expect(Object.keys(document.channels.link.messages).sort()).toEqual(
      ['ack', 'bye', 'hello', 'inbound', 'ok', 'ping', 'pong', 'send', 'welcome'].sort(),
    );
  });
});
