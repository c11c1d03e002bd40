import { connectPostgres, connectRedis, redisReady, type Sql } from '../../../ops/connect/index.ts';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import { BELL, deviceKeys, partitionKeys, partitionOf, uuidV7 } from '../../../schema/domain/index.ts';
import { accept, createDevices, createTenant } from '../../../schema/sql/index.ts';
import { plainText } from '../plain-text.ts';
import type { Addresses } from '../stores.ts';
import { chunks, type Job } from './queue.ts';

/** Accepts under way at once, of a thousand messages each. */
const ACCEPTS = 4;
/** MAILBOX_WINDOW as shipped */
const WINDOW = 50;
/** The node's settings: as shipped. */
export const NODE_ENV = { PACING: 'on', MAILBOX_WINDOW: String(WINDOW) } as const;

/** Makes the devices, paused and without pace, and accepts all jobs as a gateway does. The schema must be there. */
export async function fillOurs({ databaseUrl }: Addresses, devices: readonly string[], jobs: readonly Job[]): Promise<void> {
  const sql = connectPostgres(databaseUrl, { applicationName: 'bench-fill', max: ACCEPTS });
  try {
    const tenantId = uuidV7(clock.wall());
    await createTenant(sql, { id: tenantId, name: 'bench' });
    for (const chunk of chunks(devices)) {
      const rows = chunk.map((id) => ({ id, tenantId, name: id, transport: 'simulator' as const, paceMinMs: 0, paceMaxMs: 0 }));
      await createDevices(sql, rows);
    }
    await sql.unsafe("update devices set paused = true, pause_reason = 'BENCH', changed_at = now() - interval '1 hour'");
    for (const chunk of chunks(jobs)) await acceptAll(sql, tenantId, chunk);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

async function acceptAll(sql: Sql, tenantId: string, jobs: readonly Job[]): Promise<void> {
  const outcomes = await accept(
    sql,
    jobs.map(({ id, device, to, body }) => plainText({ id, tenantId, deviceId: device, recipient: to, body })),
  );
  const refused = outcomes.find(({ kind }) => kind !== 'accepted');
  if (refused !== undefined) throw new Error(`accept: ${JSON.stringify(refused)}`);
}

export interface OursRunning {
  /** resolves once the node's devices stand ready with full mailboxes */
  standing(devices: readonly string[], each: number): Promise<void>;
  /** ends the pause of all devices, as the API does: the row, then the bell */
  go(devices: readonly string[]): Promise<void>;
  left(): Promise<number>;
  /** messages that the ledger says were sent at the first attempt */
  sent(): Promise<number>;
  close(): Promise<void>;
}

export async function watchOurs({ databaseUrl, redisUrl }: Addresses, messages: number): Promise<OursRunning> {
  const sql = connectPostgres(databaseUrl, { applicationName: 'bench-watch', max: 1, planner: 'general' });
  const redis = connectRedis(redisUrl, { role: 'general', name: 'bench' });
  await redisReady(redis);
  const count = async (text: string): Promise<number> => Number((await sql.unsafe<{ n: number }[]>(text))[0]?.n ?? Number.NaN);
  return {
    async standing(devices, each) {
      const full = Math.min(WINDOW, each);
      for (;;) {
        const read = redis.pipeline();
        for (const id of devices) read.xlen(deviceKeys(id).mailbox[1]);
        if (((await read.exec()) ?? []).every(([, length]) => Number(length) >= full)) return;
        await clock.sleep(100);
      }
    },
    async go(devices) {
      await sql.unsafe('update devices set paused = false, pause_reason = null, changed_at = clock_timestamp()');
      const ring = redis.pipeline();
      for (const id of devices) ring.publish(partitionKeys(partitionOf(id)).bell, BELL.changed + id);
      await ring.exec();
    },
    left: async () => messages - (await count('select sum(ended)::int as n from ownership')),
    sent: () =>
      count("select count(*)::int as n from messages where state = 'SENT' and attempt = 1 and sent_at is not null and cause is null"),
    async close() {
      redis.disconnect();
      await sql.end({ timeout: 2 });
    },
  };
}
