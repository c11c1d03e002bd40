import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFlowWorld, type FlowWorld } from './flow-world.testing.ts';
import {
  applyStops,
  enrolLeads,
  type FlowRule,
  flowLeadsTo,
  importLeads,
  intent,
  type NewFlow,
  result,
  setFlowState,
  signalHook,
  storeInbound,
  suppress,
  unenrolLeads,
} from './index.ts';
import { createWorld, MAY_IDLE, newId, now, type World } from './test-world.ts';

let world: World;
let flows: FlowWorld;
beforeAll(async () => {
  world = await createWorld();
  flows = createFlowWorld(world);
});
afterAll(() => world.drop());

const END_ON_REPLY: FlowRule = { does: 'END', kind: 'REPLY', value: '' };
const TWO_STEPS = [
  { delayMs: 0, template: 'one' },
  { delayMs: 3_600_000, template: 'two' },
];
const phoneOf = async (tenantId: string): Promise<string> =>
  String((await world.sql.unsafe('select phone from leads where tenant_id = $1 order by no limit 1', [tenantId]))[0]?.['phone']);
const says = (deviceId: string, tenantId: string, sender: string, body: string, id = newId()) =>
  storeInbound(world.sql, [{ deviceId, id, tenantId, sender, senderLid: null, body, receivedAt: now() }]);
const write = (tenantId: string, phone: string, change: { tags?: string[]; stage?: string }) =>
  importLeads(world.sql, [
    {
      id: newId(),
      tenantId,
      phone,
      name: null,
      tags: change.tags ?? [],
      niche: null,
      stage: change.stage ?? null,
      attributes: {},
      consentSource: null,
      consentAt: null,
    },
  ]);
/** a started sequence that takes nobody from an audience, and a tenant with a device */
const listening = async (rules: readonly FlowRule[], change: Partial<NewFlow> = {}) => {
  const tenantId = await world.tenant();
  const [deviceId = ''] = await world.devices(1, { tenantId });
  const made = await flows.flow(tenantId, { kind: 'SEQUENCE', audience: null, rules, ...change });
  await setFlowState(world.sql, tenantId, made.id, 'RUNNING');
  const phone = `+4930${String(made.no).padStart(7, '0')}`;
  return { ...made, tenantId, deviceId, phone };
};
const leadIds = async (tenantId: string): Promise<string[]> =>
  (await world.sql.unsafe('select id from leads where tenant_id = $1 order by no', [tenantId])).map((row) => String(row['id']));

describe('a lead who writes back', () => {
  it('gets no more: one that waits has ended, by its phone or its LID, and only where the sequence says so', async () => {
    const stops = await flows.ready({ kind: 'SEQUENCE', steps: TWO_STEPS, rules: [END_ON_REPLY] });
    const goes = await flows.flow(stops.tenantId, { kind: 'SEQUENCE', steps: TWO_STEPS });
    await flows.run(stops.tenantId, goes.id);
    await stops.send((await stops.plan()) ?? '');
    expect(await flows.enrolments(stops.no)).toMatchObject([{ step: 2, waiting: true, cause: null }]);
    await says(stops.deviceId, stops.tenantId, await phoneOf(stops.tenantId), 'who are you?');
    expect(await flows.enrolments(stops.no)).toMatchObject([{ step: 2, waiting: false, cause: 'REPLIED' }]);
    expect(await flows.enrolments(goes.no)).toMatchObject([{ waiting: true, cause: null }]);
    const lid = await flows.ready({ kind: 'SEQUENCE', rules: [END_ON_REPLY] });
    await world.sql.unsafe(`update leads set lid = '77@lid' where tenant_id = $1`, [lid.tenantId]);
    const item = { deviceId: lid.deviceId, id: 'x', tenantId: lid.tenantId, sender: '', body: 'hi', receivedAt: now() };
    await storeInbound(world.sql, [{ ...item, senderLid: '78@lid' }]);
    expect(await flows.enrolments(lid.no)).toMatchObject([{ waiting: true }]);
    await storeInbound(world.sql, [{ ...item, id: 'y', senderLid: '77@lid' }]);
    expect(await flows.enrolments(lid.no)).toMatchObject([{ cause: 'REPLIED' }]);

    // the lead is known by his number only, and a device has learnt which LID is his
    const known = await flows.ready({ kind: 'SEQUENCE', rules: [END_ON_REPLY] });
    await world.sql.unsafe(
      `insert into identities (tenant_id, phone, lid) select tenant_id, phone, '79@lid' from leads where tenant_id = $1`,
      [known.tenantId],
    );
    await storeInbound(world.sql, [{ ...item, deviceId: known.deviceId, tenantId: known.tenantId, senderLid: '79@lid' }]);
    expect(await flows.enrolments(known.no)).toMatchObject([{ cause: 'REPLIED' }]);
  });

  it('has a planned message taken back at the intent, and none after one that was on its way', async () => {
    const planned = await flows.ready({ kind: 'SEQUENCE', steps: TWO_STEPS, rules: [END_ON_REPLY] });
    const message = (await planned.plan()) ?? '';
    await says(planned.deviceId, planned.tenantId, await phoneOf(planned.tenantId), 'hello');
    expect(await intent(world.sql, [world.intentItem(planned.deviceId, planned.epoch, message)])).toMatchObject([
      { verdict: 'UNPLANNED', cause: 'LEAD_STOPPED' },
    ]);
    expect(await world.sql.unsafe('select state from messages where id = $1', [message])).toMatchObject([{ state: 'CANCELLED' }]);
    expect(await world.backlog(planned.deviceId)).toBe(0);
    expect(await flows.enrolments(planned.no)).toMatchObject([{ waiting: false, message_id: null, cause: 'REPLIED' }]);

    const sending = await flows.ready({ kind: 'SEQUENCE', steps: TWO_STEPS, rules: [END_ON_REPLY] });
    const under = (await sending.plan()) ?? '';
    await intent(world.sql, [world.intentItem(sending.deviceId, sending.epoch, under)]);
    await says(sending.deviceId, sending.tenantId, await phoneOf(sending.tenantId), 'hello');
    await result(world.sql, [world.resultItem(sending.deviceId, sending.epoch, under, 'SENT')]);
    expect(await flows.enrolments(sending.no)).toMatchObject([{ step: 2, waiting: false, message_id: null, cause: 'REPLIED' }]);
  });

  it('is not in the way of who holds the enrolment: the end is made up for', async () => {
    const held = await flows.ready({ kind: 'SEQUENCE', steps: TWO_STEPS, rules: [END_ON_REPLY] });
    const phone = await phoneOf(held.tenantId);
    await world.sql.begin(async (other) => {
      await other.unsafe(MAY_IDLE);
      await other.unsafe('select 1 from enrolments where flow_no = $1 for update', [held.no]);
      await says(held.deviceId, held.tenantId, phone, 'hello');
    });
    expect(await flows.enrolments(held.no)).toMatchObject([{ waiting: true, cause: null }]);
    expect(await applyStops(world.sql, 10)).toBe(1);
    expect(await flows.enrolments(held.no)).toMatchObject([{ waiting: false, cause: 'REPLIED' }]);
    expect(await applyStops(world.sql, 10)).toBe(0);
  });

  it('who says stop has ended everywhere at once', async () => {
    const { no, tenantId } = await flows.ready({ kind: 'SEQUENCE', steps: TWO_STEPS });
    const phone = await phoneOf(tenantId);
    await suppress(world.sql, [{ id: newId(), tenantId, phone, lid: null, reason: 'OPT_OUT', source: 'test' }]);
    expect(await flows.enrolments(no)).toMatchObject([{ waiting: false, cause: 'SUPPRESSED' }]);
  });
});

describe('the goal', () => {
  it.each([
    ['tag', { does: 'END', kind: 'TAG', value: 'customer' }, { tags: ['customer'] }, { tags: ['other'] }],
    ['stage', { does: 'END', kind: 'STAGE', value: 'won' }, { stage: 'won' }, { stage: 'lost' }],
  ] as const)('ends a sequence for the lead who gets the %s, and keeps out who has it', async (_name, rule, reached, other) => {
    const { id, no, tenantId } = await flows.ready({ kind: 'SEQUENCE', steps: TWO_STEPS, rules: [rule] });
    const phone = await phoneOf(tenantId);
    await write(tenantId, phone, other as { tags?: string[] });
    expect(await flows.enrolments(no)).toMatchObject([{ waiting: true }]);
    await write(tenantId, phone, reached as { tags?: string[] });
    expect(await flows.enrolments(no)).toMatchObject([{ waiting: false, cause: 'GOAL' }]);
    await write(tenantId, '+4940000001', reached as { tags?: string[] });
    expect(await enrolLeads(world.sql, tenantId, id, await leadIds(tenantId))).toBe(0);
    const audience = await flows.flow(tenantId, { kind: 'SEQUENCE', rules: [rule] });
    await flows.run(tenantId, audience.id);
    expect(await flows.enrolments(audience.no)).toEqual([]);
  });
});

describe('a trigger', () => {
  it('TAG: leads that come with it or get it, once; others and those of other tenants do not', async () => {
    const { no, tenantId, phone } = await listening([{ does: 'ENROL', kind: 'TAG', value: 'vip' }]);
    await write(tenantId, phone, { tags: ['plain'] });
    await write(await world.tenant(), phone, { tags: ['vip'] });
    expect(await flows.enrolments(no)).toEqual([]);
    await write(tenantId, phone, { tags: ['vip'] });
    await write(tenantId, `${phone}1`, { tags: ['vip', 'plain'] });
    expect(await flows.enrolments(no)).toHaveLength(2);
    await world.sql.unsafe('delete from enrolments where flow_no = $1', [no]);
    // it has the tag already
    await write(tenantId, phone, { tags: ['vip'] });
    expect(await flows.enrolments(no)).toEqual([]);
  });

  it('STAGE: leads that come to it', async () => {
    const { no, tenantId, phone } = await listening([{ does: 'ENROL', kind: 'STAGE', value: 'warm' }]);
    await write(tenantId, phone, { stage: 'cold' });
    expect(await flows.enrolments(no)).toEqual([]);
    await write(tenantId, phone, { stage: 'warm' });
    expect(await flows.enrolments(no)).toHaveLength(1);
  });

  it('REPLY and KEYWORD: through the device that was written to; a keyword is the whole message, however it is written', async () => {
    const reply = await listening([{ does: 'ENROL', kind: 'REPLY', value: '' }]);
    const keyword = await flows.flow(reply.tenantId, {
      kind: 'SEQUENCE',
      audience: null,
      rules: [{ does: 'ENROL', kind: 'KEYWORD', value: 'mehr infos' }],
    });
    await setFlowState(world.sql, reply.tenantId, keyword.id, 'RUNNING');
    const [second = '', third = ''] = await world.devices(2, { tenantId: reply.tenantId });
    await write(reply.tenantId, reply.phone, {});
    await says(second, reply.tenantId, '+4999999', 'Mehr Infos');
    expect(await flows.enrolments(reply.no)).toEqual([]);
    await says(second, reply.tenantId, reply.phone, 'send me mehr infos');
    expect(await flows.enrolments(reply.no)).toMatchObject([{ device_id: second }]);
    expect(await flows.enrolments(keyword.no)).toEqual([]);
    await says(third, reply.tenantId, reply.phone, '  MEHR, infos!! ', 'same');
    expect(await flows.enrolments(keyword.no)).toMatchObject([{ device_id: third }]);
    await world.sql.unsafe('delete from enrolments where flow_no = $1', [keyword.no]);
    // the transport says it again: it was stored
    await says(third, reply.tenantId, reply.phone, 'mehr infos', 'same');
    expect(await flows.enrolments(keyword.no)).toEqual([]);
  });

  it('WEBHOOK: the leads it was called for; one that nobody listens to is not known', async () => {
    const { id, no, tenantId, phone } = await listening([{ does: 'ENROL', kind: 'WEBHOOK', value: 'order' }]);
    await write(tenantId, phone, {});
    expect(await signalHook(world.sql, tenantId, 'other', [phone])).toEqual({ known: false, enrolled: 0 });
    expect(await signalHook(world.sql, await world.tenant(), 'order', [phone])).toEqual({ known: false, enrolled: 0 });
    expect(await signalHook(world.sql, tenantId, 'order', [phone, '+4988888888'])).toEqual({ known: true, enrolled: 1 });
    expect(await signalHook(world.sql, tenantId, 'order', [phone])).toEqual({ known: true, enrolled: 0 });
    expect(await flows.enrolments(no)).toHaveLength(1);
    await setFlowState(world.sql, tenantId, id, 'CANCELLED');
    expect(await signalHook(world.sql, tenantId, 'order', [phone])).toEqual({ known: false, enrolled: 0 });
  });

  it('takes nobody who asked not to be messaged, and leaves a draft alone', async () => {
    const { no, tenantId, phone } = await listening([{ does: 'ENROL', kind: 'TAG', value: 'vip' }]);
    const draft = await flows.flow(tenantId, {
      kind: 'SEQUENCE',
      audience: null,
      rules: [{ does: 'ENROL', kind: 'TAG', value: 'vip' }],
    });
    await suppress(world.sql, [{ id: newId(), tenantId, phone, lid: null, reason: 'OPT_OUT', source: 'test' }]);
    await write(tenantId, phone, { tags: ['vip'] });
    expect(await flows.enrolments(no)).toEqual([]);
    expect(await flows.enrolments(draft.no)).toEqual([]);
  });
});

describe('coming in again', () => {
  const through = async (reentry: NonNullable<NewFlow['reentry']>) => {
    const made = await listening([], { reentry });
    await write(made.tenantId, made.phone, {});
    const ids = await leadIds(made.tenantId);
    const enrol = (flowId = made.id): Promise<number> => enrolLeads(world.sql, made.tenantId, flowId, ids);
    const end = (daysAgo = 0): Promise<unknown> =>
      world.sql.unsafe(
        `update enrolments set due_at = null, cause = 'DONE', step = 2, ended_at = now() - $2 * interval '1 day' where flow_no = $1`,
        [made.no, daysAgo],
      );
    expect(await enrol()).toBe(1);
    expect(await enrol()).toBe(0);
    return { ...made, ids, enrol, end };
  };

  it('never', async () => {
    const { enrol, end } = await through({ rule: 'NEVER' });
    await end(1000);
    expect(await enrol()).toBe(0);
  });
  it('after the end', async () => {
    const { no, enrol, end } = await through({ rule: 'AFTER_END' });
    await end();
    expect(await enrol()).toBe(1);
    expect(await flows.enrolments(no)).toMatchObject([{ step: 1, waiting: true, cause: null, message_id: null }]);
  });
  it('after some days', async () => {
    const { enrol, end } = await through({ rule: 'AFTER_DAYS', days: 7 });
    await end(6.9);
    expect(await enrol()).toBe(0);
    await end(7.1);
    expect(await enrol()).toBe(1);
  });
  it('taken out, a lead has left; who was not in it has not', async () => {
    const { id, no, tenantId, ids } = await through({ rule: 'AFTER_END' });
    expect(await unenrolLeads(world.sql, await world.tenant(), id, ids)).toBe(0);
    expect(await unenrolLeads(world.sql, tenantId, id, ids)).toBe(1);
    expect(await unenrolLeads(world.sql, tenantId, id, ids)).toBe(0);
    expect(await flows.enrolments(no)).toMatchObject([{ waiting: false, cause: 'STOPPED' }]);
  });
});

describe('the next version of a sequence', () => {
  it('takes the leads from its start on; those who are in the earlier one stay, and are not in both', async () => {
    const name = newId();
    const old = await listening([{ does: 'ENROL', kind: 'TAG', value: 'v' }], { name });
    await write(old.tenantId, old.phone, { tags: ['v'] });
    const next = await flows.flow(old.tenantId, {
      kind: 'SEQUENCE',
      audience: {},
      name,
      rules: [{ does: 'ENROL', kind: 'TAG', value: 'v' }],
    });
    await write(old.tenantId, `${old.phone}1`, { tags: ['v'] });
    expect(await flows.enrolments(old.no)).toHaveLength(2);
    await flows.run(old.tenantId, next.id);
    await write(old.tenantId, `${old.phone}2`, { tags: ['v'] });
    expect(await flows.enrolments(old.no)).toHaveLength(2);
    expect(await flows.enrolments(next.no)).toHaveLength(1);
    const ids = await leadIds(old.tenantId);
    expect(await enrolLeads(world.sql, old.tenantId, old.id, ids)).toBe(0);
    expect(await enrolLeads(world.sql, old.tenantId, next.id, ids)).toBe(0);
  });

  it('is where leads go on that come from the sequence before', async () => {
    const name = newId();
    const warm = await listening([], { name });
    const [deviceId = ''] = [warm.deviceId];
    const epoch = await world.own(deviceId);
    await write(warm.tenantId, warm.phone, {});
    const cold = await flows.flow(warm.tenantId, { kind: 'SEQUENCE', nextFlowId: warm.id });
    const newer = await flows.flow(warm.tenantId, { kind: 'SEQUENCE', audience: null, name });
    await setFlowState(world.sql, warm.tenantId, newer.id, 'RUNNING');
    await flows.run(warm.tenantId, cold.id);
    const message = await flows.planOne(warm.tenantId, deviceId, epoch, cold.no);
    await intent(world.sql, [world.intentItem(deviceId, epoch, message)]);
    await result(world.sql, [world.resultItem(deviceId, epoch, message, 'SENT')]);
    expect(await flows.enrolments(warm.no)).toEqual([]);
    expect(await flows.enrolments(newer.no)).toMatchObject([{ waiting: true, step: 1 }]);
  });

  it('may not lead into itself, by whatever way', async () => {
    const tenantId = await world.tenant();
    const a = await flows.flow(tenantId, { kind: 'SEQUENCE', name: 'a' });
    const b = await flows.flow(tenantId, { kind: 'SEQUENCE', name: 'b', nextFlowId: a.id });
    const c = await flows.flow(tenantId, { kind: 'SEQUENCE', name: 'c', nextFlowId: b.id });
    expect(await flowLeadsTo(world.sql, tenantId, c.id, 'a')).toBe(true);
    expect(await flowLeadsTo(world.sql, tenantId, a.id, 'a')).toBe(true);
    expect(await flowLeadsTo(world.sql, tenantId, c.id, 'd')).toBe(false);
  });
});
