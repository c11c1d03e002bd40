import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../../ops/testing/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { suppress, unsuppress } from '../../../schema/sql/index.ts';
import { createIdentities, type Identities } from './identities.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const PHONE = '+491700000011';
const LID = '77000011@lid';
let database: TestDatabase;
let identities: Identities;
let tenant: string;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  tenant = uuidV7(systemClock.wall());
  await database.sql`insert into tenants (id, name) values (${tenant}, ${tenant})`;
  identities = createIdentities({ sql: database.sql, clock: systemClock, log: quiet });
});
const learn = async (phone = PHONE, lid = LID): Promise<void> => {
  identities.learn(tenant, phone, lid);
  await identities.settled();
};
const stop = (phone: string | null, lid: string | null) =>
  suppress(database.sql, [{ id: uuidV7(systemClock.wall()), tenantId: tenant, phone, lid, reason: 'STOP', source: 'inbound' }]);
const suppressed = async () =>
  (await database.sql`select coalesce(phone, lid) as who from suppressions where tenant_id = ${tenant} order by 1`).map(
    (row) => row['who'],
  );

describe('people with a number and a LID', () => {
  it('are found by either, of their tenant only; a number may get another LID; nonsense is not kept', async () => {
    await learn();
    expect(await identities.phoneOf(tenant, LID)).toBe(PHONE);
    expect(await identities.phoneOf(uuidV7(systemClock.wall()), LID)).toBeNull();
    await learn(PHONE, '88@lid'.padStart(10, '8'));
    expect(await identities.phoneOf(tenant, LID)).toBeNull();
    await learn('491700000012', LID);
    await learn('+491700000012', '491700000012@s.whatsapp.net');
    expect(await database.sql`select 1 from identities where tenant_id = ${tenant}`).toHaveLength(1);
  });

  it('who said stop under one is suppressed under the other: known before, or learnt after; and let go under both (I2)', async () => {
    await stop(null, LID);
    expect(await suppressed()).toEqual([LID]);
    await learn();
    expect(await suppressed()).toEqual([PHONE, LID]);
    await unsuppress(database.sql, tenant, { phone: PHONE, lid: null });
    expect(await suppressed()).toEqual([]);
    await stop(null, LID);
    expect(await suppressed()).toEqual([PHONE, LID]);
    await unsuppress(database.sql, tenant, { phone: PHONE, lid: null });
    await stop(PHONE, null);
    expect(await suppressed()).toEqual([PHONE, LID]);
  });

  it('a stop and a pair that are written at the same time find each other (I2)', async () => {
    for (let round = 0; round < 40; round++) {
      const phone = `+4917011${String(round).padStart(5, '0')}`;
      const lid = `8800${round}00@lid`;
      identities.learn(tenant, phone, lid);
      await Promise.all([identities.settled(), stop(round % 2 === 0 ? phone : null, round % 2 === 0 ? null : lid)]);
      expect(await suppressed()).toEqual(expect.arrayContaining([phone, lid]));
    }
  });

  it('a lead gets the LID it lacks', async () => {
    const id = uuidV7(systemClock.wall());
    await database.sql`insert into leads (id, tenant_id, phone) values (${id}, ${tenant}, ${PHONE})`;
    await learn();
    expect(await database.sql`select lid from leads where id = ${id}`).toEqual([{ lid: LID }]);
  });

  it('whether a number is on WhatsApp is kept with its age', async () => {
    expect(await identities.registered(tenant, PHONE)).toBeNull();
    await identities.noteRegistered(tenant, PHONE, false);
    await learn();
    expect(await identities.registered(tenant, PHONE)).toMatchObject({ registered: false });
    await database.sql`update identities set checked_at = now() - interval '1 hour' where tenant_id = ${tenant}`;
    expect((await identities.registered(tenant, PHONE))?.ageMs).toBeGreaterThan(3_500_000);
  });
});
