import { Queue as BullQueue, Worker } from 'bullmq';
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { PgBoss } from 'pg-boss';
import { connectPostgres } from '../../../ops/connect/index.ts';
import type { Addresses } from '../stores.ts';
import { chunks, type Job, type Queue, together } from './queue.ts';

const NAME = 'send';

/** Counts open jobs by a statement. */
async function counting({ databaseUrl }: Addresses, text: string) {
  const sql = connectPostgres(databaseUrl, { applicationName: 'bench-count', max: 1, planner: 'general' });
  return {
    left: async () => Number((await sql.unsafe<{ jobs: number }[]>(text))[0]?.jobs ?? Number.NaN),
    close: () => sql.end({ timeout: 2 }),
  };
}

const LOCAL_QUEUE = 500;
const POOL = 10;
/** it says what it does on the console */
const logger = new Logger(() => () => {});

export const GRAPHILE: Queue = {
  name: 'graphile-worker',
  version: '0.18.0',
  settings: `a named queue per device, which keeps order; local queue of ${LOCAL_QUEUE}, completion in batches (completeJobBatchDelay 0), ${LOCAL_QUEUE} jobs at once, pool of ${POOL}`,
  async fill({ databaseUrl }, jobs) {
    const utils = await makeWorkerUtils({ connectionString: databaseUrl, maxPoolSize: POOL, logger });
    await utils.migrate();
    for (const chunk of chunks(jobs)) {
      await utils.addJobs(chunk.map((job) => ({ identifier: NAME, payload: job, queueName: job.device })));
    }
    await utils.release();
  },
  async work({ databaseUrl }, _sizes, send) {
    await run({
      noHandleSignals: true,
      taskList: { [NAME]: (payload) => send(payload as Job) },
      preset: {
        worker: {
          connectionString: databaseUrl,
          maxPoolSize: POOL,
          concurrentJobs: LOCAL_QUEUE,
          pollInterval: 1000,
          localQueue: { size: LOCAL_QUEUE },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
          logger,
        },
      },
    });
  },
  open: (addresses) => counting(addresses, 'select count(*)::int as jobs from graphile_worker.jobs'),
};

const BATCH = 100;
const BOSS_WORKERS = 4;

export const PG_BOSS: Queue = {
  name: 'pg-boss',
  version: '12.27.0',
  settings: `${BOSS_WORKERS} workers that take ${BATCH} jobs at a time and go on at once (burstWhenBatchFull), pool of ${POOL}; it keeps no order by itself: jobs stand in turns, one of each device`,
  async fill({ databaseUrl }, jobs) {
    const boss = new PgBoss({ connectionString: databaseUrl, max: POOL, supervise: false, schedule: false });
    await boss.start();
    await boss.createQueue(NAME);
    for (const chunk of chunks(jobs))
      await boss.insert(
        NAME,
        chunk.map((job) => ({ data: job })),
      );
    await boss.stop({ graceful: false });
  },
  async work({ databaseUrl }, sizes, send) {
    const boss = new PgBoss({ connectionString: databaseUrl, max: POOL, schedule: false });
    await boss.start();
    const batchSize = together(BATCH, sizes);
    const localConcurrency = Math.min(BOSS_WORKERS, Math.max(1, Math.floor(together(BATCH * BOSS_WORKERS, sizes) / batchSize)));
    await boss.work<Job>(NAME, { batchSize, localConcurrency, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }, async (jobs) => {
      await Promise.all(jobs.map(({ data }) => send(data)));
    });
  },
  open: (addresses) => counting(addresses, `select count(*)::int as jobs from pgboss.job where name = '${NAME}' and state < 'completed'`),
};

const BULL_JOBS = 100;

function connectionOf({ redisUrl }: Addresses) {
  const { hostname, port, password } = new URL(redisUrl);
  return { host: hostname, port: Number(port), password: decodeURIComponent(password), maxRetriesPerRequest: null };
}

export const BULLMQ: Queue = {
  name: 'BullMQ',
  version: '6.7.0',
  settings: `one queue, ${BULL_JOBS} jobs at once, completed jobs removed; no order per device (its Groups are not part of the open version): jobs stand in turns, one of each device`,
  async fill(addresses, jobs) {
    const queue = new BullQueue<Job>(NAME, { connection: connectionOf(addresses) });
    for (const chunk of chunks(jobs)) {
      await queue.addBulk(chunk.map((job) => ({ name: NAME, data: job, opts: { jobId: job.id, removeOnComplete: true } })));
    }
    await queue.close();
  },
  async work(addresses, sizes, send) {
    const worker = new Worker<Job>(NAME, ({ data }) => send(data), {
      connection: connectionOf(addresses),
      concurrency: together(BULL_JOBS, sizes),
    });
    await worker.waitUntilReady();
  },
  async open(addresses) {
    const queue = new BullQueue(NAME, { connection: connectionOf(addresses) });
    return {
      left: () => queue.getJobCountByTypes('wait', 'active', 'delayed', 'prioritized'),
      close: () => queue.close(),
    };
  },
};

/** Adds jobs to BullMQ one by one. */
export function bullProducer(addresses: Addresses): { add(job: Job): Promise<unknown>; close(): Promise<void> } {
  const queue = new BullQueue<Job>(NAME, { connection: connectionOf(addresses) });
  return {
    add: (job) => queue.add(NAME, job, { jobId: job.id, removeOnComplete: true }),
    close: () => queue.close(),
  };
}

export const QUEUES: readonly Queue[] = [GRAPHILE, BULLMQ, PG_BOSS];

/** @throws Error when there is none of that name */
export function queueNamed(name: string): Queue {
  const found = QUEUES.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no queue ${name}`);
  return found;
}
