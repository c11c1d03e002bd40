import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../ops/lifecycle/index.ts';
import { uuidV7 } from '../schema/domain/index.ts';
import {
  bumpEpochs,
  createDevices,
  createFlow,
  createTenant,
  enrolChunk,
  flowCandidates,
  foldReports,
  importLeads,
  intent,
  ownershipOf,
  planMessages,
  result,
  setFlowState,
} from '../schema/sql/index.ts';
import { type AskOptions, type Data, startTestGateway, type TestGateway } from './gateway.testing.ts';

/** The progress of a campaign as stock clients see it: a whole gateway over the wire, the node played by statements. */
let gateway: TestGateway;
let tenantId = '';
let over = false;
const device = uuidV7(systemClock.wall());
const flowId = uuidV7(systemClock.wall());
const campaign = `Campaign:${flowId}`;

/** Watches a campaign; one that a busy gateway lets go begins again. */
function watch(id: string, options?: Pick<AskOptions, 'key' | 'tenant'>): { readonly got: Data[]; last(): Data; again(): number } {
  const got: Data[] = [];
  let again = 0;
  const query = `subscription($id: ID!) { campaignProgress(id: $id) {
    seq asOf state enrolled enrolling left sentPerMinute eta progress { place leads } campaign { name } } }`;
  const begin = (): void => {
    const next = (answer: Data): void => {
      if (answer.errors?.[0]?.extensions?.code === 'UNAVAILABLE') return;
      got.push(answer);
      ended ||= answer.errors !== undefined;
    };
    const anew = (): void => {
      if (ended || over) return;
      again += 1;
      begin();
    };
    gateway.connect(options).subscribe<Data>({ query, variables: { id } }, { next, error: anew, complete: anew });
  };
  let ended = false;
  begin();
  return { got, last: () => got.at(-1)?.data?.campaignProgress, again: () => again };
}
/** a busy machine is slow, not wrong; reports tell a minute when 20 s of it are over */
const BOUND = { timeout: 150_000, interval: 50 };

// by statements: a gateway that is short of CPU tells a caller to come again
beforeAll(async () => {
  gateway = await startTestGateway({ LIVE_TICK_MS: '5' });
  const { sql } = gateway.database;
  tenantId = String((await sql.unsafe('select id from tenants limit 1'))[0]?.['id']);
  const pace = { paceMinMs: 0, paceMaxMs: 0, dailyCap: null };
  await createDevices(sql, [{ id: device, tenantId, name: 'd', transport: 'simulator', ...pace }]);
  const nothing = { name: null, tags: [], niche: null, stage: null, attributes: {}, consentSource: null, consentAt: null };
  await importLeads(
    sql,
    [1, 2, 3, 4].map((n) => ({ id: uuidV7(systemClock.wall()), tenantId, phone: `+1555000000${n}`, ...nothing })),
  );
  const everybody = { audience: {}, deviceIds: null, hours: null, startAt: null, nextFlowId: null };
  const steps = [{ delayMs: 0, template: 'Hi' }];
  await createFlow(sql, { id: flowId, tenantId, kind: 'CAMPAIGN', name: 'live', lane: 'high', steps, ...everybody });
}, 240_000);
afterAll(async () => {
  over = true;
  await gateway?.stop();
});

/** plans and sends the messages of so many leads, as their owner would */
async function send(many: number): Promise<void> {
  const { sql } = gateway.database;
  const [owner] = await ownershipOf(sql, { deviceIds: [device] });
  const [won] = await bumpEpochs(sql, [{ deviceId: device, epoch: owner?.epoch ?? 0, crash: false }], 'node-1');
  const [flow] = await sql.unsafe<{ no: number; tenant_id: string }[]>('select no, tenant_id from flows');
  const ready = await flowCandidates(sql, [{ deviceId: device, flowNo: flow?.no ?? 0, room: many }]);
  const items = ready.map(({ flowNo, leadNo, step, phone }) => ({
    ...{ flowNo, leadNo, step, messageId: uuidV7(systemClock.wall()), tenantId: flow?.tenant_id ?? '', deviceId: device },
    ...{ epoch: won?.epoch ?? 0, lane: 'high' as const, recipient: phone ?? '', recipientLid: null, body: 'Hi' },
  }));
  expect(items).toHaveLength(many);
  await planMessages(sql, items);
  for (const { messageId, epoch } of items) {
    const turn = { deviceId: device, epoch, messageId };
    await intent(sql, [{ ...turn, node: 'node-1', paceMs: 0, resendUnknown: false, budget: 6 }]);
    await result(sql, [{ ...turn, attempt: 1, state: 'SENT', cause: null, error: null, dueAt: null, at: systemClock.wall() }]);
  }
}

it('says what it is, then each change, to all who watch alike: leads, speed, end in sight, a pause', { timeout: 600_000 }, async () => {
  const { sql } = gateway.database;
  const one = watch(campaign);
  const viewer = watch(campaign, { key: await gateway.keyOf('VIEWER') });
  const began = systemClock.monotonic();
  await expect
    .poll(one.last, BOUND)
    .toMatchObject({ state: 'DRAFT', enrolled: 0, left: 0, eta: null, progress: [], campaign: { name: 'live' } });
  await setFlowState(sql, tenantId, flowId, 'RUNNING');
  while ((await enrolChunk(sql, 1000)) !== null);
  const waiting = {
    state: 'RUNNING',
    enrolled: 4,
    enrolling: false,
    left: 4,
    progress: [{ place: 'WAITING', leads: 4 }],
    sentPerMinute: 0,
  };
  await expect.poll(one.last, BOUND).toMatchObject(waiting);
  await send(3);
  const places = [
    { place: 'DONE', leads: 3 },
    { place: 'WAITING', leads: 1 },
  ];
  await expect.poll(one.last, BOUND).toMatchObject({ left: 1, progress: places });
  // the speed follows with the reports
  while ((await foldReports(sql)) > 0);
  await expect.poll(() => one.last().sentPerMinute, BOUND).toBeGreaterThan(0);
  expect(Date.parse(one.last().eta)).toBeGreaterThan(Date.parse(one.last().asOf));
  await setFlowState(sql, tenantId, flowId, 'PAUSED');
  await expect.poll(one.last, BOUND).toMatchObject({ state: 'PAUSED', eta: null });
  await expect.poll(() => JSON.stringify(viewer.last()) === JSON.stringify(one.last()), BOUND).toBe(true);
  // at most one a second, each another than the one before
  expect(one.got.length).toBeLessThanOrEqual(2 + one.again() + (systemClock.monotonic() - began) / 1000);
  const seqs = one.got.map(({ data }) => data.campaignProgress.seq);
  expect(seqs.length - new Set(seqs).size).toBeLessThanOrEqual(one.again());
});

it('is not there for who may not see it', { timeout: 400_000 }, async () => {
  const answerOf = async (id: string, options?: Pick<AskOptions, 'key' | 'tenant'>): Promise<string> => {
    const { got } = watch(id, options);
    await expect.poll(() => got.length, BOUND).toBeGreaterThan(0);
    expect(got[0]?.data?.campaignProgress ?? null).toBeNull();
    return got[0]?.errors?.[0]?.extensions?.code;
  };
  const other = uuidV7(systemClock.wall());
  await createTenant(gateway.database.sql, { id: other, name: 'other' });
  expect(await answerOf(campaign, { tenant: other })).toBe('CAMPAIGN_NOT_FOUND');
  expect(await answerOf('Campaign:018f0000-0000-7000-8000-0000000000ff')).toBe('CAMPAIGN_NOT_FOUND');
  expect(await answerOf('Device:018f0000-0000-7000-8000-0000000000ff')).toBe('INVALID_ID');
  expect(await answerOf(campaign, { key: await gateway.keyOf('SCREEN') })).toBe('FORBIDDEN');
});
