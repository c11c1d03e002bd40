import { afterAll, beforeAll, expect, it } from 'vitest';
import { readAsset } from '../../ops/lifecycle/index.ts';
import { lowestUuidV7, uuidV7 } from '../domain/index.ts';
import { accept, dropEndedPartitions, ensurePartitions, purge } from './index.ts';
import { createWorld, now, type World } from './test-world.ts';

/** The story: keys, inbound messages and dead letters were written for every message and never deleted, so the disk filled for ever. */
const DAY = 86_400_000;
let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});
const count = async (table: string): Promise<number> =>
  Number((await world.sql.unsafe(`select count(*)::int as n from ${table}`))[0]?.['n']);
const options = () => {
  let pauses = 0;
  return {
    keysBeforeMs: now() - 7 * DAY,
    inboundBeforeMs: now() - 90 * DAY,
    chunk: 10,
    chunks: 100,
    pause: async () => {
      pauses += 1;
    },
    pauses: () => pauses,
  };
};

it('forgets keys and inbound messages by age, in chunks, and no younger ones', async () => {
  const [device = ''] = await world.devices(1);
  const items = Array.from({ length: 40 }, (_, n) => world.item(device, { idempotencyKey: `key-${n}` }));
  await accept(world.sql, items);
  await world.sql.unsafe(
    `insert into inbound_messages (device_id, id, tenant_id, sender, body) select $1, 'in-' || n, $2, '+49', 'x' from generate_series(1, 30) n`,
    [device, world.tenantId],
  );
  await world.sql.unsafe(`update idempotency_keys set created_at = now() - interval '8 days' where substr(key, 5)::int < 35`);
  await world.sql.unsafe(`update inbound_messages set received_at = now() - interval '91 days' where substr(id, 4)::int <= 25`);
  const bounded = { ...options(), chunks: 2 };
  expect(await purge(world.sql, bounded)).toEqual({
    keys: 20,
    inbound: 20,
    imports: 0,
    redrives: 0,
    webhooks: 0,
    recipients: 0,
    deadLetters: 0,
  });
  expect(bounded.pauses()).toBe(2);
  // two at once hinder nobody and count nothing twice
  const both = await Promise.all([purge(world.sql, options()), purge(world.sql, options())]);
  expect(both.map((one) => one.keys).reduce((a, b) => a + b)).toBe(15);
  expect([await count('idempotency_keys'), await count('inbound_messages')]).toEqual([5, 5]);
  // a key that is kept still answers with its message
  expect(
    await accept(world.sql, [{ ...world.item(device), idempotencyKey: 'key-39', contentHash: items[39]?.contentHash ?? new Uint8Array() }]),
  ).toEqual([{ kind: 'replayed', id: items[39]?.id }]);
});

it('forgets dead letters whose messages went with their partition, and no others', async () => {
  const old = now() - 120 * DAY;
  await ensurePartitions(world.sql, { nowMs: old, aheadDays: 0 });
  const [device = ''] = await world.devices(1);
  const letters = [uuidV7(old), uuidV7(old + 1), uuidV7(now())];
  for (const id of letters)
    await world.sql.unsafe(
      `insert into dead_letters (message_id, tenant_id, device_id, state, cause, attempts) values ($1, $2, $3, 'DEAD', 'RETRY_BUDGET', 5)`,
      [id, world.tenantId, device],
    );
  expect((await purge(world.sql, options())).deadLetters).toBe(0);
  expect((await dropEndedPartitions(world.sql, { beforeMs: now() - 90 * DAY })).dropped.length).toBeGreaterThan(0);
  expect((await purge(world.sql, options())).deadLetters).toBe(2);
  expect([...(await world.sql.unsafe('select message_id as id from dead_letters'))]).toEqual([{ id: letters[2] }]);
});

it.each(['purge-keys.sql', 'purge-inbound.sql', 'purge-dead-letters.sql'])(
  '%s reads no more of its table than it deletes',
  async (name) => {
    const text = readAsset(import.meta.url, `./${name}`);
    const below = name === 'purge-dead-letters.sql' ? lowestUuidV7(now()) : 0;
    // these tables are small: whether they are read whole is else a matter of whether the server has counted them yet
    const plan = await world.sql.begin(async (transaction) => {
      await transaction.unsafe('set local enable_seqscan = off');
      await transaction.unsafe('set local enable_sort = off');
      return JSON.stringify(await transaction.unsafe(`explain (format json) ${text}`, [below, 10], { prepare: true }));
    });
    expect(plan).toMatch(/Index (Only )?Scan/);
    expect(plan).not.toMatch(/Seq Scan|"Sort"/);
  },
);
