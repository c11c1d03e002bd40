import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../../ops/testing/index.ts';
import { uuidV7, whatsappIdOf } from '../../../schema/domain/index.ts';
import { createWireIds } from './wire-ids.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

it('the ledger answers for what another process sent, by the hash of its id, for this device only', async () => {
  const { sql } = database;
  const [device, other, tenant] = [1, 2, 3].map(() => uuidV7(systemClock.wall())) as [string, string, string];
  const ids = Array.from({ length: 300 }, () => uuidV7(systemClock.wall()));
  for (const id of ids) {
    await sql`insert into messages (id, tenant_id, device_id, lane, recipient, body, due_at) values (${id}, ${tenant}, ${device}, 'high', '+1', ${`body of ${id}`}, now())`;
  }
  const wireIds = createWireIds(sql, { maxEntries: 10 });
  for (const id of [ids[0], ids[150], ids[299]] as string[]) {
    expect(await wireIds.find(device, whatsappIdOf(id))).toEqual({ id, body: `body of ${id}` });
    expect(await wireIds.find(other, whatsappIdOf(id))).toBeNull();
  }
  expect(await wireIds.find(device, '3EB0000000000000000000')).toBeNull();
  expect(await wireIds.find(device, "x' or true --")).toBeNull();
});

it('what this process sent is answered without the ledger, and forgotten at the cap', async () => {
  const wireIds = createWireIds({ unsafe: async () => [] } as never, { maxEntries: 2 });
  for (const id of ['a', 'b', 'c']) wireIds.remember('d', whatsappIdOf(id), { id, body: id });
  expect(await wireIds.find('d', whatsappIdOf('a'))).toBeNull();
  expect(await wireIds.find('d', whatsappIdOf('c'))).toEqual({ id: 'c', body: 'c' });
  expect(await wireIds.find('e', whatsappIdOf('c'))).toBeNull();
});
