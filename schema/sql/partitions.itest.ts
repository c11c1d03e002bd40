import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectPostgres } from '../../ops/connect/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { uuidV7 } from '../domain/index.ts';
import { accept, cancel, dropEndedPartitions, ensurePartitions, listPartitions, refill } from './index.ts';
import { createWorld, MAY_IDLE, now, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});

const DAY = 86_400_000;

it('makes yesterday, today and the days ahead, from several processes at once, and each only once', async () => {
  const later = now() + 100 * DAY;
  const made = await Promise.all([1, 2, 3].map(async () => await ensurePartitions(world.sql, { nowMs: later, aheadDays: 3 })));
  expect(new Set(made.flat()).size).toBe(5);
  expect(await ensurePartitions(world.sql, { nowMs: later, aheadDays: 3 })).toEqual([]);
  const starts = (await listPartitions(world.sql)).map((partition) => partition.startMs);
  const today = Math.floor(later / DAY) * DAY;
  expect(starts.slice(-5)).toEqual([-1, 0, 1, 2, 3].map((day) => today + day * DAY));
  const [device = ''] = await world.devices(1);
  const ids = [uuidV7(today), uuidV7(today + DAY - 1)];
  await accept(
    world.sql,
    ids.map((id) => world.item(device, { id })),
  );
  const places = await world.sql.unsafe('select distinct tableoid::regclass::text as place from messages where device_id = $1', [device]);
  expect(places).toHaveLength(1);
});

it('drops what is old and has ended, and keeps a partition with one open message', async () => {
  const old = now() - 50 * DAY;
  await ensurePartitions(world.sql, { nowMs: old, aheadDays: 0 });
  const [device = ''] = await world.devices(1);
  const id = uuidV7(old);
  await accept(world.sql, [world.item(device, { id })]);
  const [before, day] = (await listPartitions(world.sql)).map((partition) => partition.name);
  expect(await dropEndedPartitions(world.sql, { beforeMs: now() - 30 * DAY })).toEqual({ dropped: [before], kept: [day] });
  await cancel(world.sql, world.tenantId, id);
  expect(await dropEndedPartitions(world.sql, { beforeMs: now() - 30 * DAY })).toEqual({ dropped: [day], kept: [] });
});

/** reads the whole ledger and holds on to it, as a backup does, until the work is done */
async function beside(work: () => Promise<void>): Promise<void> {
  const backup = connectPostgres(world.url, { applicationName: 'backup', max: 1 });
  await backup.begin(async (transaction) => {
    await transaction.unsafe(MAY_IDLE);
    await transaction.unsafe('select count(*) from messages');
    await work();
  });
  await backup.end();
}

it('stops no sender and no owner while a backup reads', async () => {
  const old = now() - 60 * DAY;
  await ensurePartitions(world.sql, { nowMs: old, aheadDays: 0 });
  const [device = ''] = await world.devices(1);
  const indexes = `select count(*)::int as n from pg_index where indrelid = $1::regclass`;
  const ahead = now() + 200 * DAY;
  await beside(async () => {
    for (const upkeep of [
      () => ensurePartitions(world.sql, { nowMs: ahead, aheadDays: 0 }),
      () => dropEndedPartitions(world.sql, { beforeMs: now() - 30 * DAY }),
    ]) {
      const from = systemClock.monotonic();
      const running = upkeep();
      await systemClock.sleep(50);
      await world.send(device);
      await refill(world.sql, [{ deviceId: device, lane: 'high', afterSeq: 0 }], 10);
      // who waited for the backup would be ended by the server after 15 s
      expect(systemClock.monotonic() - from).toBeLessThan(60_000);
      await running;
    }
  });
  const last = (await listPartitions(world.sql)).at(-1)?.name ?? '';
  expect(await world.sql.unsafe(indexes, [last])).toEqual(await world.sql.unsafe(indexes, ['messages']));
  expect((await dropEndedPartitions(world.sql, { beforeMs: now() - 30 * DAY })).dropped).toHaveLength(2);
});
