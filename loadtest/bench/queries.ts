import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { systemClock as clock, seededDice } from '../../ops/lifecycle/index.ts';
import type { RunResult } from '../../ops/report/index.ts';
import { startStack } from '../../ops/start/index.ts';
import { lowestUuidV7 } from '../../schema/domain/index.ts';

/**
 * `npm run bench -- queries [--devices N] [--messages N] [--requests N]`: how long the API takes over a large ledger, by HTTP, one request after the other.
 * Rows are made by SQL in chunks, as they would lie after a week: ids rising in time over seven daily partitions, devices at random. What it does
 * not measure: many clients at once, a cold cache (the first answers of each kind are shown apart), writes going on beside.
 */
const DAY_MS = 86_400_000;
const DAYS = 7;
const CHUNK = 250_000;
const TARGET_MS = 50;
/** answers of each kind that are not counted: the gateway compiles, Postgres reads its pages */
const WARM_UP = 20;

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

const uuidOf = (timeExpression: string): string =>
  `(lpad(to_hex((${timeExpression})::bigint >> 16), 8, '0') || '-' || lpad(to_hex((${timeExpression})::bigint & 65535), 4, '0') || '-7' || substr(md5(random()::text), 1, 3)
    || '-8' || substr(md5(random()::text), 1, 3) || '-' || substr(md5(random()::text), 1, 12))::uuid`;

/** Devices and messages of one tenant, set-based; counters fit what the ledger holds. */
async function fill(sql: postgres.Sql, sizes: Sizes, say: (line: string) => void): Promise<string> {
  const [tenant] = await sql.unsafe('select id from tenants order by created_at limit 1');
  const tenantId = String(tenant?.['id']);
  const now = Date.parse(new Date(clock.wall()).toISOString().slice(0, 10)) + DAY_MS / 2;
  const began = clock.monotonic();
  for (let day = -DAYS; day <= 0; day++) {
    const start = Math.floor(now / DAY_MS) * DAY_MS + day * DAY_MS;
    const name = `messages_${new Date(start).toISOString().slice(0, 10).replaceAll('-', '')}`;
    await sql.unsafe(
      `create table if not exists ${name} partition of messages for values from ('${lowestUuidV7(start)}') to ('${lowestUuidV7(start + DAY_MS)}')`,
    );
  }
  await sql.unsafe(
    `with made as (
       insert into devices (id, tenant_id, partition, name, transport, paired)
       select ${uuidOf(`${now - (DAYS + 1) * DAY_MS} + n`)}, $1, n % 256, 'bench ' || n, 'simulator', true from generate_series(1, $2::integer) n
       returning id, partition
     ), owned as (insert into ownership (device_id, partition) select id, partition from made)
     insert into lane_counters (device_id, lane) select m.id, l from made m cross join unnest(enum_range(null::lane)) l`,
    [tenantId, sizes.devices],
  );
  say(`${sizes.devices} devices · ${Math.round((clock.monotonic() - began) / 1000)} s`);
  await sql.unsafe(
    `create unlogged table bench_devices as select row_number() over (order by id) as n, id from devices where tenant_id = $1`,
    [tenantId],
  );
  await sql.unsafe('create unique index on bench_devices (n)');
  const stepMs = (DAYS * DAY_MS) / sizes.messages;
  for (let from = 0; from < sizes.messages; from += CHUNK) {
    const count = Math.min(CHUNK, sizes.messages - from);
    await sql.unsafe(
      `insert into messages (id, tenant_id, device_id, lane, seq, state, attempt, recipient, body, due_at, created_at, sent_at, ended_at)
       select ${uuidOf(`${now - DAYS * DAY_MS} + ($2::bigint + g) * ${stepMs}`)}, $1, b.id, 'high', $2::bigint + g, 'SENT', 1,
         '+49170' || lpad((g % 10000000)::text, 7, '0'), 'Hello, this is a message of an ordinary length to a person.', now(), now(), now(), now()
       from (select g, 1 + floor(random() * $4)::bigint as n from generate_series(1, $3::integer) g) g join bench_devices b on b.n = g.n`,
      [tenantId, from, count, sizes.devices],
    );
    const done = from + count;
    if (done % (CHUNK * 4) === 0 || done === sizes.messages) say(`${done} messages · ${Math.round((clock.monotonic() - began) / 1000)} s`);
  }
  await sql.unsafe(
    `with counted as (select device_id, count(*) as n from messages where tenant_id = $1 group by 1)
     , lanes as (update lane_counters c set accepted = n.n, next_seq = n.n + 1 from counted n where c.device_id = n.device_id and c.lane = 'high')
     update ownership o set ended = n.n from counted n where o.device_id = n.device_id`,
    [tenantId],
  );
  await sql.unsafe('drop table bench_devices');
  await sql.unsafe('vacuum analyze messages');
  await sql.unsafe('vacuum analyze devices');
  await sql.unsafe('vacuum analyze ownership');
  await sql.unsafe('vacuum analyze lane_counters');
  say(`ledger ready · ${Math.round((clock.monotonic() - began) / 1000)} s`);
  return tenantId;
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

export async function queries(say: (line: string) => void, parts: readonly string[]): Promise<RunResult> {
  const sizes = sizesOf(parts);
  const work = mkdtempSync(join(tmpdir(), 'flotilla-queries-'));
  const stack = await startStack({ dataDir: work, nodes: 0, gateways: 1, phones: false, durable: false });
  const sql = postgres(stack.databaseUrl, { max: 1, idle_timeout: 0, onnotice: () => {} });
  try {
    await fill(sql, sizes, say);
    const url = `${stack.gateways[0]?.url}/graphql`;
    const ask = async (query: string): Promise<{ readonly ms: number; readonly data: Record<string, never> }> => {
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
      fleet: () => '{ fleet { devices connected backlog sentPerMinute failedPerMinute states { state count } } }',
      'fleet history': () => '{ fleet { history(span: DAY) { total { sent processing { p99 } } points { at sent } } } }',
    };
    const figures: Record<string, number> = { devices: sizes.devices, messages: sizes.messages, requests: sizes.requests };
    const targets: Record<string, string> = {};
    let ok = true;
    for (const [name, query] of Object.entries(kinds)) {
      const all: number[] = [];
      const cold = (await ask(query())).ms;
      for (let at = 0; at < WARM_UP; at++) await ask(query());
      for (let at = 0; at < sizes.requests; at++) all.push((await ask(query())).ms);
      const { first, p50, p99, most } = timesOf(all, cold);
      figures[`${name}: p50 ms`] = p50;
      figures[`${name}: p99 ms`] = p99;
      figures[`${name}: slowest ms`] = most;
      figures[`${name}: first ms`] = first;
      targets[`${name}: p99 ms`] = `<= ${TARGET_MS}`;
      ok &&= p99 <= TARGET_MS;
      say(`${name} · p50 ${p50} · p99 ${p99} · slowest ${most} · first ${first} ms`);
    }
    return { name: 'bench-queries', ok, figures, targets };
  } finally {
    await sql.end({ timeout: 5 });
    await stack.stop();
    rmSync(work, { recursive: true, force: true });
  }
}
