import { fork } from 'node:child_process';
import { join } from 'node:path';
import { createLive } from '../../../actors/live/index.ts';
import { createEnqueuer } from '../../../actors/mailbox/index.ts';
import { ACCEPT_DEFAULTS, createAccept } from '../../../gateway/accept/index.ts';
import { connectPostgres, connectRedis, redisReady, type Sql } from '../../../ops/connect/index.ts';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../../ops/telemetry/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { accept as commit, createDevices, createTenant } from '../../../schema/sql/index.ts';
import { NODE_ENV } from '../drain/ours.ts';
import { chunks, type Job } from '../drain/queue.ts';
import { BULLMQ, bullProducer } from '../drain/queues.ts';
import { plainText } from '../plain-text.ts';
import type { Addresses } from '../stores.ts';
import type { Told } from './worker-main.ts';

/** One way from accepting a job to the start of its work. Times are this process's monotonic ms. */
export interface Arm {
  /** resolves when the job is stored as this arm promises it */
  add(job: Job): Promise<void>;
  /** when the work of each job started, by job id */
  starts(): Promise<ReadonlyMap<string, number>>;
  close(): Promise<void>;
}

const PINGS = 100;

/** What to add to another clock to get ours, from the quickest of many questions: right to half of that round trip. */
async function offsetOf(ask: () => Promise<number>): Promise<number> {
  let best = { took: Number.POSITIVE_INFINITY, offset: 0 };
  for (let n = 0; n < PINGS; n++) {
    const before = clock.monotonic();
    const at = await ask();
    const took = clock.monotonic() - before;
    if (took < best.took) best = { took, offset: before + took / 2 - at };
  }
  return best.offset;
}

/** Makes the devices of our arm, without pace. @returns their tenant */
export async function makeDevices({ databaseUrl }: Addresses, devices: readonly string[]): Promise<string> {
  const sql = connectPostgres(databaseUrl, { applicationName: 'bench-fill', max: 1 });
  const tenantId = uuidV7(clock.wall());
  await createTenant(sql, { id: tenantId, name: 'bench' });
  for (const chunk of chunks(devices)) {
    const rows = chunk.map((id) => ({ id, tenantId, name: id, transport: 'simulator' as const, paceMinMs: 0, paceMaxMs: 0 }));
    await createDevices(sql, rows);
  }
  await sql.end({ timeout: 2 });
  return tenantId;
}

/** when Postgres took each intent, by our clock */
async function intents(sql: Sql): Promise<Map<string, number>> {
  const ask = 'select extract(epoch from clock_timestamp())::float8 * 1000 as at';
  const offset = await offsetOf(async () => (await sql.unsafe<{ at: number }[]>(ask, [], { prepare: true }))[0]?.at ?? Number.NaN);
  const rows = await sql.unsafe<{ id: string; at: number }[]>(
    'select id, extract(epoch from intent_at)::float8 * 1000 as at from messages where intent_at is not null',
  );
  return new Map(rows.map(({ id, at }) => [id, at + offset]));
}

/**
 * Ours: the gateway's own accept (ledger, mailbox, live state) in this process, as BullMQ's producer is, and a node. The work starts when the
 * ledger has taken the node's intent to send: later than the first step of the actor, and in the ledger to the microsecond.
 */
export async function oursArm(addresses: Addresses, tenantId: string): Promise<Arm> {
  const telemetry = createTelemetry({ service: 'test', instance: 'bench', level: 'error', samplePercent: 0 });
  const sql = connectPostgres(addresses.databaseUrl, { applicationName: 'bench-accept', max: ACCEPT_DEFAULTS.maxInFlight, plans: 'once' });
  const redis = connectRedis(addresses.redisUrl, { role: 'mailbox', name: 'bench' });
  await redisReady(redis);
  const live = createLive({ redis, clock, telemetry });
  const enqueuer = createEnqueuer({ redis, telemetry }, { window: Number(NODE_ENV.MAILBOX_WINDOW) });
  const accept = createAccept({ commit: (items) => commit(sql, items), enqueuer, live, clock, telemetry });
  return {
    async add({ id, device, to, body }) {
      const outcome = await accept.send(plainText({ id, tenantId, deviceId: device, recipient: to, body }));
      if (outcome.kind !== 'accepted') throw new Error(`accept: ${JSON.stringify(outcome)}`);
    },
    starts: () => intents(sql),
    async close() {
      await live.close();
      redis.disconnect();
      await sql.end({ timeout: 2 });
    },
  };
}

/** BullMQ: its producer in this process, its worker in another. The work starts when its processor is called. */
export async function bullArm(addresses: Addresses, phonesPort: number, devices: number): Promise<Arm & { readonly settings: string }> {
  const env = {
    ...process.env,
    REDIS_URL: addresses.redisUrl,
    DATABASE_URL: addresses.databaseUrl,
    SIMULATOR_URL: `tcp://127.0.0.1:${phonesPort}`,
  };
  const worker = fork(join(import.meta.dirname, 'worker-main.js'), [String(devices)], { env });
  const heard = <K extends Told['kind']>(kind: K): Promise<Extract<Told, { kind: K }>> =>
    new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error('the worker ended'));
      const listen = (told: Told): void => {
        if (told.kind !== kind) return;
        worker.off('message', listen);
        worker.off('exit', ended);
        resolve(told as Extract<Told, { kind: K }>);
      };
      worker.on('message', listen);
      worker.once('exit', ended);
    });
  const ask = <K extends 'now' | 'starts'>(kind: K): Promise<Extract<Told, { kind: K }>> => {
    const answer = heard(kind);
    worker.send(kind);
    return answer;
  };
  await heard('ready');
  const producer = bullProducer(addresses);
  return {
    settings: BULLMQ.settings,
    add: async (job) => void (await producer.add(job)),
    async starts() {
      const offset = await offsetOf(async () => (await ask('now')).at);
      const { starts } = await ask('starts');
      return new Map(starts.map(([id, at]) => [id, at + offset]));
    },
    async close() {
      await producer.close();
      worker.disconnect();
      await new Promise((done) => worker.once('exit', done));
    },
  };
}
