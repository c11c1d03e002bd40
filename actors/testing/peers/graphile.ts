import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import type { Job, Peer } from './peer.ts';

/** graphile-worker: one named queue per device, of which it works one job at a time. */
const TASK = 'send';
const CONCURRENCY = 50;
const POOL = 10;
/** It says what it does on the console; here only what ends a worker counts. */
const logger = new Logger(() => () => {});
const LEFT = 'select count(*)::int as jobs from graphile_worker.jobs where attempts < max_attempts';
const FAILED = 'select count(*)::int as jobs from graphile_worker.jobs where attempts >= max_attempts and locked_at is null';

export const GRAPHILE_WORKER: Peer = {
  name: 'graphile-worker',
  version: '0.18.0',
  settings: `Postgres with fsync; a named queue per device for order; concurrency ${CONCURRENCY} and a pool of ${POOL} per worker; no local queue and no batched completion, which trade more jobs held by a dead worker for speed; 25 attempts as shipped; jobs of a worker that died stay locked for 4 hours unless an operator unlocks them, which nobody does here`,
  lockMs: null,
  store: 'postgres',
  async prepare({ databaseUrl }) {
    const utils = await makeWorkerUtils({ connectionString: databaseUrl, logger });
    await utils.migrate();
    await utils.release();
  },
  async produce({ databaseUrl }) {
    const utils = await makeWorkerUtils({ connectionString: databaseUrl, maxPoolSize: POOL, logger });
    const count = async (text: string): Promise<number> => {
      const { rows } = await utils.withPgClient((client) => client.query<{ jobs: number }>(text));
      return rows[0]?.jobs ?? 0;
    };
    return {
      add: async (job) => void (await utils.addJob(TASK, job, { queueName: job.device })),
      left: () => count(LEFT),
      failed: () => count(FAILED),
      close: async () => void (await utils.release()),
    };
  },
  async work({ databaseUrl }, _worker, send) {
    const runner = await run({
      connectionString: databaseUrl,
      maxPoolSize: POOL,
      logger,
      concurrency: CONCURRENCY,
      pollInterval: 1000,
      noHandleSignals: true,
      taskList: { [TASK]: (payload, { job }) => send(payload as Job, job.attempts) },
    });
    // it ends when Postgres goes away for too long; the process then ends, and what looks after it starts it again
    runner.promise.catch(() => process.exit(1));
    return { close: () => runner.stop() };
  },
};
