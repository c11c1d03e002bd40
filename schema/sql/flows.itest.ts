import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFlowWorld, type FlowWorld } from './flow-world.testing.ts';
import {
  cancel,
  enrolChunk,
  finishFlows,
  flowCandidates,
  importLeads,
  intent,
  planMessages,
  redrive,
  result,
  setFlowState,
} from './index.ts';
import { createWorld, newId, now, type World } from './test-world.ts';

let world: World;
let leads: FlowWorld['leads'];
let flow: FlowWorld['flow'];
let run: FlowWorld['run'];
let enrolments: FlowWorld['enrolments'];
let ready: FlowWorld['ready'];
beforeAll(async () => {
  world = await createWorld();
  ({ leads, flow, run, enrolments, ready } = createFlowWorld(world));
});
afterAll(() => world.drop());

describe('enrolling', () => {
  it('goes through the leads in chunks, once each, evenly over the devices, and only through those the audience names', async () => {
    const tenantId = await world.tenant();
    await world.devices(4, { tenantId });
    await leads(tenantId, 40, { tags: ['a'] });
    await leads(tenantId, 10, { tags: ['b'] });
    await leads(await world.tenant(), 5, { tags: ['a'] });
    const { id, no } = await flow(tenantId, { audience: { tags: ['a', 'c'] } });
    const chunks = await run(tenantId, id, 15);
    expect(chunks.map((chunk) => [chunk.enrolled, chunk.last])).toEqual([
      [15, false],
      [15, false],
      [10, false],
      [0, true],
    ]);
    const rows = await enrolments(no);
    const loads = new Map<string, number>();
    for (const row of rows) loads.set(row.device_id, (loads.get(row.device_id) ?? 0) + 1);
    expect([...loads.values()]).toEqual([10, 10, 10, 10]);
    // the same lead meets the same device in the next flow
    const other = await flow(tenantId, { audience: { tags: ['a'] } });
    await run(tenantId, other.id);
    expect((await enrolments(other.no)).map((row) => row.device_id)).toEqual(rows.map((row) => row.device_id));
  });

  it('waits for a device when it has none, and does not hold up others', async () => {
    const tenantId = await world.tenant();
    await leads(tenantId, 2);
    const { id, no } = await flow(tenantId);
    expect(await run(tenantId, id)).toEqual([]);
    expect(await finishFlows(world.sql)).not.toContain(tenantId);
    await world.devices(1, { tenantId });
    expect(await enrolChunk(world.sql, 1000)).toMatchObject({ flowNo: no, enrolled: 2 });
  });

  it('leaves out who asked not to be messaged', async () => {
    const tenantId = await world.tenant();
    await world.devices(1, { tenantId });
    await leads(tenantId, 3);
    await world.sql.unsafe(
      `insert into suppressions (id, tenant_id, phone, reason, source) select $1, l.tenant_id, l.phone, 'STOP', 'test' from leads l where l.tenant_id = $2 limit 1`,
      [newId(), tenantId],
    );
    const { id, no } = await flow(tenantId);
    await run(tenantId, id);
    expect(await enrolments(no)).toHaveLength(2);
  });
});

describe('planning', () => {
  it('makes one message however many plan it, and the next only when the last was sent', async () => {
    const { no, plan, send } = await ready({
      kind: 'SEQUENCE',
      steps: [
        { delayMs: 0, template: 'one' },
        { delayMs: 3_600_000, template: 'two' },
      ],
    });
    const made = (await Promise.all([plan(), plan(), plan()])).filter((id) => id !== undefined);
    expect(made).toHaveLength(1);
    expect(await enrolments(no)).toMatchObject([{ step: 1, waiting: false, message_id: made[0], cause: null }]);
    expect(await plan()).toBeUndefined();
    await send(made[0] ?? '');
    expect(await enrolments(no)).toMatchObject([{ step: 2, waiting: true, message_id: null, cause: null }]);
    // its time has not come
    expect(await plan()).toBeUndefined();
    await world.sql.unsafe('update enrolments set due_at = now() where flow_no = $1', [no]);
    await send((await plan()) ?? '');
    expect(await enrolments(no)).toMatchObject([{ step: 3, waiting: false, message_id: null, cause: 'DONE' }]);
  });

  it('asks how a message ended, whichever statement ended it', async () => {
    const failed = await ready();
    await failed.send((await failed.plan()) ?? '', 'FAILED');
    const [row] = await enrolments(failed.no);
    expect(row).toMatchObject({ waiting: false, cause: 'FAILED' });
    // redriven and sent: it has gone through after all
    const id = row?.message_id ?? '';
    await redrive(world.sql, failed.tenantId, [id], 1);
    await world.sql.unsafe('update messages set seq = 99 where id = $1', [id]);
    await failed.send(id, 'SENT', 2);
    expect(await enrolments(failed.no)).toMatchObject([{ cause: 'DONE', message_id: null }]);
    const called = await ready();
    await cancel(world.sql, called.tenantId, (await called.plan()) ?? '');
    expect(await enrolments(called.no)).toMatchObject([{ waiting: false, cause: 'CANCELLED' }]);
  });

  it('makes nothing for who asked not to be messaged, and ends his enrolment', async () => {
    const { no, tenantId, deviceId, plan } = await ready();
    await world.sql.unsafe(
      `insert into suppressions (id, tenant_id, phone, reason, source) select $1, l.tenant_id, l.phone, 'STOP', 'test' from leads l where l.tenant_id = $2`,
      [newId(), tenantId],
    );
    expect(await plan()).toBeUndefined();
    expect(await enrolments(no)).toMatchObject([{ waiting: false, cause: 'SUPPRESSED' }]);
    expect(await world.backlog(deviceId)).toBe(0);
  });

  it('is for the present owner alone', async () => {
    const { no, deviceId, plan } = await ready();
    await world.own(deviceId, 'node-2');
    expect(await plan()).toBeUndefined();
    expect(await enrolments(no)).toMatchObject([{ waiting: true }]);
  });

  it('numbers the messages of a batch in order, without holes, and the backlog counts them', async () => {
    const tenantId = await world.tenant();
    const [deviceId = ''] = await world.devices(1, { tenantId });
    const epoch = await world.own(deviceId);
    await leads(tenantId, 5);
    const { id, no } = await flow(tenantId);
    await run(tenantId, id);
    const found = await flowCandidates(world.sql, [{ deviceId, flowNo: no, room: 3 }]);
    expect(found).toHaveLength(3);
    expect(found[0]).toMatchObject({ deviceId, attributes: { city: 'Ulm' }, step: 1 });
    const outcomes = await planMessages(
      world.sql,
      found.map((one) => ({
        flowNo: no,
        leadNo: one.leadNo,
        step: 1,
        messageId: newId(),
        tenantId,
        deviceId,
        epoch,
        lane: 'normal' as const,
        recipient: one.phone ?? '',
        recipientLid: null,
        body: 'x',
      })),
    );
    expect(outcomes).toEqual([1, 2, 3].map((seq) => ({ kind: 'planned', seq })));
    expect(await world.backlog(deviceId)).toBe(3);
  });

  it('goes on in the next flow when this one is through, through the same device', async () => {
    const tenantId = await world.tenant();
    const [first = '', second = ''] = await world.devices(2, { tenantId });
    const epochs = new Map([
      [first, await world.own(first)],
      [second, await world.own(second)],
    ]);
    await leads(tenantId, 1);
    const warm = await flow(tenantId, { kind: 'SEQUENCE', audience: null });
    await setFlowState(world.sql, tenantId, warm.id, 'RUNNING');
    const cold = await flow(tenantId, { kind: 'SEQUENCE', nextFlowId: warm.id });
    await run(tenantId, cold.id);
    const [enrolled] = await enrolments(cold.no);
    const deviceId = enrolled?.device_id ?? '';
    const epoch = epochs.get(deviceId) ?? 0;
    const [one] = await flowCandidates(world.sql, [{ deviceId, flowNo: cold.no, room: 1 }]);
    const messageId = newId();
    await planMessages(world.sql, [
      {
        flowNo: cold.no,
        leadNo: one?.leadNo ?? 0,
        step: 1,
        messageId,
        tenantId,
        deviceId,
        epoch,
        lane: 'normal',
        recipient: one?.phone ?? '',
        recipientLid: null,
        body: 'x',
      },
    ]);
    expect(await enrolments(warm.no)).toEqual([]);
    await intent(world.sql, [world.intentItem(deviceId, epoch, messageId)]);
    await result(world.sql, [world.resultItem(deviceId, epoch, messageId, 'SENT')]);
    expect(await enrolments(warm.no)).toMatchObject([{ device_id: deviceId, step: 1, waiting: true }]);
  });
});

describe('a campaign whose last lead is through', () => {
  const stateOf = async (no: number): Promise<string> =>
    String((await world.sql.unsafe('select state from flows where no = $1', [no]))[0]?.['state']);

  it('is DONE: not while it enrols, while one waits or while one is under way', async () => {
    const { no, id, tenantId, plan, send } = await ready();
    const finish = async (): Promise<boolean> => (await finishFlows(world.sql)).includes(tenantId);
    expect(await finish()).toBe(false);
    const message = (await plan()) ?? '';
    expect(await finish()).toBe(false);
    await world.sql.unsafe('update flows set enrol_from = 0 where no = $1', [no]);
    await send(message);
    expect(await finish()).toBe(false);
    await world.sql.unsafe('update flows set enrol_from = null where no = $1', [no]);
    expect(await finish()).toBe(true);
    expect(await stateOf(no)).toBe('DONE');
    expect(await finish()).toBe(false);
    expect(await setFlowState(world.sql, tenantId, id, 'RUNNING')).toEqual({ state: 'DONE', changed: false });
  });

  it('lets a redriven message go; one that a pause takes back waits again, and has not failed', async () => {
    const done = await ready();
    const failed = (await done.plan()) ?? '';
    await done.send(failed, 'FAILED');
    expect(await finishFlows(world.sql)).toContain(done.tenantId);
    const again = async (tenantId: string, message: string): Promise<void> => {
      await redrive(world.sql, tenantId, [message], 1);
      await world.sql.unsafe('update messages set seq = 99 where id = $1', [message]);
    };
    await again(done.tenantId, failed);
    await done.send(failed, 'SENT', 2);
    expect(await enrolments(done.no)).toMatchObject([{ cause: 'DONE', message_id: null }]);
    const held = await ready();
    const taken = (await held.plan()) ?? '';
    await held.send(taken, 'FAILED');
    await again(held.tenantId, taken);
    await setFlowState(world.sql, held.tenantId, held.id, 'PAUSED');
    expect(await intent(world.sql, [world.intentItem(held.deviceId, held.epoch, taken)])).toMatchObject([{ verdict: 'UNPLANNED' }]);
    expect(await enrolments(held.no)).toMatchObject([{ waiting: true, cause: null }]);
  });

  it('runs again for a redriven message that its hours hold back: the message goes when they open, and the campaign is DONE again', async () => {
    const { no, tenantId, deviceId, epoch, plan, send } = await ready();
    const failed = (await plan()) ?? '';
    await send(failed, 'FAILED');
    expect(await finishFlows(world.sql)).toContain(tenantId);
    const hours = async (days: string): Promise<unknown> =>
      world.sql.unsafe(
        `update flows set hours = jsonb_build_object('zone', 'UTC', 'from', '00:00', 'to', '00:00', 'days', ${days}) where no = $1`,
        [no],
      );
    await hours(`jsonb_build_array(1 + (extract(isodow from now() at time zone 'UTC')::int + 2) % 7)`);
    await redrive(world.sql, tenantId, [failed], 1);
    await world.sql.unsafe('update messages set seq = 99 where id = $1', [failed]);
    expect(await intent(world.sql, [world.intentItem(deviceId, epoch, failed)])).toMatchObject([
      { verdict: 'UNPLANNED', cause: 'FLOW_PAUSED' },
    ]);
    expect(await enrolments(no)).toMatchObject([{ waiting: true, cause: null, message_id: null }]);
    expect(await stateOf(no)).toBe('RUNNING');
    expect(await plan()).toBeUndefined();
    expect(await finishFlows(world.sql)).not.toContain(tenantId);
    await hours(`'[1, 2, 3, 4, 5, 6, 7]'::jsonb`);
    await send((await plan()) ?? '');
    expect(await enrolments(no)).toMatchObject([{ cause: 'DONE' }]);
    expect(await finishFlows(world.sql)).toContain(tenantId);
  });

  it('is not a sequence: leads come into one at any time', async () => {
    const { no, tenantId, plan, send } = await ready({ kind: 'SEQUENCE' });
    await send((await plan()) ?? '');
    expect(await finishFlows(world.sql)).not.toContain(tenantId);
    expect(await stateOf(no)).toBe('RUNNING');
  });
});

describe('a flow that stops', () => {
  it('takes its message back at the intent: paused, it is planned anew; resumed, it goes', async () => {
    const { id, no, tenantId, deviceId, epoch, plan, send } = await ready();
    const message = (await plan()) ?? '';
    expect(await setFlowState(world.sql, tenantId, id, 'PAUSED')).toEqual({ state: 'PAUSED', changed: true });
    expect(await intent(world.sql, [world.intentItem(deviceId, epoch, message)])).toEqual([
      { verdict: 'UNPLANNED', tenantId, attempt: 0, cause: 'FLOW_PAUSED' },
    ]);
    const [row] = await world.sql.unsafe('select state, cause from messages where id = $1', [message]);
    expect(row).toEqual({ state: 'CANCELLED', cause: 'FLOW_PAUSED' });
    expect(await world.backlog(deviceId)).toBe(0);
    expect(await enrolments(no)).toMatchObject([{ step: 1, waiting: true, message_id: null, cause: null }]);
    expect(await plan()).toBeUndefined();
    await setFlowState(world.sql, tenantId, id, 'RUNNING');
    await send((await plan()) ?? '');
    expect(await enrolments(no)).toMatchObject([{ cause: 'DONE' }]);
  });

  it('cancelled: what is planned ends, and nothing more is', async () => {
    const { id, no, tenantId, deviceId, epoch, plan } = await ready();
    const message = (await plan()) ?? '';
    await setFlowState(world.sql, tenantId, id, 'CANCELLED');
    expect(await intent(world.sql, [world.intentItem(deviceId, epoch, message)])).toMatchObject([
      { verdict: 'UNPLANNED', cause: 'FLOW_ENDED' },
    ]);
    expect(await enrolments(no)).toMatchObject([{ waiting: false, cause: 'CANCELLED' }]);
    expect(await setFlowState(world.sql, tenantId, id, 'RUNNING')).toEqual({ state: 'CANCELLED', changed: false });
  });

  it('outside its hours is as paused; an open outcome goes on to its end', async () => {
    const { no, deviceId, epoch, plan } = await ready();
    const message = (await plan()) ?? '';
    const zone = 'Europe/Berlin';
    const [here] = await world.sql.unsafe<{ hour: number; day: number }[]>(
      `select extract(hour from now() at time zone $1)::int as hour, extract(isodow from now() at time zone $1)::int as day`,
      [zone],
    );
    const at = (hour: number): string => `${String((hour + 24) % 24).padStart(2, '0')}:00`;
    const hours = async (from: number, to: number, days: number[]): Promise<unknown> =>
      world.sql.unsafe(`update flows set hours = $2::text::jsonb where no = $1`, [
        no,
        JSON.stringify({ zone, from: at(from), to: at(to), days }),
      ]);
    const hour = here?.hour ?? 0;
    const all = [1, 2, 3, 4, 5, 6, 7];
    const open = async (): Promise<boolean> =>
      (await world.sql.unsafe<{ open: boolean }[]>('select flow_is_open(state, hours, now()) as open from flows where no = $1', [no]))[0]
        ?.open === true;
    await hours(hour - 2, hour + 2, all);
    expect(await open()).toBe(true);
    await hours(hour + 2, hour - 2, all);
    expect(await open()).toBe(false);
    await hours(
      hour - 2,
      hour + 2,
      all.filter((day) => ![here?.day, ((here?.day ?? 1) % 7) + 1, (((here?.day ?? 1) + 5) % 7) + 1].includes(day)),
    );
    expect(await open()).toBe(false);
    // begun before the end of the hours
    await world.sql.unsafe('update flows set hours = null where no = $1', [no]);
    await intent(world.sql, [world.intentItem(deviceId, epoch, message)]);
    await result(world.sql, [world.resultItem(deviceId, epoch, message, 'UNKNOWN')]);
    await hours(hour + 2, hour - 2, all);
    expect(await intent(world.sql, [world.intentItem(deviceId, epoch, message, { resendUnknown: true })])).toMatchObject([
      { verdict: 'PASS' },
    ]);
  });
});

it('while new chats are paused those have a turn who know the device, however many strangers stand before them', async () => {
  const tenantId = await world.tenant();
  const [deviceId = ''] = await world.devices(1, { tenantId });
  await leads(tenantId, 8);
  const { id, no } = await flow(tenantId);
  await run(tenantId, id);
  const turn = async (): Promise<number> => (await flowCandidates(world.sql, [{ deviceId, flowNo: no, room: 3 }])).length;
  const pause = (until: number) =>
    world.sql.unsafe('update devices set settings = $2::text::jsonb where id = $1', [
      deviceId,
      JSON.stringify({ standing: { coldUntil: until } }),
    ]);
  expect(await turn()).toBe(3);
  await pause(now() + 60_000);
  expect(await turn()).toBe(0);
  const [last] = await world.sql.unsafe<{ phone: string }[]>('select phone from leads where tenant_id = $1 order by no desc limit 1', [
    tenantId,
  ]);
  await world.sql.unsafe('insert into acquaintances (device_id, phone) values ($1, $2)', [deviceId, last?.phone ?? '']);
  expect(await flowCandidates(world.sql, [{ deviceId, flowNo: no, room: 3 }])).toMatchObject([{ phone: last?.phone }]);
  await pause(now() - 1000);
  expect(await turn()).toBe(3);
});

it('importing again changes what is given and keeps the rest', async () => {
  const tenantId = await world.tenant();
  const one = {
    id: newId(),
    tenantId,
    phone: '+15550009999',
    name: 'Ann',
    tags: ['a'],
    niche: 'shoes',
    stage: null,
    attributes: { city: 'Ulm' },
    consentSource: 'form',
    consentAt: now(),
  };
  expect(await importLeads(world.sql, [one])).toEqual({ made: 1, changed: 0 });
  expect(
    await importLeads(world.sql, [
      { ...one, id: newId(), name: null, niche: null, tags: ['b'], attributes: { size: '44' }, consentSource: null, consentAt: null },
    ]),
  ).toEqual({ made: 0, changed: 1 });
  const [row] = await world.sql.unsafe('select name, tags, niche, attributes, consent_source from leads where tenant_id = $1', [tenantId]);
  expect(row).toEqual({ name: 'Ann', tags: ['a', 'b'], niche: 'shoes', attributes: { city: 'Ulm', size: '44' }, consent_source: 'form' });
});
