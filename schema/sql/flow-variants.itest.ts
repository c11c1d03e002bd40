import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFlowWorld, type FlowWorld } from './flow-world.testing.ts';
import {
  addReportCounts,
  type FlowVariant,
  flowCandidates,
  flowsPage,
  foldReports,
  intent,
  liveFlows,
  NO_COUNTS,
  planMessages,
  previewFlow,
  type ReportCounts,
  type ResultItem,
  reportSteps,
  result,
  setFlowState,
  variantProgress,
  variantSubject,
} from './index.ts';
import { createWorld, newId, now, type World } from './test-world.ts';

let world: World;
let flows: FlowWorld;
beforeAll(async () => {
  world = await createWorld();
  flows = createFlowWorld(world);
});
afterAll(() => world.drop());

const shares = (first: number): FlowVariant[] => [
  { name: 'short', template: 'A {{name}}', percent: first },
  { name: 'long', template: 'B {{name}}', percent: 100 - first },
];
/** The choice as it is told: the first four bytes of a hash of both numbers, in hundredths. */
const bucketOf = (flowNo: number, leadNo: number): number =>
  createHash('sha256').update(`${flowNo}:${leadNo}`).digest().readUInt32BE(0) % 100;
const chosen = (flowNo: number, leadNo: number, first: number): number => (bucketOf(flowNo, leadNo) < first ? 1 : 2);

/** the variants that the database draws for leads 1 to `leads` */
async function drawn(flowNo: number, leads: number, variants: readonly FlowVariant[] | null): Promise<(number | null)[]> {
  const rows = await world.sql.unsafe<{ variant: number | null }[]>(
    'select flow_variant($1::integer, l, flow_shares($3::text::jsonb)) as variant from generate_series(1, $2::bigint) l order by l',
    [flowNo, leads, variants === null ? null : JSON.stringify(variants)],
  );
  return rows.map((row) => row.variant);
}

describe('the choice of a variant', () => {
  it('follows from the numbers of flow and lead, and from nothing else: it can be told beforehand', async () => {
    for (const first of [1, 30, 50, 99]) {
      const expected = Array.from({ length: 500 }, (_, n) => chosen(7, n + 1, first));
      expect(await drawn(7, 500, shares(first))).toEqual(expected);
    }
    expect(await drawn(7, 2, null)).toEqual([null, null]);
    // of three, too: each has the hundredths behind those of the ones before it
    const three = [20, 30, 50].map((percent, n) => ({ name: String(n), template: 'x', percent }));
    const place = (bucket: number): number => (bucket < 20 ? 1 : bucket < 50 ? 2 : 3);
    expect(await drawn(8, 300, three)).toEqual(Array.from({ length: 300 }, (_, n) => place(bucketOf(8, n + 1))));
  });

  it('gives each its share, and draws anew in each campaign', async () => {
    const many = 20_000;
    const one = await drawn(1, many, shares(30));
    const other = await drawn(2, many, shares(30));
    const share = (list: readonly boolean[]): number => list.filter(Boolean).length / list.length;
    // the numbers are given, so this is the same at every run; four standard deviations are 0.013
    for (const list of [one, other]) expect(Math.abs(share(list.map((variant) => variant === 1)) - 0.3)).toBeLessThan(0.013);
    // who got the first text got it again in 0.3 of the cases, not always
    expect(Math.abs(share(other.filter((_, n) => one[n] === 1).map((variant) => variant === 1)) - 0.3)).toBeLessThan(0.024);
  });
});

interface Planned {
  readonly leadNo: number;
  readonly variant: number | null;
  readonly messageId: string;
}

/** plans whatever is due on a device, as its owner would */
async function planAll(tenantId: string, deviceId: string, epoch: number, flowNo: number): Promise<Planned[]> {
  const found = await flowCandidates(world.sql, [{ deviceId, flowNo, room: 1000 }]);
  const planned = found.map(({ leadNo, variant }) => ({ leadNo, variant, messageId: newId() }));
  const outcomes = await planMessages(
    world.sql,
    found.map((one, n) => ({
      flowNo,
      leadNo: one.leadNo,
      step: one.step,
      messageId: planned[n]?.messageId ?? '',
      tenantId,
      deviceId,
      epoch,
      lane: 'high' as const,
      recipient: one.phone ?? '',
      recipientLid: one.lid,
      body: `${one.variant}`,
    })),
  );
  expect(outcomes.every(({ kind }) => kind === 'planned')).toBe(true);
  return planned;
}
async function told(tenantId: string, subject: string): Promise<ReportCounts> {
  const ask = { kind: 'FLOW', subject, grain: 86_400, fromMs: now() - 2 * 86_400_000, untilMs: now() + 86_400_000 } as const;
  const steps = await reportSteps(world.sql, tenantId, ask, { after: null, limit: 100 });
  return steps.reduce<ReportCounts>((sum, step) => addReportCounts(sum, step), NO_COUNTS);
}
const LEADS = 60;

/** a campaign with two texts whose leads are enrolled, and a device that is owned */
async function running(first: number) {
  const tenantId = await world.tenant();
  const [deviceId = ''] = await world.devices(1, { tenantId });
  const epoch = await world.own(deviceId);
  await flows.leads(tenantId, LEADS);
  const { id, no } = await flows.flow(tenantId, { steps: [{ delayMs: 0, template: 'A {{name}}' }], variants: shares(first) });
  await flows.run(tenantId, id, 25);
  return { tenantId, deviceId, epoch, id, no };
}

describe('a campaign with variants', () => {
  it('draws once: held and resumed, taken over and planned again, each lead gets the text it had', async () => {
    const { tenantId, deviceId, epoch, id, no } = await running(40);
    const first = await planAll(tenantId, deviceId, epoch, no);
    expect(first).toHaveLength(LEADS);
    for (const { leadNo, variant } of first) expect(variant).toBe(chosen(no, leadNo, 40));
    expect(new Set(first.map(({ variant }) => variant))).toEqual(new Set([1, 2]));
    // held: the planned messages are taken back at their intent
    await setFlowState(world.sql, tenantId, id, 'PAUSED');
    for (const { messageId } of first) await intent(world.sql, [world.intentItem(deviceId, epoch, messageId)]);
    expect(new Set((await variantProgress(world.sql, no)).map(({ place }) => place))).toEqual(new Set(['WAITING']));
    await setFlowState(world.sql, tenantId, id, 'RUNNING');
    const later = await world.own(deviceId, 'node-2', true);
    const again = await planAll(tenantId, deviceId, later, no);
    const byLead = (list: readonly Planned[]) => new Map(list.map(({ leadNo, variant }) => [leadNo, variant]));
    expect(byLead(again)).toEqual(byLead(first));
    const rows = await world.sql.unsafe(
      `select count(*)::int as n from messages m join enrolments e on e.flow_no = m.flow_no and e.lead_no = m.lead_no
       where m.flow_no = $1 and m.variant = e.variant and m.body = m.variant::text`,
      [no],
    );
    expect(rows).toEqual([{ n: 2 * LEADS }]);
  });

  it('counts what became of each, exactly; together they are what became of the campaign', async () => {
    const { tenantId, deviceId, epoch, no } = await running(50);
    const planned = await planAll(tenantId, deviceId, epoch, no);
    const ends: readonly ResultItem['state'][] = ['SENT', 'DELIVERED', 'READ', 'FAILED', 'DEAD', 'SENT', 'QUEUED'];
    for (const [n, { messageId }] of planned.entries()) {
      const state = ends[n % ends.length] ?? 'SENT';
      // the last ones stay where they are
      if (n >= LEADS - 4) break;
      await intent(world.sql, [world.intentItem(deviceId, epoch, messageId)]);
      await result(world.sql, [world.resultItem(deviceId, epoch, messageId, state)]);
      if (n % 9 === 0) await foldReports(world.sql);
    }
    while ((await foldReports(world.sql)) > 0);
    const ledger = await world.sql.unsafe<{ variant: number; [count: string]: number }[]>(
      `select m.variant, count(sent_at)::int as sent, count(delivered_at)::int as delivered, count(read_at)::int as read,
         count(*) filter (where state = 'FAILED')::int as failed, count(*) filter (where state = 'DEAD')::int as dead
       from messages m where m.flow_no = $1 group by 1 order by 1`,
      [no],
    );
    expect(ledger.map(({ variant }) => variant)).toEqual([1, 2]);
    const both = await Promise.all([1, 2].map((variant) => told(tenantId, variantSubject(no, variant))));
    for (const [index, counts] of both.entries()) {
      const { variant, ...expected } = ledger[index] ?? { variant: 0 };
      expect(counts, `variant ${variant}`).toMatchObject(expected);
      expect(counts.sent).toBeGreaterThan(0);
    }
    expect(both.reduce((sum, counts) => addReportCounts(sum, counts), NO_COUNTS)).toEqual(await told(tenantId, String(no)));
    const places = await variantProgress(world.sql, no);
    for (const variant of [1, 2]) {
      const own = places.filter((place) => place.variant === variant);
      expect(own.reduce((sum, { leads }) => sum + leads, 0)).toBe(planned.filter((one) => one.variant === variant).length);
      expect(own.find(({ place }) => place === 'DONE')?.leads).toBe(ledger[variant - 1]?.['sent']);
    }
  });

  it('is seen with its texts by its tenant, by nodes, and before it starts', async () => {
    const { tenantId, id, no } = await running(70);
    expect(await flowsPage(world.sql, tenantId, 'CAMPAIGN', { before: null, limit: 5 })).toMatchObject([{ id, variants: shares(70) }]);
    expect((await liveFlows(world.sql)).find((flow) => flow.no === no)).toMatchObject({ variants: ['A {{name}}', 'B {{name}}'] });
    const seen = await previewFlow(world.sql, tenantId, id, { looked: 1000, samples: LEADS, leadId: null });
    const enrolled = await world.sql.unsafe<{ id: string; variant: number }[]>(
      'select l.id, e.variant from enrolments e join leads l on l.no = e.lead_no where e.flow_no = $1',
      [no],
    );
    expect(new Map(seen?.samples.map((sample) => [sample.id, sample.variant]))).toEqual(
      new Map(enrolled.map((row) => [row.id, row.variant])),
    );
  });

  it('one without variants is as before: no lead has one, and reports know only the whole', async () => {
    const { tenantId, deviceId, no, plan, send } = await flows.ready();
    expect(await flowCandidates(world.sql, [{ deviceId, flowNo: no, room: 1 }])).toMatchObject([{ variant: null }]);
    const messageId = (await plan()) ?? '';
    await send(messageId);
    while ((await foldReports(world.sql)) > 0);
    expect(await world.sql.unsafe('select variant from messages where id = $1', [messageId])).toEqual([{ variant: null }]);
    expect(await variantProgress(world.sql, no)).toEqual([]);
    expect(await told(tenantId, String(no))).toMatchObject({ sent: 1 });
    const subjects = await world.sql.unsafe(`select distinct subject from report_steps where tenant_id = $1 and about = 'FLOW'`, [
      tenantId,
    ]);
    expect(subjects).toEqual([{ subject: String(no) }]);
    expect((await liveFlows(world.sql)).find((flow) => flow.no === no)).toMatchObject({ variants: [] });
  });
});
