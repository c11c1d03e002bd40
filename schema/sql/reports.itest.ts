import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededDice } from '../../ops/lifecycle/index.ts';
import { durationClass, type MessageState } from '../domain/index.ts';
import {
  accept,
  addReportCounts,
  cancel,
  foldReports,
  intent,
  NO_COUNTS,
  promoteDue,
  queueDepths,
  REPORT_GRAINS,
  type ReportCounts,
  type ReportKind,
  type ResultItem,
  redrive,
  reportCauses,
  reportSteps,
  result,
  suppress,
  trimReports,
} from './index.ts';
import { createWorld, newId, now, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});

const DAY = 86_400_000;
// the same life at every run: a life by chance may leave out what this test wants to see
const dice = seededDice(11);
const pick = <T>(list: readonly T[]): T => list[Math.floor(dice.next() * list.length)] as T;

async function report(
  kind: ReportKind,
  subject: string,
  grain: (typeof REPORT_GRAINS)[number],
  tenantId = world.tenantId,
): Promise<ReportCounts> {
  const ask = { kind, subject, grain, fromMs: now() - 2 * DAY, untilMs: now() + DAY };
  const steps = await reportSteps(world.sql, tenantId, ask, { after: null, limit: 10_000 });
  return steps.reduce<ReportCounts>((sum, step) => addReportCounts(sum, step), NO_COUNTS);
}
const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

/** what the ledger says of messages chosen by a condition */
async function ledgerOf(condition: string, value: string | number): Promise<Record<'sent' | 'delivered' | 'read' | 'bad', number>> {
  const [row] = await world.sql.unsafe<{ sent: number; delivered: number; read: number; bad: number }[]>(
    `select count(sent_at) as sent, count(delivered_at) as delivered, count(read_at) as read,
       count(*) filter (where state between 'FAILED' and 'SUPPRESSED') as bad from messages where ${condition} = $1`,
    [value],
  );
  if (row === undefined) throw new Error('no row');
  return row;
}
const said = ({ sent, delivered, read, failed, dead, cancelled, suppressed, takenBack }: ReportCounts) => ({
  sent,
  delivered,
  read,
  bad: failed + dead + cancelled + suppressed - takenBack,
});

async function flow(tenantId: string): Promise<number> {
  const id = newId();
  const [row] = await world.sql.unsafe<{ no: number }[]>(
    `insert into flows (id, tenant_id, kind, name, lane, state) values ($1, $2, 'CAMPAIGN', $3, 'high', 'RUNNING') returning no`,
    [id, tenantId, id],
  );
  return row?.no ?? 0;
}

let leads = 0;
/** makes a message that of a lead of a campaign, under way */
async function enrolled(messageId: string, flowNo: number): Promise<void> {
  leads += 1;
  await world.sql.unsafe(`update messages set flow_no = $2, lead_no = $3, step = 1 where id = $1`, [messageId, flowNo, leads]);
  await world.sql.unsafe(`insert into enrolments (flow_no, lead_no, device_no, step, message_id) values ($2, $3, 1, 1, $1)`, [
    messageId,
    flowNo,
    leads,
  ]);
}

/** Messages of two tenants, a campaign each, go through a random life on two nodes, while reports are folded by two at a time. */
async function live(rounds: number): Promise<{ readonly devices: string[]; readonly flows: number[]; readonly tenants: string[] }> {
  const { sql } = world;
  const tenants = [world.tenantId, await world.tenant()];
  const flows = await Promise.all(tenants.map(flow));
  const devices: string[] = [];
  const open: { id: string; device: string; tenantId: string; attempt: number }[] = [];
  const epochs = new Map<string, number>();
  for (const tenantId of tenants) {
    for (const device of await world.devices(3, { tenantId })) {
      devices.push(device);
      epochs.set(device, await world.own(device, pick(['node-1', 'node-2'])));
      for (let n = 0; n < 12; n++) {
        const recipient = n === 5 ? '+4915110000099' : '+4915110000001';
        const id = await world.send(device, { tenantId, recipient });
        if (n % 2 === 0) await enrolled(id, flows[tenants.indexOf(tenantId)] ?? 0);
        open.push({ id, device, tenantId, attempt: 0 });
      }
    }
    await suppress(sql, [{ id: newId(), tenantId, phone: '+4915110000099', lid: null, reason: 'STOP', source: 'test' }]);
  }
  // what chance may leave out: somebody takes a message back before anything else happens to it
  for (const tenantId of tenants) await cancel(sql, tenantId, open.find((message) => message.tenantId === tenantId)?.id ?? '');
  const ends: readonly ResultItem['state'][] = ['QUEUED', 'UNKNOWN', 'FAILED', 'DEAD', 'SENT', 'SENT', 'DELIVERED', 'READ', 'WRITTEN'];
  for (let n = 0; n < rounds; n++) {
    const chosen = devices.map((device) => pick(open.filter((message) => message.device === device)));
    const items = chosen.map(({ id, device }) =>
      world.intentItem(device, epochs.get(device) ?? 0, id, { node: pick(['node-1', 'node-2']), budget: 3, resendUnknown: true }),
    );
    (await intent(sql, items)).forEach((verdict, index) => {
      const message = chosen[index];
      if (verdict.verdict === 'PASS' && message !== undefined) message.attempt = verdict.message.attempt;
    });
    const results = chosen.map(({ id, device, attempt }) =>
      world.resultItem(device, epochs.get(device) ?? 0, id, pick(ends), { attempt, cause: pick(['RATE', 'GONE', 'odd cause', null]) }),
    );
    await result(sql, results);
    const one = pick(open);
    if (n % 5 === 0) await cancel(sql, one.tenantId, pick(open.filter(({ tenantId }) => tenantId === one.tenantId)).id);
    if (n % 7 === 0) {
      await redrive(sql, one.tenantId, [pick(open.filter(({ tenantId }) => tenantId === one.tenantId)).id], 1);
      await promoteDue(sql, 10);
    }
    if (n % 4 === 0) await Promise.all([foldReports(sql), foldReports(sql)]);
  }
  // one that dies, and one that fails and is put back
  for (const [index, tenantId] of tenants.entries()) {
    const device = devices[index * 3] ?? '';
    const epoch = epochs.get(device) ?? 0;
    for (const [state, cause] of [['DEAD', 'GONE'] as const, ['FAILED', 'no name'] as const]) {
      const id = await world.send(device, { tenantId });
      await intent(sql, [world.intentItem(device, epoch, id)]);
      await result(sql, [world.resultItem(device, epoch, id, state, { cause })]);
      if (state === 'FAILED') await redrive(sql, tenantId, [id], 1);
    }
  }
  while ((await foldReports(sql)) > 0);
  return { devices, flows, tenants };
}

describe('reports', () => {
  it('say what the ledger says after a random life, of every device, campaign, node and fleet, by minute, hour and day', async () => {
    const { devices, flows, tenants } = await live(150);
    const { sql } = world;
    for (const grain of REPORT_GRAINS) {
      const nodes = new Map<string, ReportCounts>();
      for (const [index, tenantId] of tenants.entries()) {
        expect(said(await report('FLEET', '', grain, tenantId))).toEqual(await ledgerOf('tenant_id', tenantId));
        expect(said(await report('FLOW', String(flows[index]), grain, tenantId))).toEqual(await ledgerOf('flow_no', flows[index] ?? 0));
        for (const node of ['node-1', 'node-2'])
          nodes.set(node, addReportCounts(nodes.get(node) ?? NO_COUNTS, await report('NODE', node, grain, tenantId)));
      }
      // a message may fail on one node and be sent by the other: together they say what happened; what was proven before any attempt is of no node
      const together = addReportCounts(nodes.get('node-1') ?? NO_COUNTS, nodes.get('node-2') ?? NO_COUNTS);
      expect(together.sent).toBe((await ledgerOf('node is not null and 1', 1)).sent);
      for (const device of devices) {
        const [row] = await sql.unsafe<{ no: number; tenant_id: string }[]>('select no, tenant_id from devices where id = $1', [device]);
        const counts = await report('DEVICE', String(row?.no), grain, row?.tenant_id);
        expect(said(counts)).toEqual(await ledgerOf('device_id', device));
        expect(total(counts.latency)).toBe(counts.sent);
      }
    }
    const fleet = await report('FLEET', '', 3600);
    expect([fleet.retried, fleet.takenBack, fleet.cancelled, fleet.dead].every((count) => count > 0)).toBe(true);
    expect(total(fleet.processing)).toBeGreaterThan(0);
    const causes = await reportCauses(
      sql,
      world.tenantId,
      { kind: 'FLEET', subjects: [''], grain: 86_400, fromMs: now() - 2 * DAY, untilMs: now() + DAY },
      { bySteps: false, limit: 100 },
    );
    const of = (outcome: string): number => causes.reduce((sum, row) => sum + (row.outcome === outcome ? row.messages : 0), 0);
    expect({
      failed: of('FAILED'),
      dead: of('DEAD'),
      cancelled: of('CANCELLED'),
      suppressed: of('SUPPRESSED'),
      retried: of('RETRIED'),
    }).toEqual({
      failed: fleet.failed,
      dead: fleet.dead,
      cancelled: fleet.cancelled,
      suppressed: fleet.suppressed,
      retried: fleet.retried,
    });
    expect(causes.map(({ cause }) => cause)).toContain('OTHER');
    expect(causes.some(({ cause }) => cause === 'odd cause' || cause === 'no name')).toBe(false);
    expect(await sql.unsafe('select no from report_events')).toEqual([]);
  }, 120_000);

  it('count nothing that was rolled back, and nothing for a statement that only begins attempts', async () => {
    const { sql } = world;
    const [device = ''] = await world.devices(1);
    const id = await world.send(device);
    const epoch = await world.own(device);
    await intent(sql, [world.intentItem(device, epoch, id)]);
    expect(await sql.unsafe('select no from report_events')).toEqual([]);
    await sql
      .begin(async (transaction) => {
        await result(transaction, [world.resultItem(device, epoch, id, 'SENT')]);
        expect(await transaction.unsafe('select no from report_events')).toHaveLength(1);
        throw new Error('taken back');
      })
      .catch(() => {});
    expect(await sql.unsafe('select no from report_events')).toEqual([]);
  });

  it('give durations the classes that the rest of the product gives them', async () => {
    const durations = [0, 1, 2, 3, 4, 5, 7, 8, 100, 128, 1000, 1024, 65_536, 3_600_000, 2_147_483_647];
    const rows = await world.sql.unsafe<{ class: number }[]>(
      'select duration_class(d) as class from unnest($1::float8[]) with ordinality as u (d, n) order by n',
      [`{${durations.join(',')}}`],
    );
    expect(rows.map((row) => row.class)).toEqual(durations.map(durationClass));
    const [sum] = await world.sql.unsafe(
      `select class_counts('{3,null,0,3}', '{1,5,2,4}') as counts, add_class_counts('{1,0,2}', '{1,1,0,7}') as sum, class_counts(null, null) as none`,
    );
    expect(sum).toEqual({ counts: [2, 0, 0, 5], sum: [2, 1, 2, 7], none: [] });
  });

  it('are read in pages, and forgotten when they are old', async () => {
    const { sql } = world;
    const tenantId = await world.tenant();
    const start = Math.floor(now() / 60_000) * 60_000;
    for (const subject of ['1', '2']) {
      for (const ago of [0, 1, 2, 600]) {
        await sql.unsafe(
          `insert into report_steps (tenant_id, about, grain, subject, start, sent) values ($1, 'DEVICE', 60, $2, to_timestamp($3::float8 / 1000), 1)`,
          [tenantId, subject, start - ago * 60_000],
        );
      }
    }
    const ask = { kind: 'DEVICE', subject: null, grain: 60, fromMs: 0, untilMs: now() + DAY } as const;
    const seen: string[] = [];
    for (let after: { subject: string; startMs: number } | null = null; ; ) {
      const page: Awaited<ReturnType<typeof reportSteps>> = await reportSteps(sql, tenantId, ask, { after, limit: 3 });
      seen.push(...page.map((step) => `${step.subject} ${(start - step.startMs) / 60_000}`));
      after = page.at(-1) ?? null;
      if (after === null) break;
    }
    expect(seen).toEqual(['1 600', '1 2', '1 1', '1 0', '2 600', '2 2', '2 1', '2 0']);
    expect(await trimReports(sql, 1)).toBe(1);
    expect(await trimReports(sql, 100)).toBe(1);
    expect(await reportSteps(sql, tenantId, ask, { after: null, limit: 100 })).toHaveLength(6);
  });

  it('say how much is queued, from counters', async () => {
    const tenantId = await world.tenant();
    const [busy = '', idle = ''] = await world.devices(2, { tenantId });
    await accept(
      world.sql,
      [1, 2, 3].map(() => world.item(busy, { tenantId })),
    );
    const epoch = await world.own(busy, 'node-7');
    await world.own(idle, 'node-8');
    const [first] = await world.sql.unsafe<{ id: string }[]>('select id from messages where device_id = $1 order by seq limit 1', [busy]);
    await intent(world.sql, [world.intentItem(busy, epoch, first?.id ?? '')]);
    await result(world.sql, [world.resultItem(busy, epoch, first?.id ?? '', 'SENT' satisfies MessageState)]);
    const depths = await queueDepths(world.sql, tenantId);
    expect(new Map(depths.map(({ id, depth }) => [id, depth]))).toEqual(
      new Map([
        [busy, 2],
        [idle, 0],
      ]),
    );
    expect((await queueDepths(world.sql, tenantId, { node: 'node-7' })).map(({ id }) => id)).toEqual([busy]);
    expect((await queueDepths(world.sql, tenantId, { deviceId: idle })).map(({ id }) => id)).toEqual([idle]);
    expect(await queueDepths(world.sql, world.tenantId, { deviceId: idle })).toEqual([]);
  });
});
