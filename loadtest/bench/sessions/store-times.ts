import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createPostgresStore, createSessionStore, type DeviceSession, loadKeyRing } from '../../../actors/sessions/index.ts';
import { connectPostgres } from '../../../ops/connect/index.ts';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import { percentile } from '../fanout/rig.ts';

export interface StoreTimes {
  readonly setP50Ms: number;
  readonly setP99Ms: number;
  readonly readP50Ms: number;
  readonly readP99Ms: number;
  /** of 8 KB with fdatasync on the disk that Postgres writes to, right after: no set() that is durable can be faster */
  readonly diskFlushP50Ms: number;
  readonly diskFlushP99Ms: number;
}

const PER_SECOND = 100;
const RUN_MS = 20_000;
/** what a send writes: the session with its chains, and now and then more */
const VALUE_BYTES = 2500;

/**
 * A `set()` and a cold read of the session store on Postgres, with the pool of a node, on devices that exist: PER_SECOND of each, evenly spread, over
 * all devices in turn, each timed from the moment it was due. The cache is off, so each read goes to Postgres.
 */
export async function storeTimes(databaseUrl: string, dataDir: string, deviceIds: readonly string[]): Promise<StoreTimes> {
  const sql = connectPostgres(databaseUrl, { applicationName: 'bench-sessions', max: 10, plans: 'once' });
  try {
    const store = createSessionStore({ sealed: createPostgresStore(sql), ring: loadKeyRing({ DATA_DIR: dataDir }) }, { cacheBytes: 0 });
    const rows = await sql<{ id: string; epoch: number }[]>`
      select device_id as id, epoch from ownership where device_id = any(${[...deviceIds]}::uuid[])`;
    const sessions: DeviceSession[] = [];
    for (const { id, epoch } of rows) sessions.push(await store.open(id, epoch));
    const set = (session: DeviceSession): Promise<void> =>
      session.set({ session: { 'bench.0': randomBytes(VALUE_BYTES) }, 'lid-mapping': { bench: 'x' } });
    for (const session of sessions) await set(session);
    const sets: number[] = [];
    const reads: number[] = [];
    const timed = async (into: number[], due: number, task: () => Promise<unknown>): Promise<void> => {
      await task();
      into.push(clock.monotonic() - due);
    };
    const began = clock.monotonic();
    const running: Promise<void>[] = [];
    for (let n = 0; (n * 1000) / PER_SECOND < RUN_MS; n++) {
      const due = began + (n * 1000) / PER_SECOND;
      await clock.sleep(Math.max(0, due - clock.monotonic()));
      const session = sessions[n % sessions.length];
      const other = sessions[(n + Math.floor(sessions.length / 2)) % sessions.length];
      if (session === undefined || other === undefined) break;
      // a timer is up to a millisecond late; that is not the store's time
      const at = Math.max(due, clock.monotonic());
      running.push(
        timed(sets, at, () => set(session)),
        timed(reads, at, () => other.get('session', ['bench.0'])),
      );
    }
    await Promise.all(running);
    const of = (times: readonly number[], share: number): number => Math.round(percentile(times, share) * 100) / 100;
    const flushes = await diskFlushes(dataDir);
    return {
      setP50Ms: of(sets, 0.5),
      setP99Ms: of(sets, 0.99),
      readP50Ms: of(reads, 0.5),
      readP99Ms: of(reads, 0.99),
      diskFlushP50Ms: of(flushes, 0.5),
      diskFlushP99Ms: of(flushes, 0.99),
    };
  } finally {
    await sql.end({ timeout: 2 });
  }
}

async function diskFlushes(dataDir: string): Promise<number[]> {
  const file = await open(join(dataDir, 'flushed'), 'w');
  try {
    const bytes = Buffer.alloc(8192);
    const times: number[] = [];
    for (let n = 0; n < 500; n++) {
      const at = clock.monotonic();
      await file.write(bytes, 0, bytes.length, n * bytes.length);
      await file.datasync();
      times.push(clock.monotonic() - at);
      await clock.sleep(1000 / PER_SECOND);
    }
    return times;
  } finally {
    await file.close();
  }
}
