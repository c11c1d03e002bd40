import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEnqueuer } from '../../actors/mailbox/index.ts';
import { hashOf, newLinkToken } from '../../gateway/auth/index.ts';
import { connectPostgres, connectRedis, type Redis, redisReady, type Sql } from '../../ops/connect/index.ts';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';
import type { Figure } from '../../ops/report/index.ts';
import { type Stack, startStack } from '../../ops/start/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { accept, createDevices, createTenant } from '../../schema/sql/index.ts';
import type { Answer, Order } from './link-devices.ts';
import type { Bench } from './main.ts';
import { usage } from './usage.ts';

/**
 * The device link at 10,000 sockets on one gateway: a gateway, a node, Redis and Postgres as processes of their own, all on this machine, with the
 * devices in another. Messages are put into the ledger from here, so the gateway's CPU is that of the link alone. Not measured: TLS,
 * a network, the GraphQL API.
 */
const DEVICES = 10_000;
const AT_ONCE = 400;
const IDLE_MS = 10_000;
const RATE = 500;
const STEADY_MS = 10_000;
const STORM = 3000;
const STORM_MS = 5000;
const STORM_RATE = 100;

interface World {
  readonly stack: Stack;
  readonly sql: Sql;
  readonly redis: Redis;
  readonly tenantId: string;
  readonly ids: string[];
  readonly tokens: string[];
  readonly devices: ChildProcess;
  say(line: string): void;
}

export const link: Bench = async (say) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  const stack = await startStack({ dataDir, nodes: 1, gateways: 1, phones: false, durable: true, env: { PACING: 'off' } });
  const sql = connectPostgres(stack.databaseUrl, { applicationName: 'bench', max: 4 });
  const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'bench' });
  const devices = fork(join(import.meta.dirname, 'link-devices.js'));
  try {
    await redisReady(redis);
    const tenantId = uuidV7(clock.wall());
    await createTenant(sql, { id: tenantId, name: 'bench' });
    const world: World = { stack, sql, redis, tenantId, ids: [], tokens: [], devices, say };
    await makeDevices(world);
    return report(await measure(world));
  } finally {
    devices.disconnect();
    redis.disconnect();
    await sql.end({ timeout: 2 });
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
};

async function makeDevices({ sql, tenantId, ids, tokens, say }: World): Promise<void> {
  for (let from = 0; from < DEVICES; from += 1000) {
    const batch = Array.from({ length: Math.min(1000, DEVICES - from) }, () => ({ id: uuidV7(clock.wall()), token: newLinkToken() }));
    await createDevices(
      sql,
      batch.map(({ id, token }) => ({
        id,
        tenantId,
        name: id,
        transport: 'link' as const,
        paceMinMs: 0,
        paceMaxMs: 0,
        linkTokenHash: hashOf(token),
      })),
    );
    ids.push(...batch.map(({ id }) => id));
    tokens.push(...batch.map(({ token }) => token));
  }
  for (;;) {
    const [row] = await sql.unsafe<{ n: number }[]>('select count(*)::int as n from ownership where node is not null');
    if (row?.n === DEVICES) break;
    await clock.sleep(100);
  }
  say(`${DEVICES} link devices made and owned`);
}

function order<K extends Answer['kind']>({ devices }: World, kind: K, wanted: Order): Promise<Extract<Answer, { kind: K }>> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error('the devices’ process ended'));
    const heard = (answer: Answer): void => {
      if (answer.kind !== kind) return;
      devices.off('message', heard);
      devices.off('exit', ended);
      resolve(answer as Extract<Answer, { kind: K }>);
    };
    devices.on('message', heard);
    devices.once('exit', ended);
    devices.send(wanted);
  });
}

/** Accepts messages at a fixed rate, round the devices, until `over`; answers how many. */
function traffic({ sql, redis, tenantId, ids }: World, state: { next: number }, rate: number): { stop(): Promise<number> } {
  const telemetry = createTelemetry({ service: 'test', instance: 'bench', level: 'error', samplePercent: 0 });
  const enqueuer = createEnqueuer({ redis, telemetry });
  const from = clock.monotonic();
  let sent = 0;
  let over = false;
  const run = async (): Promise<number> => {
    while (!over) {
      const due = Math.floor(((clock.monotonic() - from) / 1000) * rate) - sent;
      const items = Array.from({ length: Math.min(due, 500) }, () => {
        const index = state.next % ids.length;
        const body = JSON.stringify({ seq: Math.floor(state.next / ids.length) + 1, at: clock.wall(), text: 'x'.repeat(100) });
        state.next += 1;
        return {
          id: uuidV7(clock.wall()),
          tenantId,
          deviceId: ids[index] ?? '',
          lane: 'high' as const,
          recipient: '+15551234567',
          body,
          idempotencyKey: null,
          contentHash: hashOf(body),
          scheduledAt: null,
          traceparent: null,
        };
      });
      const outcomes = await accept(sql, items);
      await enqueuer.enqueue(
        outcomes.flatMap((outcome, index) => {
          const item = items[index];
          if (outcome.kind !== 'accepted' || outcome.seq === null || item === undefined) throw new Error(`not accepted: ${outcome.kind}`);
          return [{ deviceId: item.deviceId, lane: item.lane, seq: outcome.seq, messageId: item.id, traceparent: null }];
        }),
      );
      sent += items.length;
      await clock.sleep(10);
    }
    return sent;
  };
  const running = run();
  return {
    stop() {
      over = true;
      return running;
    },
  };
}

/** Waits until as many messages were shown, or nothing more comes for 20 s. */
async function arrived(world: World, wanted: number): Promise<Extract<Answer, { kind: 'figures' }>[]> {
  const all: Extract<Answer, { kind: 'figures' }>[] = [];
  for (let quiet = 0; quiet < 100; quiet++) {
    const figures = await order(world, 'figures', { kind: 'figures' });
    if (figures.delivery.count > 0 || figures.ack.count > 0) all.push(figures);
    if (figures.shown >= wanted && figures.unconfirmed === 0) return all.length > 0 ? all : [figures];
    await clock.sleep(200);
  }
  return all;
}

async function measure(world: World): Promise<Record<string, Figure>> {
  const { stack, say } = world;
  const gateway = stack.gateways[0];
  if (gateway === undefined) throw new Error('no gateway');
  const url = `${gateway.url.replace('http', 'ws')}/link`;
  const empty = usage(gateway.pid);
  const connected = await order(world, 'connected', {
    kind: 'connect',
    url,
    tokens: world.tokens,
    atOnce: AT_ONCE,
    stormMs: STORM_MS,
  });
  const dialled = usage(gateway.pid);
  say(`${DEVICES} sockets in ${Math.round(connected.ms)} ms`);
  await clock.sleep(IDLE_MS);
  const idle = usage(gateway.pid);
  const idlePercent = ((idle.cpuMs - dialled.cpuMs) / IDLE_MS) * 100;

  const state = { next: 0 };
  await order(world, 'figures', { kind: 'figures' });
  const steadyFrom = clock.monotonic();
  const before = usage(gateway.pid);
  const steady = traffic(world, state, RATE);
  await clock.sleep(STEADY_MS);
  const sentSteady = await steady.stop();
  const after = usage(gateway.pid);
  const steadyMs = clock.monotonic() - steadyFrom;
  // one look after the end: quantiles of all of it
  await clock.sleep(1000);
  const during = (await arrived(world, sentSteady))[0];
  say(`${sentSteady} messages at ${RATE}/s`);

  const calm = traffic(world, state, STORM_RATE);
  await clock.sleep(1000);
  const storming = usage(gateway.pid);
  const stormed = await order(world, 'stormed', { kind: 'storm', count: STORM });
  const stormCpu = usage(gateway.pid).cpuMs - storming.cpuMs;
  const sentAll = sentSteady + (await calm.stop());
  say(`${STORM} sockets back after ${Math.round(stormed.ms)} ms`);
  const last = (await arrived(world, sentAll)).at(-1);
  return {
    sockets: last?.online ?? null,
    connects_per_second: Math.round(DEVICES / (connected.ms / 1000)),
    welcome_ms_p50: connected.welcome.p50,
    welcome_ms_p99: connected.welcome.p99,
    connect_cpu_us: Math.round(((dialled.cpuMs - empty.cpuMs) * 1000) / DEVICES),
    rss_bytes_per_socket: Math.round((idle.rss - empty.rss) / DEVICES),
    gateway_rss_mb: Math.round(idle.rss / 1e6),
    idle_cpu_percent: Math.round(idlePercent * 10) / 10,
    steady_messages_per_second: Math.round(sentSteady / (steadyMs / 1000)),
    steady_cpu_percent: Math.round(((after.cpuMs - before.cpuMs) / steadyMs) * 1000) / 10,
    cpu_us_per_message: Math.round(((after.cpuMs - before.cpuMs - (idlePercent / 100) * steadyMs) * 1000) / sentSteady),
    delivery_ms_p50: during?.delivery.p50 ?? null,
    delivery_ms_p99: during?.delivery.p99 ?? null,
    ack_ms_p50: during?.ack.p50 ?? null,
    ack_ms_p99: during?.ack.p99 ?? null,
    storm_all_back_ms: Math.round(stormed.ms),
    storm_welcome_ms_p50: stormed.welcome.p50,
    storm_welcome_ms_p99: stormed.welcome.p99,
    storm_sent_away: stormed.sentAway,
    storm_cpu_ms: stormCpu,
    messages_lost: last === undefined ? null : sentAll - last.shown,
    messages_disordered: last?.disordered ?? null,
    acks_unconfirmed: last?.unconfirmed ?? null,
    sockets_broken: last?.broken ?? null,
  };
}

function report(figures: Record<string, Figure>): Awaited<ReturnType<Bench>> {
  const most: Record<string, number> = {
    rss_bytes_per_socket: 20_000,
    idle_cpu_percent: 25,
    delivery_ms_p99: 250,
    ack_ms_p99: 250,
    storm_all_back_ms: STORM_MS + 2000,
    storm_welcome_ms_p99: 500,
    messages_lost: 0,
    messages_disordered: 0,
    acks_unconfirmed: 0,
    sockets_broken: 0,
  };
  const least: Record<string, number> = { sockets: DEVICES, connects_per_second: 1000 };
  const ok =
    Object.entries(most).every(([name, bound]) => typeof figures[name] === 'number' && figures[name] <= bound) &&
    Object.entries(least).every(([name, bound]) => Number(figures[name]) >= bound);
  const targets = Object.fromEntries([
    ...Object.entries(most).map(([name, bound]) => [name, `<=${bound}`]),
    ...Object.entries(least).map(([name, bound]) => [name, `>=${bound}`]),
  ]) as Record<string, Figure>;
  return { name: 'link', ok, figures, targets };
}
