import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { connectPostgres } from '../../ops/connect/index.ts';
import { accept, dropEndedPartitions, ensurePartitions, foldReports, intent, listPartitions, refill, result } from './index.ts';
import { createWorld, now, type World } from './test-world.ts';

/**
 * Somebody opens a transaction, reads, and goes away: a snapshot is held, and no dead row can be cleaned up. How fast claims are then is measured by
 * `npm run bench -- held`; here they must go on at all, and rightly, and so must the upkeep of partitions.
 */
let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});
const DAY = 86_400_000;

/** a session of somebody else, who sets no limits to itself */
async function holding(work: () => Promise<void>): Promise<void> {
  const other = connectPostgres(world.url, { applicationName: 'somebody', max: 1 });
  try {
    await other.unsafe('set idle_in_transaction_session_timeout = 0');
    await other.begin('isolation level repeatable read', async (transaction) => {
      await transaction.unsafe('select count(*) from ownership');
      await work();
      // it is still there, and idle
      const held = await world.sql.unsafe(
        `select 1 from pg_stat_activity where application_name = 'somebody' and state = 'idle in transaction'`,
      );
      expect(held).toHaveLength(1);
    });
  } finally {
    await other.end();
  }
}

it('a transaction that is held open by somebody else stops no claim, no result, no report and no partition', async () => {
  const { sql } = world;
  const devices = await world.devices(20);
  const epochs = new Map<string, number>();
  for (const device of devices) epochs.set(device, await world.own(device));
  const old = now() - 60 * DAY;
  await ensurePartitions(sql, { nowMs: old, aheadDays: 0 });
  const rounds = 40;
  await holding(async () => {
    const reached = new Map<string, number>();
    for (let n = 0; n < rounds; n++) {
      await accept(
        sql,
        devices.map((device) => world.item(device)),
      );
      const entries = await refill(
        sql,
        devices.map((deviceId) => ({ deviceId, lane: 'high', afterSeq: reached.get(deviceId) ?? 0 })),
        50,
      );
      expect(entries).toHaveLength(devices.length);
      const verdicts = await intent(
        sql,
        entries.map(({ deviceId, messageId }) => world.intentItem(deviceId, epochs.get(deviceId) ?? 0, messageId)),
      );
      expect(verdicts.every(({ verdict }) => verdict === 'PASS')).toBe(true);
      const outcomes = await result(
        sql,
        entries.map(({ deviceId, messageId }) => world.resultItem(deviceId, epochs.get(deviceId) ?? 0, messageId, 'SENT')),
      );
      expect(outcomes.every(({ counted }) => counted)).toBe(true);
      for (const { deviceId, seq } of entries) reached.set(deviceId, seq);
    }
    expect(await foldReports(sql)).toBeGreaterThan(0);
    const later = now() + 30 * DAY;
    expect(await ensurePartitions(sql, { nowMs: later, aheadDays: 1 })).toHaveLength(3);
    // the held snapshot has not touched the ledger: what is old goes
    const before = (await listPartitions(sql)).length;
    const { dropped } = await dropEndedPartitions(sql, { beforeMs: now() - 30 * DAY });
    expect((await listPartitions(sql)).length).toBe(before - dropped.length);
    expect(dropped.length).toBeGreaterThan(0);
  });
  const [row] = await sql.unsafe(`select count(*) as sent from messages where state = 'SENT'`);
  expect(row).toEqual({ sent: rounds * devices.length });
}, 120_000);

it('our own sessions cannot hold one: an idle transaction of ours is ended by the server', async () => {
  const [limits] = await world.sql.unsafe(
    `select current_setting('idle_in_transaction_session_timeout') as idle, current_setting('statement_timeout') as statement`,
  );
  expect(limits).toEqual({ idle: '5s', statement: '15s' });
  const careless = connectPostgres(world.url, { applicationName: 'careless', max: 1 });
  await careless.unsafe(`set idle_in_transaction_session_timeout = '100ms'`);
  // it never comes back to its transaction; a statement on a socket that the server is just closing would throw past everybody who waits
  const ended = careless.begin(async (transaction) => {
    await transaction.unsafe('select count(*) from ownership');
    await new Promise(() => {});
  });
  await expect(ended).rejects.toThrow();
  await vi.waitFor(
    async () => {
      expect(await world.sql.unsafe(`select 1 from pg_stat_activity where application_name = 'careless'`)).toHaveLength(0);
    },
    { timeout: 30_000, interval: 50 },
  );
  await careless.end({ timeout: 1 });
}, 60_000);

it('vacuums hot tables early, ledger partitions made later too', async () => {
  const rows = await world.sql.unsafe<{ name: string; options: string[] | null }[]>(
    `select relname as name, reloptions as options from pg_class
     where relname ~ '^messages_[0-9]{8}$' or relname in ('ownership', 'lane_counters', 'enrolments', 'report_events', 'report_steps', 'webhook_lanes')`,
  );
  expect(rows.length).toBeGreaterThan(6);
  for (const { name, options } of rows) {
    expect({ name, cost: options?.includes('autovacuum_vacuum_cost_delay=0') }).toEqual({ name, cost: true });
    expect({ name, early: options?.some((one) => /^autovacuum_vacuum_scale_factor=0\.0[25]$/.test(one)) }).toEqual({ name, early: true });
  }
});
