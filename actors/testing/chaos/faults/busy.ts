import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connectPostgres } from '../../../../ops/connect/index.ts';
import { readAsset } from '../../../../ops/lifecycle/index.ts';
import { uuidV7 } from '../../../../schema/domain/index.ts';
import { createDevices } from '../../../../schema/sql/index.ts';
import { askAgain, until } from '../scene.ts';
import { askToSend } from '../sender.ts';
import type { Fault, Ground, Stage, Strike } from './fault.ts';

/** Too much at once: a hot device, a full mailbox, a client that does not read, and a hundred thousand devices that all begin. */
const LIMIT_BACKLOG = readAsset(import.meta.url, './limit-backlog.sql');
const TENANT_OF = readAsset(import.meta.url, './tenant-of.sql');
const HOT_LIMIT = 300;
const UNLIMITED = 1_000_000;
const HOT_MS = 8000;
const BATCH = 25;
const HOT_PER_SECOND = 1000;

/** A WebSocket that subscribes to everything and never reads. */
async function slowReader({ stack }: Stage): Promise<Socket> {
  const url = new URL(stack.gateways[0]?.url ?? '');
  const socket = connect(Number(url.port), url.hostname);
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.on('error', () => socket.destroy());
  const frame = (message: unknown): Buffer => {
    const payload = Buffer.from(JSON.stringify(message));
    const mask = randomBytes(4);
    const masked = payload.map((byte, n) => byte ^ (mask[n % 4] ?? 0));
    return Buffer.concat([Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255]), mask, masked]);
  };
  socket.write(
    `GET /graphql HTTP/1.1\r\nHost: ${url.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n`,
  );
  await new Promise<void>((resolve) => socket.once('data', () => resolve()));
  socket.write(frame({ type: 'connection_init', payload: { authorization: `Bearer ${stack.adminKey}` } }));
  await new Promise<void>((resolve) => socket.once('data', () => resolve()));
  socket.pause();
  const query = 'subscription { messageEvents { state message { id to body device { id name state sendability { code } } } } }';
  for (let n = 0; n < 20; n++) socket.write(frame({ id: String(n), type: 'subscribe', payload: { query } }));
  return socket;
}

function memoryMb(pid: number): number {
  try {
    return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024);
  } catch {
    return 0;
  }
}

/** Messages to one device at a rate, each asked for once. @returns how many were refused because its backlog is full */
async function hammer(stage: Stage, deviceId: string): Promise<number> {
  const { clock, stack } = stage;
  const api = { url: stack.gateways[0]?.url ?? '', key: stack.adminKey };
  let full = 0;
  const asked: Promise<void>[] = [];
  for (let n = 0, end = clock.monotonic() + HOT_MS; clock.monotonic() < end; n++) {
    const items = Array.from({ length: BATCH }, (_, place) => ({ deviceId, to: '+14155550000', body: `hot ${n}/${place}` }));
    asked.push(
      askToSend(api, items).then(
        (codes) => {
          full += codes.filter((code) => code === 'BACKLOG_FULL').length;
        },
        () => {},
      ),
    );
    await clock.sleep((BATCH / HOT_PER_SECOND) * 1000);
  }
  await Promise.all(asked);
  return full;
}

const HOT: Ground = { name: 'hot' };

export const HOT_DEVICE: Fault = {
  name: 'hot-device',
  case: '17',
  what: `${HOT_PER_SECOND} messages/s to one device whose phone is slow, backlog limited to ${HOT_LIMIT}, and a client that subscribes 20 times and never reads: refusals with a code, the device can be paused, the others do not notice`,
  ground: HOT,
  strikes: 10,
  bounds: { latencyP99Ms: 2000, figures: { noneRefused: 0, backlogMost: HOT_LIMIT, pauseMs: 2000, gatewayGrewMb: 100 } },
  async strike(stage): Promise<Strike> {
    const { clock, stack, deviceIds, ledger, say, turn } = stage;
    const hot = deviceIds[turn] ?? '';
    const api = { url: stack.gateways[0]?.url ?? '', key: stack.adminKey };
    const sql = connectPostgres(stack.databaseUrl, { applicationName: 'chaos', max: 1 });
    const pid = stack.gateways[0]?.pid ?? 0;
    const before = memoryMb(pid);
    const reader = await slowReader(stage);
    const at = clock.wall();
    try {
      await sql.unsafe(LIMIT_BACKLOG, [HOT_LIMIT]);
      const hammering = hammer(stage, hot);
      await clock.sleep(HOT_MS / 2);
      const pausedAt = clock.monotonic();
      await askAgain(clock, api, 'mutation($id: ID!) { pauseDevice(input: { deviceId: $id }) { errors { code } } }', { id: hot });
      const state = () => askAgain<{ device: { state: string } }>(clock, api, 'query($id: ID!) { device(id: $id) { state } }', { id: hot });
      await until(clock, 10_000, async () => (await state()).device.state === 'PAUSED');
      const pauseMs = clock.monotonic() - pausedAt;
      const refused = await hammering;
      const backlogMost = await ledger.openOf(hot);
      await askAgain(clock, api, 'mutation($id: ID!) { resumeDevice(input: { deviceId: $id }) { errors { code } } }', { id: hot });
      const gatewayGrewMb = Math.max(0, memoryMb(pid) - before);
      say(`${refused} refused, ${backlogMost} waiting, paused in ${Math.round(pauseMs)} ms, the gateway grew by ${gatewayGrewMb} MB`);
      await until(clock, 30_000, async () => (await ledger.openOf(hot)) === 0);
      return {
        at,
        healedAt: clock.wall(),
        spared: [hot],
        figures: { noneRefused: refused > 0 ? 0 : 1, refused, backlogMost, pauseMs: Math.round(pauseMs), gatewayGrewMb },
      };
    } finally {
      await sql.unsafe(LIMIT_BACKLOG, [UNLIMITED]).catch(() => {});
      await sql.end({ timeout: 2 });
      reader.destroy();
    }
  },
};

const MANY = 30_000;
const CHUNK = 5000;
const CROWD: Ground = { name: 'crowd', env: { NODE_CAPACITY: '60000' }, most: { devices: 3000, perSecond: 100 } };

export const COLD_START: Fault = {
  name: 'cold-start',
  case: '15',
  what: `${MANY} devices (the case asks for 100,000), every node killed and started anew at once: time until all are owned again; no device is claimed twice`,
  ground: CROWD,
  strikes: 1,
  atMost: 1,
  bounds: { figures: { notOwned: 0, claimsPercent: 110, coldMs: 30_000 } },
  async strike(stage): Promise<Strike> {
    const { clock, stack, deviceIds, ledger, say, ttlMs } = stage;
    const sql = connectPostgres(stack.databaseUrl, { applicationName: 'chaos', max: 1, statementTimeoutMs: 60_000 });
    const [row] = await sql.unsafe<{ tenant_id: string }[]>(TENANT_OF, [deviceIds[0] ?? '']);
    const tenantId = row?.tenant_id ?? '';
    const more = MANY - deviceIds.length;
    for (let from = 0; from < more; from += CHUNK) {
      const count = Math.min(CHUNK, more - from);
      await createDevices(
        sql,
        Array.from({ length: count }, (_, n) => ({
          id: uuidV7(clock.wall()),
          tenantId,
          name: `crowd-${from + n}`,
          transport: 'simulator' as const,
        })),
      );
    }
    await sql.end({ timeout: 2 });
    for (const node of stack.nodes) node.kill('SIGKILL');
    await clock.sleep(ttlMs + 500);
    const sum = async (): Promise<{ epochs: number; latest: number; owned: number }> => {
      const rows = await ledger.owned();
      return { epochs: rows.reduce((total, one) => total + one.epoch, 0), latest: rows.length, owned: await ledger.ownedSince(at) };
    };
    const at = clock.wall();
    const before = await sum();
    await Promise.all(stack.nodes.map((node) => node.restart()));
    const startedMs = clock.wall() - at;
    await until(clock, 120_000, async () => (await ledger.ownedSince(at)) >= MANY);
    const tookMs = clock.wall() - at;
    const after = await sum();
    say(
      `${after.owned} devices owned ${tookMs} ms after the start (the processes took ${startedMs} ms), ${after.epochs - before.epochs} claims`,
    );
    return {
      at,
      healedAt: clock.wall(),
      figures: {
        notOwned: MANY - after.owned,
        coldMs: tookMs,
        claimsPercent: Math.round(((after.epochs - before.epochs) / MANY) * 100),
      },
    };
  },
};
