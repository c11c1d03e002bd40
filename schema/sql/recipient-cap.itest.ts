import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPostgres } from '../../ops/connect/index.ts';
import { createFlowWorld } from './flow-world.testing.ts';
import {
  erasePerson,
  type IntentItem,
  intent,
  loadTenants,
  promoteDue,
  purge,
  redrive,
  result,
  setFlowState,
  setTenantRules,
} from './index.ts';
import { createWorld, newId, now, type World } from './test-world.ts';

const DAY_MS = 86_400_000;
let world: World;
let flows: ReturnType<typeof createFlowWorld>;
let leadNo = 1_000_000;
beforeAll(async () => {
  world = await createWorld();
  flows = createFlowWorld(world);
});
afterAll(async () => {
  await world.drop();
});

/** a flow that runs */
async function running(tenantId: string, kind: 'CAMPAIGN' | 'SEQUENCE' = 'CAMPAIGN'): Promise<number> {
  const { id, no } = await flows.flow(tenantId, { kind });
  await setFlowState(world.sql, tenantId, id, 'RUNNING');
  return no;
}
/** a message of the flow, as the planner leaves it, from a device of its own */
async function planned(tenantId: string, flowNo: number, recipient: string): Promise<IntentItem> {
  const [device = ''] = await world.devices(1, { tenantId });
  const id = await world.send(device, { tenantId, recipient });
  await world.sql.unsafe(
    'insert into enrolments (flow_no, lead_no, device_no, message_id) select $1, $2, d.no, $3 from devices d where d.id = $4',
    [flowNo, ++leadNo, id, device],
  );
  await world.sql.unsafe('update messages set flow_no = $2, lead_no = $3, step = 1 where id = $1', [id, flowNo, leadNo]);
  return world.intentItem(device, await world.own(device), id);
}
const CAPPED = ['SUPPRESSED', 'RECIPIENT_CAPPED'];
const ask = async (items: readonly IntentItem[]): Promise<unknown[]> =>
  (await intent(world.sql, items)).map((answer) => ('cause' in answer ? [answer.verdict, answer.cause] : answer.verdict));
const sends = async (tenantId: string, recipient: string): Promise<number | undefined> =>
  (
    await world.sql.unsafe('select cardinality(sent) as n from recipient_sends where tenant_id = $1 and recipient = $2', [
      tenantId,
      recipient,
    ])
  )[0]?.['n'];

describe('a cap for recipients (N11)', () => {
  it('holds over campaigns and devices, and for nothing else', async () => {
    const tenantId = await world.tenant();
    const [first, second] = [await running(tenantId), await running(tenantId)];
    const anna = '+4915150000001';
    expect(await ask([await planned(tenantId, first, anna)])).toEqual(['PASS']);
    expect(await sends(tenantId, anna)).toBe(undefined);

    await setTenantRules(world.sql, tenantId, { recipientCap: { messages: 2, days: 3 } });
    expect(await loadTenants(world.sql, [tenantId])).toMatchObject([{ recipientCap: { messages: 2, days: 3 } }]);
    const counted = await planned(tenantId, first, anna);
    expect(await ask([counted])).toEqual(['PASS']);
    expect(await ask([await planned(tenantId, second, anna)])).toEqual(['PASS']);
    const over = await planned(tenantId, first, anna);
    expect(await ask([over])).toEqual([CAPPED]);
    const [ended] = await world.sql.unsafe('select state from messages where id = $1', [over.messageId]);
    expect([ended?.['state'], await world.backlog(over.deviceId)]).toEqual(['SUPPRESSED', 0]);
    expect(await ask([await planned(tenantId, second, '+4915150000002')])).toEqual(['PASS']);
    // a direct message, a sequence's, another tenant's
    const [device = ''] = await world.devices(1, { tenantId });
    const direct = await world.send(device, { tenantId, recipient: anna });
    const others = [
      world.intentItem(device, await world.own(device), direct),
      await planned(tenantId, await running(tenantId, 'SEQUENCE'), anna),
      await planned(world.tenantId, await running(world.tenantId), anna),
    ];
    expect(await ask(others)).toEqual(['PASS', 'PASS', 'PASS']);

    // what was counted once goes again, after a retry as after a redrive
    await result(world.sql, [world.resultItem(counted.deviceId, counted.epoch, counted.messageId, 'QUEUED')]);
    expect(await ask([counted])).toEqual(['PASS']);
    await result(world.sql, [world.resultItem(counted.deviceId, counted.epoch, counted.messageId, 'FAILED', { attempt: 2 })]);
    await redrive(world.sql, tenantId, [counted.messageId], 1);
    await promoteDue(world.sql, 10);
    expect(await ask([{ ...counted, seq: 2 }])).toEqual(['PASS']);
    expect(await sends(tenantId, anna)).toBe(2);
  });

  it('lets go when the days are over, and when it is taken away', async () => {
    const tenantId = await world.tenant();
    const flow = await running(tenantId);
    const ben = '+4915150000003';
    await setTenantRules(world.sql, tenantId, { recipientCap: { messages: 1, days: 3 } });
    const next = async (): Promise<unknown> => (await ask([await planned(tenantId, flow, ben)]))[0];
    const age = (days: number) =>
      world.sql.unsafe(
        `update recipient_sends r set sent = array(select t - $2 * interval '1 day' from unnest(r.sent) t) where r.tenant_id = $1`,
        [tenantId, days],
      );
    expect([await next(), await next()]).toEqual(['PASS', CAPPED]);
    await age(2.9);
    expect(await next()).toEqual(CAPPED);
    await age(0.2);
    expect([await next(), await next()]).toEqual(['PASS', CAPPED]);
    await setTenantRules(world.sql, tenantId, { recipientCap: { messages: 2, days: 90 } });
    expect(await next()).toEqual(CAPPED);
    await setTenantRules(world.sql, tenantId, { consentRequired: false });
    expect(await next()).toEqual(CAPPED);
    await setTenantRules(world.sql, tenantId, { recipientCap: null });
    expect([await next(), await sends(tenantId, ben)]).toEqual(['PASS', 2]);
    // what does not pass for another reason is not counted
    await setTenantRules(world.sql, tenantId, { recipientCap: { messages: 1, days: 1 } });
    const waits = await planned(tenantId, flow, '+4915150000004');
    await world.sql.unsafe(`update messages set due_at = now() + interval '1 hour' where id = $1`, [waits.messageId]);
    expect([await ask([waits]), await sends(tenantId, '+4915150000004')]).toEqual([['NOT_DUE'], undefined]);
  });

  it('counts right where statements meet: the same people in one statement and in several at once, in any order', async () => {
    const tenantId = await world.tenant();
    const flow = await running(tenantId);
    await setTenantRules(world.sql, tenantId, { recipientCap: { messages: 3, days: 1 } });
    const people = Array.from({ length: 10 }, (_, n) => `+491515000001${n}`);
    const batches: IntentItem[][] = [];
    for (let batch = 0; batch < 4; batch++) {
      const items: IntentItem[] = [];
      // each person twice in a batch; device ids rise, people go up and down
      for (const person of [...people, ...people.toReversed()]) items.push(await planned(tenantId, flow, person));
      batches.push(batch % 2 === 0 ? items : items.toReversed());
    }
    const clients = batches.map((_, n) => connectPostgres(world.url, { applicationName: `cap ${n}`, max: 1 }));
    try {
      const answers = await Promise.all(batches.map((items, n) => intent(clients[n] ?? world.sql, items)));
      const passed = answers.flat().flatMap((answer) => (answer.verdict === 'PASS' ? [answer.message.recipient] : []));
      for (const person of people) expect(passed.filter((one) => one === person)).toHaveLength(3);
      expect(answers.flat().filter((answer) => answer.verdict === 'SUPPRESSED')).toHaveLength(4 * 20 - 30);
    } finally {
      await Promise.all(clients.map((client) => client.end()));
    }
  });

  it('keeps nothing of the erased, and forgets whom nobody wrote to', async () => {
    const tenantId = await world.tenant();
    const flow = await running(tenantId);
    await setTenantRules(world.sql, tenantId, { recipientCap: { messages: 1, days: 1 } });
    const people = ['+4915150000021', '+4915150000022', '+4915150000023'];
    for (const person of people) await ask([await planned(tenantId, flow, person)]);
    await erasePerson(world.sql, { id: newId(), tenantId, phone: '+4915150000021', nowMs: now() });
    await world.sql.unsafe(`update recipient_sends set last_at = now() - interval '91 days' where recipient = '+4915150000022'`);
    const gone = await purge(world.sql, {
      keysBeforeMs: 0,
      inboundBeforeMs: 0,
      recipientsBeforeMs: now() - 90 * DAY_MS,
      chunk: 10,
      chunks: 10,
      pause: async () => {},
    });
    expect(gone.recipients).toBe(1);
    expect(await Promise.all(people.map((person) => sends(tenantId, person)))).toEqual([undefined, undefined, 1]);
  });
});
