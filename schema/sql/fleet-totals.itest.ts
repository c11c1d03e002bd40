import { afterAll, beforeAll, expect, it } from 'vitest';
import { countFleet, deleteDevice, fleetTotals } from './index.ts';
import { createWorld, MAY_IDLE, now, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world.drop());

it('counts devices and backlog from the counters, and keeps the count only of fleets that take long', async () => {
  const { sql, tenantId } = world;
  const [one = '', two = '', gone = ''] = await world.devices(3);
  const other = await world.tenant();
  const [strange = ''] = await world.devices(1, { tenantId: other });
  for (const device of [one, one, two]) await world.send(device);
  await world.send(strange, { tenantId: other });
  await deleteDevice(sql, tenantId, gone);
  expect(await countFleet(sql, tenantId, 60_000)).toEqual({ devices: 2, backlog: 3 });
  expect((await fleetTotals(sql, tenantId, now())).kept).toBeNull();
  expect(await countFleet(sql, tenantId, 0)).toEqual({ devices: 2, backlog: 3 });
  const { kept } = await fleetTotals(sql, tenantId, now());
  expect(kept).toMatchObject({ devices: 2, backlog: 3 });
  expect(kept?.ageMs).toBeGreaterThanOrEqual(0);
  expect(kept?.tookMs).toBeGreaterThan(0);
  // what was kept once is kept up, also when the fleet has become small
  await world.send(two);
  expect(await countFleet(sql, tenantId, 60_000)).toEqual({ devices: 2, backlog: 4 });
  expect((await fleetTotals(sql, tenantId, now())).kept).toMatchObject({ backlog: 4 });
  expect(await countFleet(sql, other, 60_000)).toEqual({ devices: 1, backlog: 1 });
});

it('only one counts a fleet at a time; the others take what is kept, and count when there is nothing', async () => {
  const { sql } = world;
  const tenantId = await world.tenant();
  await world.devices(1, { tenantId });
  await sql.begin(async (busy) => {
    await busy.unsafe(MAY_IDLE);
    await busy.unsafe('select pg_advisory_xact_lock(727004, hashtext($1))', [tenantId]);
    expect(await countFleet(sql, tenantId, 0)).toEqual({ devices: 1, backlog: 0 });
    expect(await countFleet(sql, tenantId, 0)).toBeNull();
  });
  expect(await countFleet(sql, tenantId, 0)).toEqual({ devices: 1, backlog: 0 });
});
