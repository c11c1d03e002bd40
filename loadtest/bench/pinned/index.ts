import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { quantile, readArrivals } from '../../../actors/testing/checker/index.ts';
import { connectPostgres } from '../../../ops/connect/index.ts';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import { type Figure, table } from '../../../ops/report/index.ts';
import { type Api, ask, ensureDevices, type Stack, startStack } from '../../../ops/start/index.ts';
import { judge } from '../judge.ts';
import type { Order as Reading } from '../live/readers.ts';
import type { Bench } from '../main.ts';
import { type Spent, spent } from '../spent.ts';
import { usage } from '../usage.ts';
import { dueTimes, type LedgerMessage } from './late.ts';
import type { Order, Told } from './loader-main.ts';

/**
 * `npm run bench -- pinned [--devices N --seconds N]`: the fleet at its pace: 3,000 devices that send 20 messages a minute each, every one accepted through
 * the API while it runs, phones that acknowledge, deliver and read, 100 viewers of the whole fleet; one gateway and two nodes on servers with
 * fsync. The pace has no jitter here (its least and its most are the same), so when a message is due is known to the millisecond: a pace after the
 * intent of the one before, by the ledger's own times. Beside other work, or above 80 % of the machine, a run is void. Not measured: TLS, a network.
 */
const PER_MINUTE = 20;
const PACE_MS = 60_000 / PER_MINUTE;
const VIEWERS = 100;
const READY_MS = 180_000;
const WARM_MS = 15_000;
const BUSY = 80;
const TARGETS = { late: 100, cores: 1, rssMb: 500, rate: 0.98 } as const;

interface Wanted {
  readonly devices: number;
  readonly seconds: number;
}

/** @throws Error for sizes that are none */
export function wantedOf(parts: readonly string[]): Wanted {
  const of = (name: string, fallback: number): number => {
    const at = parts.indexOf(name);
    const value = at < 0 ? fallback : Number(parts[at + 1]);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: expected a whole number from 1, got "${parts[at + 1] ?? ''}"`);
    return value;
  };
  return { devices: of('devices', 3000), seconds: of('seconds', 60) };
}

function child(...path: readonly string[]): ChildProcess & { told(): Promise<unknown> } {
  const made = fork(join(import.meta.dirname, ...path));
  const told = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      made.once('message', resolve);
      made.once('exit', () => reject(new Error(`${path.at(-1)} ended`)));
    });
  return Object.assign(made, { told });
}

async function connected(api: Api, devices: number): Promise<void> {
  const ask1 = async (): Promise<number> => (await ask<{ fleet: { connected: number } }>(api, '{ fleet { connected } }')).fleet.connected;
  for (const end = clock.monotonic() + READY_MS; (await ask1()) < devices; await clock.sleep(200))
    if (clock.monotonic() > end) throw new Error(`not all devices are connected after ${READY_MS / 1000} s`);
}

interface Window {
  readonly fromWall: number;
  readonly toWall: number;
  readonly tookMs: number;
  readonly before: Spent;
  readonly after: Spent;
  /** bytes of the gateway and of the nodes, when together they were most */
  readonly rss: { readonly gateway: number; readonly nodes: number };
}

/** Looks at the processes for so long. */
async function watch(stack: Stack, roots: Readonly<Record<string, number>>, seconds: number, say: (line: string) => void): Promise<Window> {
  const bytes = (processes: Stack['gateways'] | Stack['nodes']): number => processes.reduce((sum, { pid }) => sum + usage(pid).rss, 0);
  const [before, began, fromWall] = [spent(roots), clock.monotonic(), clock.wall()];
  let rss = { gateway: 0, nodes: 0 };
  for (let second = 1; second <= seconds; second++) {
    await clock.sleep(Math.max(0, began + second * 1000 - clock.monotonic()));
    const now = { gateway: bytes(stack.gateways), nodes: bytes(stack.nodes) };
    if (now.gateway + now.nodes > rss.gateway + rss.nodes) rss = now;
    if (second % 15 === 0) say(`${second} of ${seconds} s, ${Math.round((rss.gateway + rss.nodes) / 1e6)} MB`);
  }
  return { fromWall, toWall: clock.wall(), tookMs: clock.monotonic() - began, before, after: spent(roots), rss };
}

async function ledger(databaseUrl: string): Promise<LedgerMessage[]> {
  const sql = connectPostgres(databaseUrl, { applicationName: 'bench', max: 1, planner: 'general', statementTimeoutMs: 0 });
  const rows = await sql.unsafe<LedgerMessage[]>(
    `select id, device_id as device, extract(epoch from created_at)::float8 * 1000 as "acceptedAt", extract(epoch from intent_at)::float8 * 1000 as "intentAt"
     from messages where seq is not null order by device_id, lane, seq`,
  );
  await sql.end({ timeout: 2 });
  return [...rows];
}

/** How late messages were that arrived in the window, sorted, and what the phones had to object. */
async function lateness(messages: readonly LedgerMessage[], arrivals: string, { fromWall, toWall }: Window) {
  const due = dueTimes(messages, PACE_MS);
  const late: number[] = [];
  const seen: { readonly id: string; readonly device: string }[] = [];
  for await (const { id, device, at } of readArrivals(arrivals)) {
    seen.push({ id, device });
    if (at >= fromWall && at < toWall) late.push(at - (due.get(id) ?? Number.NaN));
  }
  const { doubled, disordered, unexpected } = await judge(messages, seen);
  return { late: late.sort((a, b) => a - b), wrong: doubled + disordered + unexpected };
}

interface Seen {
  readonly wanted: Wanted;
  readonly window: Window;
  readonly late: readonly number[];
  readonly wrong: number;
  readonly told: Told;
}

const rounded = (value: number | null | undefined, digits = 0): number => Math.round((value ?? Number.NaN) * 10 ** digits) / 10 ** digits;

/** Figures, targets and whether all of them hold. */
export function judged({ wanted, window, late, wrong, told }: Seen) {
  const { before, after, tookMs } = window;
  const cores = (...names: readonly string[]): number =>
    rounded(names.reduce((sum, name) => sum + (after.of[name] ?? 0) - (before.of[name] ?? 0), 0) / tookMs, 2);
  const perMinute = Math.round((late.length * 60_000) / tookMs);
  const figures: Record<string, Figure> = {
    devices: wanted.devices,
    viewers: VIEWERS,
    'sent a minute': perMinute,
    'due to device ms p50': rounded(quantile(late, 0.5)),
    'due to device ms p99': rounded(quantile(late, 0.99)),
    'due to device ms p99.9': rounded(quantile(late, 0.999)),
    'due to device ms max': rounded(late.at(-1)),
    'API answered ms p99': rounded(quantile(told.answers, 0.99)),
    'API refused': told.refused,
    'gateway and nodes cores': cores('gateway', 'node-1', 'node-2'),
    'gateway and nodes MB': Math.round((window.rss.gateway + window.rss.nodes) / 1e6),
    'gateway MB': Math.round(window.rss.gateway / 1e6),
    'nodes MB': Math.round(window.rss.nodes / 1e6),
    'gateway cores': cores('gateway'),
    'nodes cores': cores('node-1', 'node-2'),
    'Postgres cores': cores('postgres'),
    'Redis cores': cores('redis'),
    'phones cores': cores('phones'),
    'viewers cores': cores('viewers'),
    'load cores': cores('load'),
    'machine percent': Math.round(((after.machine - before.machine) / (tookMs * cpus().length)) * 100),
    'doubled, disordered or unexpected': wrong,
  };
  const most: Record<string, number> = {
    'due to device ms p99': TARGETS.late,
    'gateway and nodes cores': TARGETS.cores,
    'gateway and nodes MB': TARGETS.rssMb,
    'machine percent': BUSY,
    'API refused': 0,
    'doubled, disordered or unexpected': 0,
  };
  const least = Math.floor(wanted.devices * PER_MINUTE * TARGETS.rate);
  const ok = perMinute >= least && Object.entries(most).every(([name, bound]) => Number(figures[name]) <= bound);
  const targets = {
    ...Object.fromEntries(Object.entries(most).map(([name, bound]) => [name, `<= ${bound}`])),
    'sent a minute': `>= ${least}`,
  };
  return { name: 'pinned', ok, figures, targets };
}

async function play(stack: Stack, wanted: Wanted, arrivals: string, say: (line: string) => void): Promise<Seen> {
  const [gateway] = stack.gateways;
  if (gateway === undefined) throw new Error('no gateway');
  const api = { url: gateway.url, key: stack.adminKey };
  const devices = await ensureDevices(api, wanted.devices, { paceMinMs: PACE_MS, paceMaxMs: PACE_MS });
  await connected(api, wanted.devices);
  say(`${wanted.devices} devices connected on ${stack.nodes.length} nodes`);
  const viewers = child('..', 'live', 'readers.js');
  const load = child('loader-main.js');
  try {
    const url = `${gateway.url.replace('http', 'ws')}/graphql`;
    const standing = viewers.told();
    viewers.send({
      kind: 'connect',
      url,
      key: api.key,
      sockets: VIEWERS,
      atOnce: VIEWERS,
      events: false,
      fleetEvery: 1,
    } satisfies Reading);
    await standing;
    load.send({ kind: 'go', ...api, devices, perSecond: (wanted.devices * PER_MINUTE) / 60 } satisfies Order);
    say(`${VIEWERS} viewers; the load goes on`);
    await clock.sleep(WARM_MS);
    load.send({ kind: 'count' } satisfies Order);
    const roots = {
      gateway: gateway.pid,
      ...Object.fromEntries(stack.nodes.map(({ id, pid }) => [id, pid])),
      postgres: stack.postgres?.pid ?? 0,
      redis: stack.redis?.pid ?? 0,
      phones: stack.phones?.pid ?? 0,
      viewers: viewers.pid ?? 0,
      load: load.pid ?? 0,
    };
    const window = await watch(stack, roots, wanted.seconds, say);
    const result = load.told();
    load.send({ kind: 'stop' } satisfies Order);
    const told = (await result) as Told;
    const { late, wrong } = await lateness(await ledger(stack.databaseUrl), arrivals, window);
    return { wanted, window, late, wrong, told };
  } finally {
    for (const one of [viewers, load]) if (one.connected) one.disconnect();
  }
}

export const pinned: Bench = async (say, parts) => {
  const wanted = wantedOf(parts);
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-pinned-'));
  const arrivals = join(folder, 'arrivals.ndjson');
  const stack = await startStack({
    dataDir: join(folder, 'data'),
    nodes: 2,
    gateways: 1,
    phones: { arrivals },
    durable: true,
    env: { PACING: 'on' },
  });
  try {
    const seen = await play(stack, wanted, arrivals, say);
    const result = judged(seen);
    say(table([['figure', 'value'], ...Object.entries(result.figures)]));
    return {
      ...result,
      notes: {
        due: 'a pace after the intent of the device’s message before, or when the message was accepted, if that is later',
        cores: 'CPU time by time: 1 = one processor, all the time',
        ...(seen.told.refusal === '' ? {} : { refusal: seen.told.refusal }),
      },
      command: `npm run bench -- pinned --devices ${wanted.devices} --seconds ${wanted.seconds}`,
    };
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
};
