import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { HostOptions } from '../../actors/node/index.ts';
import { startWhole, type WholeNode, type WholeOptions } from '../../actors/node/whole.testing.ts';
import { OPTIONS, scriptedTransport } from '../../actors/node/world.testing.ts';
import { connectPostgres, connectRedis, type Redis, redisReady, type Sql } from '../../ops/connect/index.ts';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';
import type { Figure } from '../../ops/report/index.ts';
import { startStack } from '../../ops/start/index.ts';
import { deviceKeys, uuidV7 } from '../../schema/domain/index.ts';
import { accept, createDevices, createTenant } from '../../schema/sql/index.ts';
import type { Bench } from './main.ts';
import { plainText } from './plain-text.ts';

/**
 * What owning devices costs: one node in this process, as it is wired in production, on a real Redis and Postgres of its own; its transport is
 * a stand-in that is online at once and sends nothing. Not measured: phones, gateways, sends. CPU is of this whole process (the client libraries
 * too) and of the Redis process, over 20 s with nothing to do.
 */
const DEVICES = 3000;
const MANY = 30_000;
/** the most that one fleet is made for */
const MOST = 100_000;
const PENDING_EACH = 100;
const WINDOW = 50;
const IDLE_MS = 20_000;
const NODE = { ttlMs: 6000, renewMs: 2000, scanMs: 500, marginMs: 500, capacity: 100_000 };
const HOST: Partial<HostOptions> = { window: WINDOW, sweepMs: 2000, refillSweepMs: 5000, sendTimeoutMs: 10_000 };

/** The parts, in the order in which they run: later ones find the devices and messages of earlier ones. */
const PARTS: Readonly<Record<string, (world: World) => Promise<Record<string, number>>>> = {
  renew: leasesOnly,
  idle: withActors,
  handover: handovers,
  rebuild,
  many: (world) => coldStartOf(world, MANY),
  most: (world) => coldStartOf(world, MOST),
};
const TARGETS: Readonly<Record<string, number>> = {
  renewNodeCpuPercent: 2,
  renewRedisCpuPercent: 2,
  coldStart3000Ms: 5000,
  coldStart30000Ms: 30_000,
  heapBytesPerActor: 8192,
  redisBytesPerActor: 1024,
  handoverP99Ms: 1000,
  deafHandoverP99Ms: 1000,
  rebuild300000Ms: 10_000,
};

export const ownership: Bench = async (say, parts) => {
  const unknown = parts.find((part) => PARTS[part] === undefined);
  if (unknown !== undefined) throw new Error(`${unknown}: expected ${Object.keys(PARTS).join(', ')}`);
  const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  const stack = await startStack({ dataDir, nodes: 0, phones: false, durable: false });
  const sql = connectPostgres(stack.databaseUrl, { applicationName: 'bench', max: 4 });
  const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'bench' });
  try {
    await redisReady(redis);
    const { redisUrl, databaseUrl } = stack;
    const world: World = { sql, redis, tenantId: uuidV7(clock.wall()), redisUrl, databaseUrl, ids: [], say };
    await createTenant(sql, { id: world.tenantId, name: 'bench' });
    await makeDevices(world, DEVICES);
    const figures: Record<string, number> = {};
    for (const [name, part] of Object.entries(PARTS))
      if (parts.length === 0 || parts.includes(name)) Object.assign(figures, await part(world));
    const targets = Object.fromEntries(Object.entries(TARGETS).filter(([name]) => figures[name] !== undefined));
    const ok = Object.entries(targets).every(([name, most]) => Number(figures[name]) <= most);
    const told: Record<string, Figure> = { ...figures, transport: 'stand-in, in this process' };
    return { name: 'ownership', ok, figures: told, targets };
  } finally {
    redis.disconnect();
    await sql.end({ timeout: 2 });
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
};

interface World {
  readonly sql: Sql;
  readonly redis: Redis;
  readonly tenantId: string;
  readonly redisUrl: string;
  readonly databaseUrl: string;
  /** the devices there are */
  readonly ids: string[];
  say(line: string): void;
}

async function until(holds: () => boolean | Promise<boolean>, everyMs = 10): Promise<void> {
  while (!(await holds())) await clock.sleep(everyMs);
}

/** Makes devices until there are `count`. */
async function makeDevices({ sql, tenantId, ids, say }: World, count: number): Promise<void> {
  while (ids.length < count) {
    const batch = Array.from({ length: Math.min(1000, count - ids.length) }, () => uuidV7(clock.wall()));
    await createDevices(
      sql,
      batch.map((id) => ({ id, tenantId, name: id, transport: 'simulator' as const, paceMinMs: 0, paceMaxMs: 0 })),
    );
    ids.push(...batch);
  }
  // a fleet that starts was not made in the same minute: what changed just now is read again and again for some seconds (placement/changes.ts)
  await sql.unsafe(
    "update devices set changed_at = changed_at - interval '1 hour' where changed_at > clock_timestamp() - interval '10 minutes'",
  );
  say(`${count} devices made`);
}

const start = (world: World, more: Partial<WholeOptions>, id = 'bench'): Promise<WholeNode> =>
  startWhole(id, {
    redisUrl: world.redisUrl,
    databaseUrl: world.databaseUrl,
    transport: scriptedTransport(),
    ...NODE,
    options: { ...OPTIONS, ...HOST },
    ...more,
  });

/** Percent of one core over IDLE_MS: this process, and Redis by its own word. */
async function cpu({ redis }: World): Promise<{ readonly node: number; readonly redis: number }> {
  const spent = async (): Promise<number> => {
    const text = await redis.info('cpu');
    const of = (name: string): number => Number(new RegExp(`^${name}:([0-9.]+)`, 'm').exec(text)?.[1] ?? Number.NaN);
    return of('used_cpu_user') + of('used_cpu_sys');
  };
  const before = { at: clock.monotonic(), own: process.cpuUsage(), redis: await spent() };
  await clock.sleep(IDLE_MS);
  const own = process.cpuUsage(before.own);
  const seconds = (clock.monotonic() - before.at) / 1000;
  const percent = (used: number): number => Math.round((used / seconds) * 1000) / 10;
  return { node: percent((own.user + own.system) / 1e6), redis: percent((await spent()) - before.redis) };
}

async function leasesOnly(world: World): Promise<Record<string, number>> {
  const node = await start(world, { actors: false });
  await until(() => node.ownership.owned.size === DEVICES);
  await clock.sleep(3000);
  const figures = await cpu(world);
  world.say(`${DEVICES} leases, no actors: ${figures.node} % of a core here, ${figures.redis} % in Redis`);
  await node.close();
  return { renewNodeCpuPercent: figures.node, renewRedisCpuPercent: figures.redis };
}

async function coldStart(world: World, count: number): Promise<{ readonly node: WholeNode; readonly ms: number }> {
  const began = clock.monotonic();
  const node = await start(world, {});
  await until(() => node.host.actors.size === count);
  const ms = Math.round(clock.monotonic() - began);
  world.say(`${count} actors run after ${ms} ms`);
  return { node, ms };
}

function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

async function coldStartOf(world: World, count: number): Promise<Record<string, number>> {
  await makeDevices(world, count);
  const { node, ms } = await coldStart(world, count);
  await node.close();
  return { [`coldStart${count}Ms`]: ms };
}

async function withActors(world: World): Promise<Record<string, number>> {
  const { redis } = world;
  await redis.flushall();
  const memory = async (): Promise<number> => Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
  // the first start is the cold one; it also loads and compiles what is no actor's own, so the second one's growth is the actors'
  const { node: first, ms: coldMs } = await coldStart(world, DEVICES);
  await clock.sleep(3000);
  await first.close();
  await redis.flushall();
  const before = { heap: heapUsed(), redis: await memory() };
  const { node } = await coldStart(world, DEVICES);
  await clock.sleep(6000);
  const heap = Math.round((heapUsed() - before.heap) / DEVICES);
  const redisBytes = Math.round(((await memory()) - before.redis) / DEVICES);
  const figures = await cpu(world);
  await node.close();
  return {
    coldStart3000Ms: coldMs,
    heapBytesPerActor: heap,
    redisBytesPerActor: redisBytes,
    idleNodeCpuPercent: figures.node,
    idleRedisCpuPercent: figures.redis,
  };
}

/** Half of the devices handed over as on SIGTERM: to a node that hears of it, and to one that hears of nothing and finds them by itself. */
async function handovers(world: World): Promise<Record<string, number>> {
  const helped = await handover(world, false);
  const deaf = await handover(world, true);
  return {
    handoverDevices: helped.devices,
    handoverP50Ms: helped.p50,
    handoverP99Ms: helped.p99,
    handoverMaxMs: helped.max,
    deafHandoverP99Ms: deaf.p99,
    deafHandoverMaxMs: deaf.max,
  };
}

/** Per device: from the end of the old ownership until its new actor runs and is connected. Both nodes share this process and its one core. */
async function handover(world: World, deaf: boolean) {
  const connected = new Map<string, number>();
  const transport = scriptedTransport();
  const noting = {
    ...transport,
    connect: (...[device, told, signal]: Parameters<typeof transport.connect>) =>
      transport.connect(
        device,
        {
          ...told,
          state(change) {
            told.state(change);
            if (change.state === 'ONLINE') connected.set(device.id, clock.monotonic());
          },
        },
        signal,
      ),
  };
  const [leaving, staying] = await Promise.all([start(world, {}, 'leaving'), start(world, { transport: noting, deaf }, 'staying')]);
  await until(() => leaving.host.actors.size + staying.host.actors.size === DEVICES);
  // past the pause after which nodes that came move devices about
  await clock.sleep(5000);
  const ended = new Map<string, number>();
  for (const { deviceId, signal } of leaving.ownership.owned.values()) {
    signal.addEventListener('abort', () => ended.set(deviceId, clock.monotonic()), { once: true });
  }
  const began = clock.monotonic();
  await leaving.ownership.drain(8000);
  const drained = Math.round(clock.monotonic() - began);
  await until(() => staying.host.actors.size === DEVICES && [...ended.keys()].every((id) => connected.has(id)));
  const gaps = [...ended].map(([id, at]) => Math.round((connected.get(id) ?? Number.POSITIVE_INFINITY) - at)).sort((a, b) => a - b);
  const at = (share: number): number => gaps[Math.min(gaps.length - 1, Math.floor(gaps.length * share))] ?? Number.NaN;
  const figures = { devices: gaps.length, p50: at(0.5), p99: at(0.99), max: at(1) };
  world.say(`${deaf ? 'a target that hears nothing' : 'handover'}: ${JSON.stringify({ ...figures, drained })}`);
  await leaving.close();
  await staying.close();
  return figures;
}

/** FLUSHALL with PENDING_EACH messages waiting for each device: until every device runs again and every mailbox window is full again. */
async function rebuild(world: World): Promise<Record<string, number>> {
  const { sql, redis, tenantId, ids, say } = world;
  await sql.unsafe("update devices set paused = true, pause_reason = 'BENCH', changed_at = clock_timestamp()");
  for (let round = 0; round < PENDING_EACH; round++) {
    for (let from = 0; from < ids.length; from += 1000) {
      const items = ids
        .slice(from, from + 1000)
        .map((deviceId) => plainText({ id: uuidV7(clock.wall()), tenantId, deviceId, recipient: '+15550000001', body: 'bench' }));
      await accept(sql, items);
    }
  }
  say(`${ids.length * PENDING_EACH} messages pending`);
  const { node } = await coldStart(world, ids.length);
  const full = async (): Promise<boolean> => {
    const read = redis.pipeline();
    for (const id of ids) read.xlen(deviceKeys(id).mailbox[1]);
    return ((await read.exec()) ?? []).every(([, length]) => length === WINDOW);
  };
  await until(full, 100);
  const epochs = new Map([...node.ownership.owned.values()].map((device) => [device.deviceId, device.epoch]));
  const began = clock.monotonic();
  await redis.flushall();
  await until(() => ids.every((id) => (node.host.actors.get(id)?.owned.epoch ?? 0) > (epochs.get(id) ?? 0)), 20);
  await until(full, 100);
  const ms = Math.round(clock.monotonic() - began);
  say(`${ids.length * PENDING_EACH} pending messages: mailboxes stand again ${ms} ms after a FLUSHALL`);
  await node.close();
  return { rebuild300000Ms: ms };
}
