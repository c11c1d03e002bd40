import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../../ops/testing/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { setPaired, unlinkDevice } from '../../../schema/sql/index.ts';
import { createPairingDesk, type PairingDesk } from './pairing-desk.ts';

/**
 * A node that had lost a device wrote what its last socket had told it: "paired" over an unlinking through the API a moment before, "not paired" and its number over what the
 * next owner had written.
 */
let database: TestDatabase;
let desk: PairingDesk;
let id = '';
let fenced = 0;
const note = (what: string): void => {
  if (what === 'pairing.mark.fenced') fenced += 1;
};

const row = async () => (await database.sql`select paired, phone, settings from devices where id = ${id}`)[0];
const own = (epoch: number) => database.sql`update ownership set epoch = ${epoch} where device_id = ${id}`;

beforeAll(async () => {
  database = await createDatabase();
  const redis = { publish: async () => 0, set: async () => 'OK' };
  desk = createPairingDesk({
    sql: database.sql,
    redis: redis as never,
    clock: systemClock,
    log: { debug: note, info: note, warn: note, error: note },
  });
});
afterAll(async () => {
  desk.close();
  await database.drop();
});
beforeEach(async () => {
  id = uuidV7(systemClock.wall());
  fenced = 0;
  const { sql } = database;
  await sql`insert into tenants (id, name) values (${id}, ${id})`;
  await sql`insert into devices (id, tenant_id, partition, name, transport) values (${id}, ${id}, 1, 'phone', 'whatsapp')`;
  await sql`insert into ownership (device_id, partition, epoch, node) values (${id}, 1, 1, 'node-1')`;
});

describe('what is written of a pairing', () => {
  it('is written by the owner', async () => {
    desk.opened({ id, epoch: 1 }, '4917012345678:3@s.whatsapp.net');
    await expect.poll(row, { timeout: 25_000 }).toEqual({ paired: true, phone: '+4917012345678', settings: {} });
    desk.unlinked({ id, epoch: 1 });
    await expect.poll(row, { timeout: 25_000 }).toEqual({ paired: false, phone: '+4917012345678', settings: {} });
    expect(fenced).toBe(0);
  });

  it('is refused from a stale owner, for a login as for an end', async () => {
    await own(2);
    desk.opened({ id, epoch: 1 }, '4917012345678:3@s.whatsapp.net');
    await expect.poll(() => fenced, { timeout: 25_000 }).toBe(1);
    // nor by what its node writes of devices that come online
    await setPaired(database.sql, id, true);
    expect(await row()).toEqual({ paired: false, phone: null, settings: {} });
    desk.opened({ id, epoch: 2 }, '4917099999999:4@s.whatsapp.net');
    await expect.poll(row, { timeout: 25_000 }).toEqual({ paired: true, phone: '+4917099999999', settings: {} });
    desk.unlinked({ id, epoch: 1 });
    await expect.poll(() => fenced, { timeout: 25_000 }).toBe(2);
    expect(await row()).toEqual({ paired: true, phone: '+4917099999999', settings: {} });
  });

  it('does not undo an unlinking that was under way when it began', async () => {
    const { sql } = database;
    await sql.begin(async (transaction) => {
      await unlinkDevice(transaction as never, id, id, 5);
      desk.opened({ id, epoch: 1 }, '4917012345678:3@s.whatsapp.net');
      // it waits for the unlinking, with a look at the ledger from before it
      const behind = () =>
        transaction.unsafe('select 1 from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))');
      await expect.poll(behind, { timeout: 25_000 }).toHaveLength(1);
    });
    await expect.poll(() => fenced, { timeout: 25_000 }).toBe(1);
    expect(await row()).toEqual({ paired: false, phone: null, settings: { unlinkedAt: 5 } });
  });
});
