import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectPostgres, connectRedis, type Redis, redisReady, type Sql } from '../../../ops/connect/index.ts';
import { type Clock, readAsset } from '../../../ops/lifecycle/index.ts';
import { type Api, ask, ensureDevices, patiently, type Stack, startStack } from '../../../ops/start/index.ts';
import type { Arrival } from '../../transports/simulator/index.ts';
import { createHeapProbe, type HeapProbe } from './heap.ts';

/**
 * The launch of one sequence of eleven steps to very many leads over very many devices, on a stack of its own with servers on disk and simulated
 * phones at the pace that devices have by default (5 to 15 s). Used by the bench `campaign` and the demo `storm`. Owns the stack and
 * its folder. Leads are made by SQL: how they come in is another bench.
 */
export interface LaunchOptions {
  readonly devices: number;
  readonly leads: number;
  /** leads a second that a node looks at (ENROL_PER_SECOND) */
  readonly enrolPerSecond: number;
  /** go on watching so long after all are enrolled */
  readonly watchMs: number;
  /** false: no second ledger for comparison */
  readonly eager: boolean;
  readonly say: (line: string) => void;
  readonly progress: (at: Progress) => void;
}
export interface Progress {
  readonly sinceMs: number;
  readonly enrolled: number;
  readonly leads: number;
  readonly sent: number;
  readonly redisMb: number;
}
export interface Launched {
  readonly acceptedMs: number;
  readonly firstSendMs: number | null;
  readonly allEnrolledMs: number | null;
  readonly enrolled: number;
  readonly sent: number;
  readonly redisPeakMb: number;
  /** of the node that grew most */
  readonly heapGrowthMb: number;
  readonly usedMb: number;
  /** a ledger with every message made up front, from a 33rd of the leads */
  readonly eagerMb: number | null;
}

export const STEPS = 11;
const EAGER_PART = 33;
const LEADS_CHUNK = 250_000;
const LOOK_MS = 250;
const READY_MS = 180_000;
const GIVE_UP_MS = 300_000;
const MB = 1024 * 1024;

const asset = (name: string): string => readAsset(import.meta.url, `./${name}.sql`);
const MAKE_LEADS = asset('make-leads');
const EAGER_TABLE = asset('eager-table');
const EAGER_ROWS = asset('eager-rows');
const SIZES = asset('sizes');
const PROGRESS = asset('progress');

interface World {
  readonly clock: Clock;
  readonly stack: Stack;
  readonly api: Api;
  readonly sql: Sql;
  readonly redis: Redis;
  readonly heap: HeapProbe;
  readonly arrivals: string;
  readonly options: LaunchOptions;
}

async function fill({ clock, stack, api, sql, options }: World): Promise<void> {
  await ensureDevices(api, options.devices, { paceMinMs: 5000, paceMaxMs: 15_000 });
  options.say(`${options.devices} devices made`);
  const [tenant] = await sql.unsafe<{ id: string }[]>('select id from tenants order by created_at limit 1');
  for (let from = 0; from < options.leads; from += LEADS_CHUNK)
    await sql.unsafe(MAKE_LEADS, [tenant?.id ?? '', from, Math.min(options.leads, from + LEADS_CHUNK) - 1]);
  await sql.unsafe('analyze leads');
  options.say(`${options.leads} leads made`);
  const connected = async (): Promise<number> =>
    (await patiently(clock, () => ask<{ fleet: { connected: number } }>(api, '{ fleet { connected } }'))).fleet.connected;
  for (const end = clock.monotonic() + READY_MS; (await connected()) < options.devices; await clock.sleep(200))
    if (clock.monotonic() > end) throw new Error(`not all devices are connected after ${READY_MS / 1000} s`);
  options.say(`${options.devices} devices connected on ${stack.nodes.length} nodes`);
}

/** The first line of the phones' file. @returns wall ms, or null while there is none */
function firstArrival(path: string): number | null {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(4096);
    const text = bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0));
    const end = text.indexOf('\n');
    return end < 0 ? null : (JSON.parse(text.slice(0, end)) as Arrival).at;
  } finally {
    closeSync(file);
  }
}

/** Asked twice it makes two versions, of which the last is started. */
async function makeSequence(api: Api): Promise<{ readonly id: string; readonly answerMs: (clock: Clock) => Promise<number> }> {
  const steps = Array.from(
    { length: STEPS },
    (_, n) => `{delayMs: ${n * 86_400_000}, template: "Hi {{first_name|there}}, this is part ${n + 1}."}`,
  );
  const made = await ask<{ createSequence: { sequence: { id: string } | null; errors: readonly unknown[] } }>(
    api,
    `mutation { createSequence(input: {name: "storm", audience: {}, steps: [${steps.join(', ')}]}) { sequence { id } errors { code message } } }`,
  );
  const id = made.createSequence.sequence?.id;
  if (id === undefined) throw new Error(JSON.stringify(made));
  return {
    id,
    async answerMs(clock) {
      const from = clock.monotonic();
      await patiently(clock, () =>
        ask(api, `mutation { startSequence(input: {id: "${id}"}) { sequence { state } errors { code message } } }`),
      );
      return clock.monotonic() - from;
    },
  };
}

const redisMb = async (redis: Redis): Promise<number> => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1] ?? 0) / MB;
const heaps = ({ clock, stack, heap }: World): Promise<readonly number[]> => Promise.all(stack.nodes.map((node) => heap.used(clock, node)));

async function watch(
  world: World,
  flowNo: number,
  acceptedMs: number,
): Promise<Omit<Launched, 'acceptedMs' | 'heapGrowthMb' | 'usedMb' | 'eagerMb'>> {
  const { clock, sql, redis, options, arrivals } = world;
  // the answer has come: it was asked for that much earlier
  const began = clock.monotonic() - acceptedMs;
  const beganWall = clock.wall() - acceptedMs;
  let peak = 0;
  let firstSendMs: number | null = null;
  let allEnrolledMs: number | null = null;
  for (;;) {
    const since = clock.monotonic() - began;
    const [row] = await sql.unsafe<{ enrolled: number; enrolling: boolean; ended: number }[]>(PROGRESS, [flowNo]);
    const now = await redisMb(redis);
    peak = Math.max(peak, now);
    const first = firstSendMs === null ? firstArrival(arrivals) : null;
    if (first !== null) firstSendMs = Math.max(0, first - beganWall);
    const [enrolled, sent] = [row?.enrolled ?? 0, row?.ended ?? 0];
    if (row?.enrolling === false && allEnrolledMs === null) allEnrolledMs = clock.monotonic() - began;
    options.progress({ sinceMs: since, enrolled, leads: options.leads, sent, redisMb: now });
    const over = allEnrolledMs !== null && since > allEnrolledMs + options.watchMs;
    if (over || since > GIVE_UP_MS) return { firstSendMs, allEnrolledMs, enrolled, sent, redisPeakMb: peak };
    await clock.sleep(LOOK_MS);
  }
}

async function eagerMb({ sql, options }: World, flowNo: number): Promise<number> {
  const part = Math.max(1, Math.floor(options.leads / EAGER_PART));
  options.say(`the other way: ${part * STEPS} messages made up front, a ${EAGER_PART}rd of them all`);
  await sql.unsafe(EAGER_TABLE);
  await sql.unsafe(EAGER_ROWS, [flowNo, part]);
  const [sizes] = await sql.unsafe<{ eager: number }[]>(SIZES);
  return ((sizes?.eager ?? 0) / MB) * (options.leads / part);
}

async function play(world: World): Promise<Launched> {
  const { clock, api, sql, options } = world;
  await fill(world);
  const sequence = await patiently(clock, () => makeSequence(api));
  const [flow] = await sql.unsafe<{ no: number }[]>('select no from flows where id = $1', [sequence.id.slice(-36)]);
  const flowNo = flow?.no ?? 0;
  const [before] = await sql.unsafe<{ used: number }[]>(SIZES);
  const heapBefore = await heaps(world);
  options.say('the launch');
  const acceptedMs = await sequence.answerMs(clock);
  const seen = await watch(world, flowNo, acceptedMs);
  const heapAfter = await heaps(world);
  const heapGrowthMb = Math.max(...heapAfter.map((bytes, n) => (bytes - (heapBefore[n] ?? 0)) / MB));
  const [after] = await sql.unsafe<{ used: number }[]>(SIZES);
  const usedMb = ((after?.used ?? 0) - (before?.used ?? 0)) / MB;
  return { ...seen, acceptedMs, heapGrowthMb, usedMb, eagerMb: options.eager ? await eagerMb(world, flowNo) : null };
}

export async function launch(clock: Clock, options: LaunchOptions): Promise<Launched> {
  const work = mkdtempSync(join(tmpdir(), 'flotilla-launch-'));
  const heap = createHeapProbe(work);
  const arrivals = join(work, 'arrivals.ndjson');
  const stack = await startStack({
    dataDir: join(work, 'data'),
    nodes: 2,
    gateways: 1,
    phones: { arrivals },
    durable: true,
    env: { PACING: 'on', ENROL_PER_SECOND: String(options.enrolPerSecond) },
    envOf: (name) => (name.startsWith('node-') ? heap.env : {}),
  });
  const sql = connectPostgres(stack.databaseUrl, { applicationName: 'launch', max: 1, statementTimeoutMs: 0, planner: 'general' });
  const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'launch' });
  try {
    await redisReady(redis);
    const api = { url: stack.gateways[0]?.url ?? '', key: stack.adminKey };
    return await play({ clock, stack, api, sql, redis, heap, arrivals, options });
  } finally {
    redis.disconnect();
    await sql.end({ timeout: 5 });
    await stack.stop();
    rmSync(work, { recursive: true, force: true });
  }
}
