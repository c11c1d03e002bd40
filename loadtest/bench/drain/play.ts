import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArrivals } from '../../../actors/testing/checker/index.ts';
import { type Arrival, controlPhones } from '../../../actors/transports/simulator/index.ts';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import { createGuardian, type Stack, type StackOptions, startStack } from '../../../ops/start/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { type Judgement, judge } from '../judge.ts';
import { between, type Spent, spent } from '../spent.ts';
import { type Addresses, afterwards, emptyStores, type Servers } from '../stores.ts';
import { fillOurs, NODE_ENV, watchOurs } from './ours.ts';
import type { Job, Queue, Sizes } from './queue.ts';

/**
 * Plays one drain: an empty data base and an empty Redis on the servers given, jobs, phones, one worker process (ours: one node), and the clock from
 * the first arrival at a phone until the store holds no open job. Owns the phones, the worker and the data base; not the servers.
 */
export interface Played extends Judgement {
  readonly perSecond: number;
  /** ours: messages that the ledger says were sent, at the first attempt */
  readonly ledgerSent: number | null;
  readonly cpuUs: Readonly<Record<string, number>>;
  readonly othersPercent: number;
}

/** A drain that makes no progress for this long has failed. */
const STANDSTILL_MS = 60_000;
const LOOK_MS = 20;
/** 160 letters, as a short message has */
const BODY = 'Hello! This is a simulated message of a bench, as long as a message to a customer would be. '.padEnd(160, 'x');

interface Work {
  readonly pid: number;
  left(): Promise<number>;
  go(): Promise<void>;
  ledgerSent(): Promise<number | null>;
  close(): Promise<void>;
}

/** Jobs in turns: the first of every device, then the second of every device. */
function jobsOf({ messages }: Sizes, devices: readonly string[]): Job[] {
  return Array.from({ length: messages }, (_, n) => ({
    id: uuidV7(clock.wall()),
    device: devices[n % devices.length] ?? '',
    to: `+1415${String(5_550_000 + (n % 10_000))}`,
    body: BODY,
  }));
}

async function playOurs(
  addresses: Addresses,
  stack: (more: Partial<StackOptions>) => Promise<Stack>,
  sizes: Sizes,
  devices: readonly string[],
  jobs: readonly Job[],
) {
  const schema = await stack({ phones: false });
  await schema.stop();
  await fillOurs(addresses, devices, jobs);
  const running = await stack({ nodes: 1 });
  const watch = await watchOurs(addresses, jobs.length);
  const work: Work = {
    pid: running.nodes[0]?.pid ?? 0,
    left: () => watch.left(),
    async go() {
      await watch.standing(devices, Math.floor(sizes.messages / sizes.devices));
      await watch.go(devices);
    },
    ledgerSent: () => watch.sent(),
    close: () => watch.close(),
  };
  return { running, work };
}

async function playQueue(
  queue: Queue,
  addresses: Addresses,
  stack: (more: Partial<StackOptions>) => Promise<Stack>,
  sizes: Sizes,
  jobs: readonly Job[],
) {
  await queue.fill(addresses, jobs);
  const running = await stack({});
  const open = await queue.open(addresses);
  const guardian = createGuardian();
  const env = {
    ...process.env,
    REDIS_URL: addresses.redisUrl,
    DATABASE_URL: addresses.databaseUrl,
    SIMULATOR_URL: `tcp://127.0.0.1:${running.phones?.port ?? 0}`,
  };
  const entry = fileURLToPath(new URL('./worker-main.js', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [entry, queue.name, String(sizes.messages), String(sizes.devices)], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env,
  });
  const exited = new Promise((done) => child.once('exit', done));
  if (child.pid !== undefined) guardian.watch(child.pid, 'app', 'SIGTERM');
  const work: Work = {
    pid: child.pid ?? 0,
    left: () => open.left(),
    go: async () => {},
    ledgerSent: async () => null,
    async close() {
      child.kill('SIGKILL');
      await exited;
      guardian.close();
      await open.close();
    },
  };
  return { running, work };
}

/** @param queue undefined: ours. @throws Error when the drain stands still */
export async function play(queue: Queue | undefined, servers: Servers, sizes: Sizes, folder: string, name: string): Promise<Played> {
  mkdirSync(folder, { recursive: true });
  const addresses = await emptyStores(servers, name);
  const arrivals = join(folder, 'arrivals.ndjson');
  const stack = (more: Partial<StackOptions>): Promise<Stack> =>
    startStack({
      dataDir: join(folder, 'data'),
      nodes: 0,
      gateways: 0,
      redisUrl: addresses.redisUrl,
      databaseUrl: addresses.databaseUrl,
      env: NODE_ENV,
      phones: { arrivals, args: ['--latency', '0-0', '--receipts', 'off'] },
      ...more,
    });
  const devices = Array.from({ length: sizes.devices }, () => uuidV7(clock.wall()));
  const jobs = jobsOf(sizes, devices);
  const { running, work } =
    queue === undefined ? await playOurs(addresses, stack, sizes, devices, jobs) : await playQueue(queue, addresses, stack, sizes, jobs);
  try {
    const roots = { worker: work.pid, phones: running.phones?.pid ?? 0, postgres: servers.postgresPid, redis: servers.redisPid };
    const { startedAt, endedAt, before, after } = await measure(work, running, roots, jobs.length);
    const ledgerSent = await work.ledgerSent();
    let first = Number.POSITIVE_INFINITY;
    async function* noted(): AsyncIterable<Arrival> {
      for await (const arrival of readArrivals(arrivals)) {
        first = Math.min(first, arrival.at);
        yield arrival;
      }
    }
    const judgement = await judge(jobs, noted());
    const ms = endedAt - first;
    const { us, othersPercent } = between(before, after, endedAt - startedAt, jobs.length);
    return { ...judgement, perSecond: Math.round((jobs.length * 1000) / ms), ledgerSent, cpuUs: us, othersPercent };
  } finally {
    await work.close();
    await running.stop();
    await afterwards(servers, `drop database ${name} with (force)`);
    await afterwards(servers, 'checkpoint');
  }
}

async function measure(
  work: Work,
  running: Stack,
  roots: Readonly<Record<string, number>>,
  count: number,
): Promise<{ startedAt: number; endedAt: number; before: Spent; after: Spent }> {
  const phones = await controlPhones(`tcp://127.0.0.1:${running.phones?.port ?? 0}`);
  try {
    const going = work.go();
    let arrived = 0;
    let before = spent(roots);
    let startedAt = clock.wall();
    for (let moved = clock.monotonic(); arrived < count; await clock.sleep(LOOK_MS)) {
      const figures = await phones.figures();
      if (figures.arrivals === 0) {
        before = spent(roots);
        startedAt = clock.wall();
      }
      if (figures.arrivals > arrived) moved = clock.monotonic();
      else if (clock.monotonic() - moved > STANDSTILL_MS) throw new Error(`no message for ${STANDSTILL_MS / 1000} s after ${arrived}`);
      arrived = figures.arrivals;
    }
    await going;
    const began = clock.monotonic();
    while ((await work.left()) > 0) {
      if (clock.monotonic() - began > STANDSTILL_MS) throw new Error(`${await work.left()} jobs are left though all have arrived`);
      await clock.sleep(LOOK_MS);
    }
    return { startedAt, endedAt: clock.wall(), before, after: spent(roots) };
  } finally {
    phones.close();
  }
}
