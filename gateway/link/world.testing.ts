import { WebSocket } from 'ws';
import { connectRedis, type Redis } from '../../ops/connect/index.ts';
import { systemClock, systemDice } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { createDatabase, startRedis, type TestDatabase, type TestRedis } from '../../ops/testing/index.ts';
import { nodeChannel, type ToGateway, type ToNode, uuidV7 } from '../../schema/domain/index.ts';
import { createDevice, createTenant, linkHellos, revokedLinks, storeInbound } from '../../schema/sql/index.ts';
import { hashOf, newLinkToken } from '../auth/index.ts';
import { createServer } from '../server/index.ts';
import { undescribed } from './described.testing.ts';
import { createLink, type Link, type LinkOptions } from './index.ts';

/** Gateways with real Redis and Postgres, a node that only listens, and devices that keep every frame. For the tests of this folder. */
export interface LinkWorld {
  readonly redis: TestRedis;
  readonly general: Redis;
  readonly database: TestDatabase;
  readonly tenantId: string;
  /** what came for `node-1`, who owns every device under epoch 3 */
  readonly toNode: ToNode[];
  gateway(name: string, options?: Partial<LinkOptions>): Promise<TestGateway>;
  device(): Promise<{ readonly deviceId: string; readonly token: string }>;
  /** as a node would */
  tell(gateway: string, messages: readonly ToGateway[]): Promise<void>;
  stop(): Promise<void>;
}
export interface TestGateway {
  readonly link: Link;
  readonly port: number;
  readonly url: string;
}

export const telemetry = createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0 });
const WAIT_MS = 60_000;

export async function until<T>(what: () => string, read: () => T | undefined): Promise<T> {
  const deadline = systemClock.monotonic() + WAIT_MS;
  for (;;) {
    const value = read();
    if (value !== undefined) return value;
    if (systemClock.monotonic() > deadline) throw new Error(`waited ${WAIT_MS} ms: ${what()}`);
    await systemClock.sleep(5);
  }
}

export async function startLinkWorld(): Promise<LinkWorld> {
  const [redis, database] = await Promise.all([startRedis(), createDatabase()]);
  const releases: (() => unknown)[] = [];
  const client = (role: 'general' | 'subscriber'): Redis => {
    const made = connectRedis(redis.url, { role, name: 'test' });
    releases.push(() => made.disconnect());
    return made;
  };
  const general = client('general');
  const tenantId = uuidV7(systemClock.wall());
  await createTenant(database.sql, { id: tenantId, name: `link ${tenantId}` });
  const toNode: ToNode[] = [];
  const bus = client('subscriber');
  bus.on('message', (_channel: string, text: string) => toNode.push(...(JSON.parse(text) as ToNode[])));
  await bus.subscribe(nodeChannel('node-1'));
  return {
    redis,
    general,
    database,
    tenantId,
    toNode,
    async gateway(name, options = {}) {
      const subscriber = client('subscriber');
      const link = createLink(
        {
          hellos: async (hashes) => {
            const found = await linkHellos(database.sql, hashes);
            return found.map((one) => (one === null ? null : { ...one, epoch: 3, node: 'node-1' }));
          },
          revoked: (devices) => revokedLinks(database.sql, devices),
          storeInbound: (items) => storeInbound(database.sql, items),
          redis: general,
          subscribe: async (channel, handler) => {
            subscriber.on('message', (_channel: string, text: string) => handler(text));
            await subscriber.subscribe(channel);
          },
          clock: systemClock,
          dice: systemDice,
          telemetry,
        },
        { gateway: name, heartbeatMs: 10_000, helloMs: 20_000, ...options },
      );
      const server = createServer({ clock: systemClock, dice: systemDice, telemetry });
      server.websocket('/link', link.behaviour);
      const { port } = await server.listen('127.0.0.1', 0);
      await link.start();
      releases.unshift(async () => {
        link.stop();
        await server.drain({ windowMs: 0, deadlineMs: 500 });
      });
      return { link, port, url: `ws://127.0.0.1:${port}/link` };
    },
    async device() {
      const token = newLinkToken();
      const deviceId = uuidV7(systemClock.wall());
      await createDevice(database.sql, { id: deviceId, tenantId, name: deviceId, transport: 'link', linkTokenHash: hashOf(token) });
      return { deviceId, token };
    },
    async tell(gateway, messages) {
      await general.publish(`fl:gateway:${gateway}:bus`, JSON.stringify(messages));
    },
    async stop() {
      for (const release of releases) await release();
      await redis.stop();
      await database.drop();
    },
  };
}

export interface RawDevice {
  readonly socket: WebSocket;
  readonly frames: Record<string, unknown>[];
  open(): Promise<true>;
  frame(type: string): Promise<Record<string, unknown>>;
  /** the code it was closed with */
  closed(): Promise<number>;
  /** why the upgrade was refused */
  refused(): Promise<string>;
  say(frame: unknown): void;
}

/** A socket that says what it is told to say, and answers pings unless told not to. */
export function dial(url: string, options: { readonly protocol?: string; readonly pong?: boolean } = {}): RawDevice {
  const socket = new WebSocket(url, options.protocol ?? 'flotilla-link.v1');
  const frames: Record<string, unknown>[] = [];
  let code: number | undefined;
  let refused: string | undefined;
  socket.on('message', (data) => {
    const frame = JSON.parse(String(data)) as Record<string, unknown>;
    frames.push(frame);
    // ends the run: every frame that any test sees must be one that asyncapi.json describes
    const problem = undescribed('toDevice', frame);
    if (problem !== undefined) throw new Error(`${JSON.stringify(frame)} is not described: ${problem}`);
    if (frame['type'] === 'ping' && options.pong !== false) socket.send(JSON.stringify({ type: 'pong' }));
  });
  socket.on('close', (given) => {
    code = given;
  });
  socket.on('error', (error) => {
    refused = error.message;
  });
  const what = (): string => `frames ${JSON.stringify(frames).slice(0, 2000)}, code ${code}, ${refused}`;
  return {
    socket,
    frames,
    open: () => until(what, () => (socket.readyState === WebSocket.OPEN ? true : undefined)),
    frame: (type) => until(what, () => frames.find((frame) => frame['type'] === type)),
    closed: () => until(what, () => code),
    refused: () => until(what, () => refused),
    say: (frame) => socket.send(typeof frame === 'string' || frame instanceof Buffer ? frame : JSON.stringify(frame)),
  };
}

export async function hello(
  url: string,
  token: string,
  options: { readonly pong?: boolean; readonly deviceId?: string } = {},
): Promise<RawDevice> {
  const device = dial(url, options);
  await device.open();
  device.say({ type: 'hello', token, ...(options.deviceId === undefined ? {} : { deviceId: options.deviceId }) });
  await device.frame('welcome');
  return device;
}
