import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPostgres } from '../../ops/connect/index.ts';
import { createFlowWorld } from './flow-world.testing.ts';
import { intent, liveFlows, setFlowState, setTenantRules, takeCeilings } from './index.ts';
import { createWorld, type World } from './test-world.ts';

let world: World;
let flows: ReturnType<typeof createFlowWorld>;
beforeAll(async () => {
  world = await createWorld();
  flows = createFlowWorld(world);
});
afterAll(async () => {
  await world.drop();
});

/** as if so long ago: what was left unused since */
const pass = (tenantId: string, seconds: number) =>
  world.sql.unsafe(`update ceilings set next_at = now() - $2 * interval '1 second' where tenant_id = $1`, [tenantId, seconds]);
const many = async (tenantId: string, ...asks: readonly (readonly [flowNo: number, wanted: number])[]): Promise<readonly number[]> => {
  const leaves = await takeCeilings(
    world.sql,
    asks.map(([flowNo, wanted]) => ({ flowNo, tenantId, wanted })),
  );
  return asks.map(([flowNo]) => leaves.find((leave) => leave.flowNo === flowNo)?.many ?? Number.NaN);
};

describe('ceilings', () => {
  it('give a flow its share of a minute, five seconds at once at most, and one at least', async () => {
    const tenantId = await world.tenant();
    // one a minute apart in the first, so that the time a test takes does not count
    const slow = await flows.flow(tenantId, { perMinute: 1 });
    const fast = await flows.flow(tenantId, { perMinute: 1200 });
    const free = await flows.flow(tenantId);
    expect(await many(tenantId, [slow.no, 5], [free.no, 5])).toEqual([0, 5]);
    await pass(tenantId, 20);
    expect(await many(tenantId, [slow.no, 5])).toEqual([0]);
    await pass(tenantId, 3600);
    const [leave] = await takeCeilings(world.sql, [{ flowNo: slow.no, tenantId, wanted: 5 }]);
    expect(leave?.many).toBe(1);
    expect(leave?.waitMs).toBeGreaterThan(30_000);
    expect(leave?.waitMs).toBeLessThanOrEqual(60_000);
    expect(await many(tenantId, [slow.no, 5])).toEqual([0]);
    // five seconds of twenty a second
    await pass(tenantId, 3600);
    expect(await many(tenantId, [fast.no, 1000])).toEqual([100]);
    await pass(tenantId, 3600);
    const some = await takeCeilings(world.sql, [{ flowNo: fast.no, tenantId, wanted: 60 }]);
    expect(some).toEqual([{ flowNo: fast.no, many: 60, waitMs: 0 }]);
  });

  it('hold over the flows of a tenant together, and leave other tenants alone', async () => {
    const tenantId = await world.tenant();
    const [first, second] = [await flows.flow(tenantId), await flows.flow(tenantId, { perMinute: 12 })];
    await setFlowState(world.sql, tenantId, first.id, 'RUNNING');
    const capped = async (): Promise<boolean | undefined> => (await liveFlows(world.sql)).find(({ no }) => no === first.no)?.capped;
    expect(await capped()).toBe(false);
    await setTenantRules(world.sql, tenantId, { flowsPerMinute: 36 });
    expect(await capped()).toBe(true);
    await pass(tenantId, 3600);
    // three for the tenant, of which the second may have one
    const [a = 0, b = 0] = await many(tenantId, [first.no, 10], [second.no, 10]);
    expect(a + b).toBe(3);
    expect(b).toBeLessThanOrEqual(1);
    await pass(tenantId, -60);
    expect(await many(tenantId, [first.no, 10], [second.no, 10])).toEqual([0, 0]);
    await setTenantRules(world.sql, tenantId, { flowsPerMinute: null });
    expect(await many(tenantId, [first.no, 10])).toEqual([10]);
    const other = await world.tenant();
    expect(await many(other, [(await flows.flow(other)).no, 7])).toEqual([7]);
  });

  it('give no more to many who ask at once', async () => {
    const tenantId = await world.tenant();
    const all = await Promise.all([1, 2, 3].map(() => flows.flow(tenantId, { perMinute: 1 })));
    await setTenantRules(world.sql, tenantId, { flowsPerMinute: 1 });
    await pass(tenantId, 3600);
    const clients = [0, 1, 2, 3].map((n) => connectPostgres(world.url, { applicationName: `ceilings ${n}`, max: 1 }));
    try {
      const leaves = await Promise.all(
        clients.map((client, n) =>
          takeCeilings(
            client,
            (n % 2 === 0 ? all : all.toReversed()).map(({ no }) => ({ flowNo: no, tenantId, wanted: 5 })),
          ),
        ),
      );
      expect(leaves.flat().reduce((sum, leave) => sum + leave.many, 0)).toBe(1);
    } finally {
      await Promise.all(clients.map((client) => client.end()));
    }
  });
});

describe('the pace of a flow (N12)', () => {
  it('holds the device after its messages, unless the device is slower', async () => {
    const nextAfter = async (pace: { minMs: number; maxMs: number } | null, paceMs: number): Promise<number> => {
      const { deviceId: device, epoch, plan } = await flows.ready({ pace });
      const message = (await plan()) ?? '';
      expect(await intent(world.sql, [world.intentItem(device, epoch, message, { paceMs })])).toMatchObject([{ verdict: 'PASS' }]);
      const [row] = await world.sql.unsafe(
        `select extract(epoch from o.next_send_at - m.intent_at)::float8 as s from ownership o, messages m where o.device_id = $1 and m.id = $2`,
        [device, message],
      );
      return row?.['s'] as number;
    };
    expect(await nextAfter(null, 5000)).toBe(5);
    expect(await nextAfter({ minMs: 60_000, maxMs: 60_000 }, 5000)).toBe(60);
    expect(await nextAfter({ minMs: 1000, maxMs: 2000 }, 5000)).toBe(5);
    const drawn = await nextAfter({ minMs: 60_000, maxMs: 90_000 }, 0);
    expect(drawn).toBeGreaterThanOrEqual(60);
    expect(drawn).toBeLessThanOrEqual(90);
  });
});

describe('a staggered start (E5)', () => {
  it('has the leads of a device due together and the devices one after the other, evenly', async () => {
    const tenantId = await world.tenant();
    await world.devices(20, { tenantId });
    await flows.leads(tenantId, 100);
    const dueOf = async (staggerMs: number | null): Promise<readonly { device: number; after: number }[]> => {
      const { id, no } = await flows.flow(tenantId, { staggerMs });
      await flows.run(tenantId, id);
      const rows = await world.sql.unsafe<{ device: number; after: number }[]>(
        `select distinct e.device_no as device, extract(epoch from e.due_at - min(e.due_at) over ())::float8 as after
         from enrolments e where e.flow_no = $1 order by 2`,
        [no],
      );
      return rows;
    };
    expect(new Set((await dueOf(null)).map((row) => row.after))).toEqual(new Set([0]));
    const due = await dueOf(3_600_000);
    expect(due).toHaveLength(20);
    const gaps = due.slice(1).map((row, index) => row.after - (due[index]?.after ?? 0));
    // evenly they would be 180 s apart
    expect(Math.min(...gaps)).toBeGreaterThan(90);
    expect(Math.max(...gaps)).toBeLessThan(360);
    expect(due.at(-1)?.after).toBeLessThan(3600);
  });
});
