import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quantile, readArrivals } from '../../../actors/testing/checker/index.ts';
import { controlPhones } from '../../../actors/transports/simulator/index.ts';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import { type Figure, table } from '../../../ops/report/index.ts';
import { type Stack, startStack } from '../../../ops/start/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { NODE_ENV } from '../drain/ours.ts';
import type { Job } from '../drain/queue.ts';
import { BULLMQ } from '../drain/queues.ts';
import { faultless, judge } from '../judge.ts';
import type { Bench } from '../main.ts';
import { between, spent } from '../spent.ts';
import { type Addresses, afterwards, emptyStores, type Servers } from '../stores.ts';
import { type Arm, bullArm, makeDevices, oursArm } from './arms.ts';

/**
 * `npm run bench -- accept [--messages N --devices N --rounds N]`: how long a message waits from the call that accepts it until its work starts, when
 * nothing else is to be done: one message each 3 ms, the next device each time. Ours and BullMQ in turns on the same servers (Postgres with fsync,
 * Redis with appendfsync always), the producer in this process, the worker in one of its own. Ours commits to Postgres twice in that time, BullMQ
 * to Redis alone. Not measured: HTTP, GraphQL.
 */
const GAP_MS = 3;
/** first messages of an arm that are not counted: code is compiled, plans are made */
const WARM = 500;
const READY_MS = 120_000;
const SETTLE_MS = 3000;
/** a run beside other work is void: percent of all processors that it took. Guess. */
const OTHERS = 20;
const BODY = 'Hello! This is a simulated message of a bench, as long as a message to a customer would be. '.padEnd(160, 'x');

interface Sizes {
  readonly messages: number;
  readonly devices: number;
  readonly rounds: number;
}
interface Measured {
  readonly startP50: number;
  readonly startP99: number;
  readonly startMax: number;
  readonly acceptedP99: number;
  readonly phoneP99: number;
  readonly faults: number;
  readonly othersPercent: number;
}

/** Sends one job each GAP_MS by the clock, however long the ones before take. */
async function offer(arm: Arm, jobs: readonly Job[]) {
  const called = new Map<string, { readonly at: number; readonly wall: number }>();
  const accepted: number[] = [];
  const from = clock.monotonic() + GAP_MS;
  const under: Promise<void>[] = [];
  for (const [n, job] of jobs.entries()) {
    const left = from + n * GAP_MS - clock.monotonic();
    if (left > 0) await clock.sleep(left);
    const at = clock.monotonic();
    called.set(job.id, { at, wall: clock.wall() });
    under.push(arm.add(job).then(() => void accepted.push(clock.monotonic() - at)));
  }
  await Promise.all(under);
  return { called, accepted };
}

const ms = (value: number | null | undefined): number => Math.round((value ?? Number.NaN) * 100) / 100;
const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

async function measured(
  arm: Arm,
  jobs: readonly Job[],
  arrivals: string,
  phones: { figures(): Promise<{ readonly arrivals: number }> },
  servers: Servers,
): Promise<Measured> {
  // our own children are the worker, the phones and Redis; Postgres has children of its own
  const roots = { bench: process.pid, postgres: servers.postgresPid };
  const before = spent(roots);
  const began = clock.monotonic();
  const { called, accepted } = await offer(arm, jobs);
  const tookMs = clock.monotonic() - began;
  const after = spent(roots);
  for (const end = clock.monotonic() + READY_MS; (await phones.figures()).arrivals < jobs.length; await clock.sleep(50))
    if (clock.monotonic() > end) throw new Error('not every message came to its phone');
  const counted = new Set(jobs.slice(WARM).map(({ id }) => id));
  const starts = await arm.starts();
  const toStart = sorted([...counted].map((id) => (starts.get(id) ?? Number.NaN) - (called.get(id)?.at ?? Number.NaN)));
  const toPhone: number[] = [];
  const seen: { readonly id: string; readonly device: string }[] = [];
  for await (const arrival of readArrivals(arrivals)) {
    seen.push(arrival);
    if (counted.has(arrival.id)) toPhone.push(arrival.at - (called.get(arrival.id)?.wall ?? Number.NaN));
  }
  const judgement = await judge(jobs, seen);
  return {
    startP50: ms(quantile(toStart, 0.5)),
    startP99: ms(quantile(toStart, 0.99)),
    startMax: ms(toStart.at(-1)),
    acceptedP99: ms(quantile(sorted(accepted.slice(WARM)), 0.99)),
    phoneP99: ms(quantile(sorted(toPhone), 0.99)),
    faults: faultless(judgement) ? 0 : 1,
    othersPercent: between(before, after, tookMs, jobs.length).othersPercent,
  };
}

async function play(ours: boolean, servers: Servers, { messages, devices }: Sizes, folder: string, name: string): Promise<Measured> {
  mkdirSync(folder, { recursive: true });
  const addresses: Addresses = await emptyStores(servers, name);
  const ids = Array.from({ length: devices }, () => uuidV7(clock.wall()));
  const jobs = Array.from(
    { length: WARM + messages },
    (_, n): Job => ({
      id: uuidV7(clock.wall()),
      device: ids[n % devices] ?? '',
      to: `+1415${5_550_000 + (n % 10_000)}`,
      body: BODY,
    }),
  );
  const arrivals = join(folder, 'arrivals.ndjson');
  const options = { dataDir: join(folder, 'data'), gateways: 0, ...addresses, env: NODE_ENV };
  let tenantId = '';
  if (ours) {
    const schema = await startStack({ ...options, nodes: 0, phones: false });
    await schema.stop();
    tenantId = await makeDevices(addresses, ids);
  }
  const phoneArgs = { arrivals, args: ['--latency', '0-0', '--receipts', 'off'] };
  const stack: Stack = await startStack({ ...options, nodes: ours ? 1 : 0, phones: phoneArgs });
  const port = stack.phones?.port ?? 0;
  const phones = await controlPhones(`tcp://127.0.0.1:${port}`);
  let arm: Arm | undefined;
  try {
    const wanted = ours ? devices : 0;
    for (const end = clock.monotonic() + READY_MS; (await phones.figures()).devices < wanted; await clock.sleep(100))
      if (clock.monotonic() > end) throw new Error('not every device is connected');
    arm = ours ? await oursArm(addresses, tenantId) : await bullArm(addresses, port, devices);
    await clock.sleep(SETTLE_MS);
    return await measured(arm, jobs, arrivals, phones, servers);
  } finally {
    phones.close();
    await arm?.close();
    await stack.stop();
    await afterwards(servers, `drop database ${name} with (force)`);
    await afterwards(servers, 'checkpoint');
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @throws Error for sizes that are none */
export function sizesOf(parts: readonly string[]): Sizes {
  const of = (name: string, fallback: number): number => {
    const at = parts.indexOf(name);
    const value = at < 0 ? fallback : Number(parts[at + 1]);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: expected a whole number from 1, got "${parts[at + 1] ?? ''}"`);
    return value;
  };
  return { messages: of('messages', 2000), devices: of('devices', 3000), rounds: of('rounds', 5) };
}

const median = (values: readonly number[]): number => ms(quantile(sorted(values), 0.5));

/** Figures, targets and whether all of them hold: the medians of the rounds and of their ratios. */
export function judged(rounds: readonly { readonly ours: Measured; readonly bull: Measured }[]) {
  const all = rounds.flatMap(({ ours, bull }) => [ours, bull]);
  const of = (pick: (round: (typeof rounds)[number]) => number): number => median(rounds.map(pick));
  const ratio = of(({ ours, bull }) => ours.startP99 / bull.startP99);
  const figures: Record<string, Figure> = {
    'ours: start ms p50': of(({ ours }) => ours.startP50),
    'ours: start ms p99': of(({ ours }) => ours.startP99),
    'ours: accepted ms p99': of(({ ours }) => ours.acceptedP99),
    'ours: at the phone ms p99': of(({ ours }) => ours.phoneP99),
    'BullMQ: start ms p50': of(({ bull }) => bull.startP50),
    'BullMQ: start ms p99': of(({ bull }) => bull.startP99),
    'BullMQ: accepted ms p99': of(({ bull }) => bull.acceptedP99),
    'BullMQ: at the phone ms p99': of(({ bull }) => bull.phoneP99),
    'p50 to BullMQ': of(({ ours, bull }) => ours.startP50 / bull.startP50),
    'p99 to BullMQ': ratio,
    wrongRuns: all.reduce((sum, { faults }) => sum + faults, 0),
    othersPercent: Math.max(...all.map(({ othersPercent }) => othersPercent)),
  };
  const ok = ratio <= 1 && figures['wrongRuns'] === 0 && Number(figures['othersPercent']) <= OTHERS;
  return { name: 'accept', ok, figures, targets: { 'p99 to BullMQ': '<= 1', wrongRuns: 0, othersPercent: `<= ${OTHERS}` } };
}

const HEAD = ['round', 'arm', 'start p50', 'start p99', 'start max', 'accepted p99', 'phone p99', 'faults', 'others %'];

export const accept: Bench = async (say, parts) => {
  const sizes = sizesOf(parts);
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-accept-'));
  const stack = await startStack({ dataDir: join(folder, 'servers'), nodes: 0, gateways: 0, phones: false, durable: true });
  const servers: Servers = {
    redisUrl: stack.redisUrl,
    databaseUrl: stack.databaseUrl,
    redisPid: stack.redis?.pid ?? 0,
    postgresPid: stack.postgres?.pid ?? 0,
  };
  const rounds: { ours: Measured; bull: Measured }[] = [];
  const rows: Figure[][] = [HEAD];
  const one = async (round: number, ours: boolean): Promise<Measured> => {
    const result = await play(ours, servers, sizes, join(folder, `${round}-${ours}`), `accept_${round}_${ours ? 'ours' : 'bull'}`);
    const { startP50, startP99, startMax, acceptedP99, phoneP99, faults, othersPercent } = result;
    const row = [round, ours ? 'ours' : 'BullMQ', startP50, startP99, startMax, acceptedP99, phoneP99, faults, othersPercent];
    rows.push(row);
    say(row.map((value, at) => `${HEAD[at]} ${value}`).join(' · '));
    return result;
  };
  try {
    for (let round = 1; round <= sizes.rounds; round++) {
      const first = await one(round, round % 2 === 1);
      const second = await one(round, round % 2 === 0);
      rounds.push(round % 2 === 1 ? { ours: first, bull: second } : { ours: second, bull: first });
    }
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  say(table(rows));
  return {
    ...judged(rounds),
    rows,
    notes: {
      [BULLMQ.name]: `${BULLMQ.version}: ${BULLMQ.settings}`,
      start: 'ms from the call to the start of the work. Ours: the intent in the ledger. BullMQ: the call of its processor',
      'others %': 'of all processors of the machine, taken by processes that are no part of the run',
    },
    command: `npm run bench -- accept --messages ${sizes.messages} --devices ${sizes.devices} --rounds ${sizes.rounds}`,
  };
};
