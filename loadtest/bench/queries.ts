import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { createLive } from '../../actors/live/index.ts';
import { connectRedis, redisReady } from '../../ops/connect/index.ts';
import { systemClock as clock, seededDice } from '../../ops/lifecycle/index.ts';
import type { RunResult } from '../../ops/report/index.ts';
import { startStack } from '../../ops/start/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { lowestUuidV7 } from '../../schema/domain/index.ts';
import { usage } from './usage.ts';

/**
 * `npm run bench -- queries [--devices N] [--messages N] [--requests N]`: how long the API takes over a large ledger, by HTTP, one request after the other.
 * Rows are made by SQL, as they would lie after a week: ids rising in time over daily partitions, devices at random; each partition is filled
 * first and indexed afterwards, without a write-ahead log. Each device has a state in the live stream, as its owner would have said it. What it does
 * not measure: many clients at once, a cold cache (the first answers of each kind are shown apart), writes going on beside, disks that have to be read
 * (the server keeps what it can in memory and does not wait for the disk).
 */
const DAY_MS = 86_400_000;
const DAYS = 7;
/** partitions under way at once: one for each core of the machine the targets are for */
const HANDS = 2;
const TARGET_MS = 50;
/** answers of each kind that are not counted: the gateway compiles, Postgres reads its pages */
const WARM_UP = 20;
/** between two questions for the fleet: long enough together that it is counted anew several times behind the answers */
const FLEET_PAUSE_MS = 50;
/** what was filled in is shown within this */
const SHOWN_MS = 60_000;

interface Sizes {
  readonly devices: number;
  readonly messages: number;
  readonly requests: number;
}

function sizesOf(parts: readonly string[]): Sizes {
  const of = (name: string, fallback: number): number => {
    const at = parts.indexOf(name);
    const value = at < 0 ? fallback : Number(parts[at + 1]);
    if (!Number.isInteger(value) || value < 1) throw new Error(`${name}: expected a whole number above 0`);
    return value;
  };
  return { devices: of('devices', 100_000), messages: of('messages', 10_000_000), requests: of('requests', 300) };
}

/** A UUIDv7 of the wall time in ms that the SQL expression gives. */
const uuidAt = (ms: string): string => `uuidv7(to_timestamp((${ms}) / 1000.0) - clock_timestamp())`;

/** Devices with their ownership and lanes, and a table that numbers them. */
async function fillDevices(sql: postgres.Sql, tenantId: string, count: number, fromMs: number): Promise<void> {
  await sql.unsafe(
    `with made as (
       insert into devices (id, tenant_id, partition, name, transport, paired)
       select ${uuidAt(`${fromMs}::float8 + n`)}, $1, n % 256, 'bench ' || n, 'simulator', true from generate_series(1, $2::integer) n
       returning id, partition
     ), owned as (insert into ownership (device_id, partition) select id, partition from made)
     insert into lane_counters (device_id, lane) select m.id, l from made m cross join unnest(enum_range(null::lane)) l`,
    [tenantId, count],
  );
  await sql.unsafe(
    'create unlogged table bench_devices as select row_number() over (order by id)::integer as n, id from devices where tenant_id = $1',
    [tenantId],
  );
  await sql.unsafe('create unique index on bench_devices (n)');
}

/** The messages of one day, indexed when they are all there; then the partition becomes part of the ledger. */
async function fillDay(
  sql: postgres.Sql,
  tenantId: string,
  day: {
    readonly startMs: number;
    readonly firstMs: number;
    readonly stepMs: number;
    readonly count: number;
    readonly firstSeq: number;
    readonly devices: number;
  },
): Promise<void> {
  const { startMs, firstMs, stepMs, count, firstSeq, devices } = day;
  const name = `messages_${new Date(startMs).toISOString().slice(0, 10).replaceAll('-', '')}`;
  await sql.unsafe("set maintenance_work_mem = '256MB'; set work_mem = '64MB'");
  // the gateway has made those of today and tomorrow, empty
  await sql.unsafe(`drop table if exists ${name}`);
  await sql.unsafe(`create unlogged table ${name} (like messages including defaults including constraints)`);
  await sql.unsafe(
    `insert into ${name} (id, tenant_id, device_id, lane, seq, state, attempt, recipient, body, due_at, created_at, sent_at, ended_at)
     select ${uuidAt(`${firstMs}::float8 + g.g * ${stepMs}::float8`)}, $1, b.id, 'high', ${firstSeq} + g.g, 'SENT', 1,
       '+49170' || lpad((g.g % 10000000)::text, 7, '0'), 'Hello, this is a message of an ordinary length to a person.', now(), now(), now(), now()
     from (select g, 1 + floor(random() * $3)::integer as n from generate_series(1, $2::integer) g) g join bench_devices b on b.n = g.n`,
    [tenantId, count, devices],
  );
  await sql.unsafe(`alter table ${name} add primary key (id)`);
  const bounds = [lowestUuidV7(startMs), lowestUuidV7(startMs + DAY_MS)];
  // with the bounds proved and equal indexes there, attaching is a matter of the catalogue
  await sql.unsafe(`alter table ${name} add constraint bounds check (id >= '${bounds[0]}' and id < '${bounds[1]}')`);
  await sql.unsafe(`create index on ${name} (device_id, id)`);
  await sql.unsafe(`create index on ${name} (tenant_id, id)`);
  await sql.unsafe(`alter table messages attach partition ${name} for values from ('${bounds[0]}') to ('${bounds[1]}')`);
  await sql.unsafe(`alter table ${name} drop constraint bounds`);
  await sql.unsafe(`vacuum analyze ${name}`);
}

/** Devices and messages of one tenant; counters fit what the ledger holds. */
async function fill(url: string, sizes: Sizes, say: (line: string) => void): Promise<void> {
  const sql = postgres(url, { max: HANDS, idle_timeout: 0, onnotice: () => {} });
  try {
    const [tenant] = await sql.unsafe('select id from tenants order by created_at limit 1');
    const tenantId = String(tenant?.['id']);
    const endMs = Math.floor(clock.wall() / DAY_MS) * DAY_MS + DAY_MS / 2;
    const began = clock.monotonic();
    const seconds = (): string => `${Math.round((clock.monotonic() - began) / 1000)} s`;
    await fillDevices(sql, tenantId, sizes.devices, endMs - (DAYS + 1) * DAY_MS);
    say(`${sizes.devices} devices · ${seconds()}`);
    const stepMs = (DAYS * DAY_MS) / (sizes.messages + 2);
    const fromMs = endMs - DAYS * DAY_MS;
    const days = Array.from({ length: DAYS + 1 }, (_, n) => {
      const startMs = Math.floor(fromMs / DAY_MS) * DAY_MS + n * DAY_MS;
      // places of this day among all messages
      const first = Math.max(0, Math.ceil((startMs - fromMs) / stepMs));
      const last = Math.min(sizes.messages, Math.ceil((startMs + DAY_MS - fromMs) / stepMs) - 1);
      return {
        startMs,
        firstMs: fromMs + first * stepMs,
        stepMs,
        count: Math.max(0, last - first),
        firstSeq: first,
        devices: sizes.devices,
      };
    });
    let done = 0;
    const waiting = [...days];
    const hand = async (): Promise<void> => {
      const own = await sql.reserve();
      try {
        for (let day = waiting.shift(); day !== undefined; day = waiting.shift()) {
          await fillDay(own as unknown as postgres.Sql, tenantId, day);
          done += day.count;
          say(`${done} messages · ${seconds()}`);
        }
      } finally {
        own.release();
      }
    };
    await Promise.all(Array.from({ length: HANDS }, hand));
    await sql.unsafe(
      `with counted as (select device_id, count(*) as n from messages where tenant_id = $1 group by 1)
       , lanes as (update lane_counters c set accepted = n.n, next_seq = n.n + 1 from counted n where c.device_id = n.device_id and c.lane = 'high')
       update ownership o set ended = n.n from counted n where o.device_id = n.device_id`,
      [tenantId],
    );
    await sql.unsafe('drop table bench_devices');
    for (const table of ['devices', 'ownership', 'lane_counters']) await sql.unsafe(`vacuum analyze ${table}`);
    await sql.unsafe('analyze messages');
    say(`ledger ready · ${seconds()}`);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** What owners would have said of their devices. */
async function fillLive(redisUrl: string, sql: postgres.Sql): Promise<void> {
  const telemetry = createTelemetry({ service: 'test', instance: 'bench', level: 'error', samplePercent: 0 });
  const redis = connectRedis(redisUrl, { role: 'mailbox', name: 'bench' });
  const live = createLive({ redis, clock, telemetry });
  try {
    await redisReady(redis);
    const rows = await sql.unsafe<{ id: string; tenant_id: string; name: string }[]>('select id, tenant_id, name from devices');
    for (const [at, { id, tenant_id: tenantId, name }] of rows.entries()) {
      const state = at % 10 === 0 ? 'OFFLINE' : 'ONLINE';
      live.device(tenantId, { id, name, state, reason: null, node: null, epoch: 1, version: 1, transport: 'simulator', at: clock.wall() });
      if (at % 5_000 === 4_999) await live.flush();
    }
    await live.flush();
  } finally {
    await live.close();
    redis.disconnect();
  }
}

interface Times {
  readonly first: number;
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

function timesOf(all: readonly number[], cold: number): Times {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (q: number): number => Math.round((sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0) * 10) / 10;
  return { first: Math.round(cold * 10) / 10, p50: at(0.5), p99: at(0.99), most: at(1) };
}

type Ask = (query: string) => Promise<{ readonly ms: number; readonly data: Record<string, never> }>;

/** The API shows what was filled in. A fleet that was never counted may take longer to count than an answer may wait: asked again. */
async function untilShown(ask: Ask, { devices }: Sizes): Promise<void> {
  const until = clock.monotonic() + SHOWN_MS;
  const connected = devices - Math.ceil(devices / 10);
  for (;;) {
    try {
      const { fleet, messages } = (await ask('{ fleet { devices connected } messages(first: 1) { edges { node { id } } } }')).data as {
        readonly fleet?: { readonly devices: number; readonly connected: number };
        readonly messages?: { readonly edges: readonly unknown[] };
      };
      if (fleet?.devices === devices && fleet.connected === connected && messages?.edges.length === 1) return;
      if (clock.monotonic() > until) throw new Error('the API does not show what was filled in');
    } catch (error) {
      if (clock.monotonic() > until) throw error;
    }
    await clock.sleep(500);
  }
}

export async function queries(say: (line: string) => void, parts: readonly string[]): Promise<RunResult> {
  const sizes = sizesOf(parts);
  const work = mkdtempSync(join(tmpdir(), 'flotilla-queries-'));
  say(`${sizes.devices} devices, ${sizes.messages} messages, ${sizes.requests} requests of each kind`);
  const stack = await startStack({ dataDir: work, nodes: 0, gateways: 1, phones: false, durable: false });
  const sql = postgres(stack.databaseUrl, { max: 1, idle_timeout: 0, onnotice: () => {} });
  try {
    await fill(stack.databaseUrl, sizes, say);
    await fillLive(stack.redisUrl, sql);
    const [gateway] = stack.gateways;
    if (gateway === undefined) throw new Error('no gateway');
    const url = `${gateway.url}/graphql`;
    const ask: Ask = async (query) => {
      const began = clock.monotonic();
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${stack.adminKey}` },
        body: JSON.stringify({ query }),
      });
      const json = (await response.json()) as { data?: Record<string, never>; errors?: readonly { message: string }[] };
      const ms = clock.monotonic() - began;
      if (json.errors !== undefined || json.data === undefined) throw new Error(`${query.slice(0, 60)}: ${json.errors?.[0]?.message}`);
      return { ms, data: json.data };
    };
    const ids = (await sql.unsafe('select id from devices order by random() limit 1000')).map((row) => String(row['id']));
    const inside = (await sql.unsafe('select id from devices order by id')).filter(
      (_, at) => at % Math.max(1, Math.floor(sizes.devices / 1000)) === 0,
    );
    const dice = seededDice(1);
    const one = <T>(list: readonly T[]): T => list[Math.floor(dice.next() * list.length)] as T;
    const kinds: Readonly<Record<string, () => string>> = {
      'devices page': () =>
        `{ devices(first: 50, after: "${one(inside)['id']}") { edges { cursor node { id name state reason transport paced: paceMinMs } } pageInfo { hasNextPage endCursor } } }`,
      'devices with sendability': () =>
        `{ devices(first: 50, after: "${one(inside)['id']}") { edges { node { id sendability { canSend reasons backlog } } } } }`,
      'messages of a device': () =>
        `{ messages(deviceId: "Device:${one(ids)}", first: 50) { edges { node { id to state body createdAt sentAt } } pageInfo { hasNextPage endCursor } } }`,
      'messages page': () => '{ messages(first: 50) { edges { node { id to state device { name } } } pageInfo { endCursor } } }',
      // what nothing fits costs the most: all that one page may look at is looked at
      'messages in a rare state': () =>
        '{ messages(state: [DEAD], first: 50) { edges { node { id to } } pageInfo { hasNextPage endCursor } } }',
      'devices in a rare state': () =>
        '{ devices(state: [LOGGED_OUT], first: 50) { edges { node { id name } } pageInfo { hasNextPage endCursor } } }',
      'devices by a rare name': () =>
        '{ devices(name: "nobody", first: 50) { edges { node { id name } } pageInfo { hasNextPage endCursor } } }',
      fleet: () => '{ fleet { devices connected backlog sentPerMinute failedPerMinute states { state count } } }',
      'fleet history': () => '{ fleet { history(span: DAY) { total { sent processing { p99 } } points { at sent } } } }',
    };
    await untilShown(ask, sizes);
    const figures: Record<string, number> = { devices: sizes.devices, messages: sizes.messages, requests: sizes.requests };
    const targets: Record<string, string> = {};
    let ok = true;
    for (const [name, query] of Object.entries(kinds)) {
      const all: number[] = [];
      const cold = (await ask(query())).ms;
      for (let at = 0; at < WARM_UP; at++) await ask(query());
      const cpuBefore = usage(gateway.pid).cpuMs;
      for (let at = 0; at < sizes.requests; at++) {
        if (name === 'fleet') await clock.sleep(FLEET_PAUSE_MS);
        all.push((await ask(query())).ms);
      }
      const { first, p50, p99, most } = timesOf(all, cold);
      figures[`${name}: p50 ms`] = p50;
      figures[`${name}: p99 ms`] = p99;
      figures[`${name}: slowest ms`] = most;
      figures[`${name}: first ms`] = first;
      // on a machine that is busy with other work this says more than the times
      const cpu = Math.round(((usage(gateway.pid).cpuMs - cpuBefore) / sizes.requests) * 10) / 10;
      figures[`${name}: gateway cpu ms`] = cpu;
      targets[`${name}: p99 ms`] = `<= ${TARGET_MS}`;
      ok &&= p99 <= TARGET_MS;
      say(`${name} · p50 ${p50} · p99 ${p99} · slowest ${most} · first ${first} ms · gateway cpu ${cpu} ms`);
    }
    return { name: 'queries', ok, figures, targets };
  } finally {
    await sql.end({ timeout: 5 });
    await stack.stop();
    rmSync(work, { recursive: true, force: true });
  }
}
