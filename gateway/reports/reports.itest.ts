import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { bumpEpochs, foldReports, intent, ownershipOf, result } from '../../schema/sql/index.ts';
import { type Data, headersOf, startTestGateway, type TestGateway } from '../gateway.testing.ts';

/** Reports of two tenants through a whole gateway, over the wire: as fields and as files. */
let gateway: TestGateway;
let other = '';
let device = '';
let campaign = '';

const ask = (query: string, tenant?: string): Promise<Data> => gateway.ask(query, { tenant });
const get = (path: string, tenant?: string): Promise<Response> =>
  fetch(`${gateway.base}/api/reports/${path}`, { headers: headersOf({ tenant }) });
const rows = async (path: string, tenant?: string): Promise<Record<string, string>[]> => {
  const [head = '', ...lines] = (await (await get(path, tenant)).text()).trimEnd().split('\r\n');
  // no cell of this test holds a comma or a line break
  return lines.map((line) => Object.fromEntries(line.split(',').map((cell, index) => [head.split(',')[index], cell])));
};

/** sends messages of a device through the ledger as its owner would: `sent` of them go, the rest dies of a cause */
async function play(deviceId: string, messages: readonly string[], sent: number): Promise<void> {
  const { sql } = gateway.database;
  const uuid = deviceId.replace('Device:', '');
  const [owner] = await ownershipOf(sql, { deviceIds: [uuid] });
  const [won] = await bumpEpochs(sql, [{ deviceId: uuid, epoch: owner?.epoch ?? 0, crash: false }], 'node-1');
  const epoch = won?.epoch ?? 0;
  for (const [index, id] of messages.entries()) {
    const item = { deviceId: uuid, epoch, messageId: id.replace('Message:', '') };
    await intent(sql, [{ ...item, node: 'node-1', paceMs: 0, resendUnknown: false, budget: 6 }]);
    const goes = index < sent;
    await result(sql, [
      {
        ...item,
        attempt: 1,
        state: goes ? 'SENT' : 'FAILED',
        cause: goes ? null : 'GONE',
        error: null,
        dueAt: null,
        at: systemClock.wall(),
      },
    ]);
  }
}
async function deviceWith(name: string, count: number, tenant?: string): Promise<{ readonly id: string; readonly messages: string[] }> {
  const made = await ask(
    `mutation { createDevice(input: {name: ${JSON.stringify(name)}, transport: SIMULATOR, paceMinMs: 0, paceMaxMs: 0}) { device { id } errors { message } } }`,
    tenant,
  );
  const id = made.data.createDevice.device.id as string;
  const messages: string[] = [];
  for (let n = 0; n < count; n++) {
    const one = await ask(
      `mutation { sendMessage(input: {deviceId: "${id}", to: "+491701234567", body: "x"}) { message { id } } }`,
      tenant,
    );
    messages.push(one.data.sendMessage.message.id);
  }
  return { id, messages };
}

beforeAll(async () => {
  gateway = await startTestGateway();
  const tenant = await ask('mutation { createTenant(input: {name: "other"}) { tenant { id } } }');
  other = tenant.data.createTenant.tenant.id;
  const ours = await deviceWith('=cmd|calc "1"', 5);
  device = ours.id;
  const made = await ask(
    'mutation { createCampaign(input: {name: "@spring", template: "hi", audience: {}}) { campaign { id } errors { code path message } } }',
  );
  campaign = made.data.createCampaign.campaign.id;
  const { sql } = gateway.database;
  // it runs, and no node is there to go on with it
  await sql.unsafe(`update flows set state = 'RUNNING'`);
  for (const [lead, id] of ours.messages.slice(0, 2).entries()) {
    const [row] = await sql.unsafe(
      'update messages set flow_no = (select no from flows where id = $1), lead_no = $3, step = 1 where id = $2 returning flow_no',
      [campaign.replace('Campaign:', ''), id.replace('Message:', ''), lead],
    );
    await sql.unsafe('insert into enrolments (flow_no, lead_no, device_no, step, message_id) values ($1, $2, 1, 1, $3)', [
      row?.['flow_no'],
      lead,
      id.replace('Message:', ''),
    ]);
  }
  await play(ours.id, ours.messages.slice(0, 4), 3);
  const theirs = await deviceWith('theirs', 2, other);
  await play(theirs.id, theirs.messages, 2);
  while ((await foldReports(sql)) > 0);
}, 120_000);
afterAll(() => gateway.stop());

const FIELDS =
  'about name queueDepth total { sent failed successRate processing { count } latency { count p50 } } causes { outcome cause messages } steps { at sent }';

it('says of a fleet, a device, a campaign and a node what became of messages, and how much is queued', async () => {
  // a step may end while this runs: steps are added up by what is asked for
  const of = async (args: string, tenant?: string): Promise<Data> => {
    const { data, errors } = await ask(`{ reports(${args}grain: DAY) { ${FIELDS} } }`, tenant);
    expect(errors).toBeUndefined();
    return data.reports;
  };
  const fleet = await of('');
  expect(fleet).toMatchObject({
    about: null,
    queueDepth: 1,
    total: { sent: 3, failed: 1, successRate: 0.75, processing: { count: 4 }, latency: { count: 3 } },
  });
  expect(fleet.causes).toEqual([{ outcome: 'FAILED', cause: 'GONE', messages: 1 }]);
  expect(fleet.steps.reduce((sum: number, step: Data) => sum + step.sent, 0)).toBe(3);
  expect(await of(`deviceId: "${device}", `)).toMatchObject({
    about: device,
    name: '=cmd|calc "1"',
    queueDepth: 1,
    total: { sent: 3, failed: 1 },
  });
  expect(await of(`campaignId: "${campaign}", `)).toMatchObject({
    about: campaign,
    name: '@spring',
    queueDepth: 0,
    total: { sent: 2, failed: 0 },
  });
  expect(await of('nodeId: "node-1", ')).toMatchObject({ about: 'node-1', queueDepth: 1, total: { sent: 3, failed: 1 } });
  expect(await of('', other)).toMatchObject({ queueDepth: 0, total: { sent: 2, failed: 0 } });
  expect(await of('nodeId: "node-1", ', other)).toMatchObject({ total: { sent: 2 } });
  expect(await of(`deviceId: "${device}", `, other)).toBeNull();
  expect(await of(`campaignId: "${campaign}", `, other)).toBeNull();
  expect(await of('nodeId: "nobody", ')).toBeNull();
});

it('refuses what cannot be meant', async () => {
  const fault = async (args: string): Promise<string> => (await ask(`{ reports(${args}) { about } }`)).errors?.[0]?.extensions.code;
  expect(await fault(`deviceId: "${device}", nodeId: "node-1"`)).toBe('INVALID_INPUT');
  expect(await fault('grain: MINUTE, since: "2020-01-01T00:00:00Z"')).toBe('INVALID_INPUT');
  expect(await fault('since: "2030-01-01T00:00:00Z", until: "2020-01-01T00:00:00Z"')).toBe('INVALID_INPUT');
  expect(await fault('deviceId: "Campaign:1"')).toBe('INVALID_ID');
  for (const path of [
    'devices.csv?grain=year',
    'devices.csv?since=yesterday',
    'devices.csv?tenant=x',
    'devices.csv?grain=minute&since=2020-01-01T00:00:00Z',
  ])
    expect((await get(path)).status).toBe(400);
  expect((await get('people.csv')).status).toBe(404);
  expect((await fetch(`${gateway.base}/api/reports/devices.csv`)).status).toBe(401);
});

it('comes as files: streamed, quoted, no cell a formula, and nothing of another tenant', async () => {
  const answer = await get('devices.csv?grain=day');
  expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  expect(answer.headers.get('content-disposition')).toContain('devices.csv');
  expect(await answer.text()).toContain(`\r\n${device},"'=cmd|calc ""1""",node-1,`);
  const sum = (list: Record<string, string>[], column: string): number => list.reduce((all, row) => all + Number(row[column]), 0);
  const mine = await rows('devices.csv?grain=day');
  expect([sum(mine, 'sent'), sum(mine, 'failed'), mine.at(-1)?.['queueDepthNow']]).toEqual([3, 1, '1']);
  expect(mine.map((row) => row['causes'])).toContain('FAILED:GONE=1');
  const campaigns = await rows('campaigns.csv?grain=day');
  expect(campaigns[0]).toMatchObject({ id: campaign, name: "'@spring", status: 'RUNNING' });
  expect(sum(campaigns, 'sent')).toBe(2);
  expect(sum(await rows('fleet.csv?grain=minute'), 'sent')).toBe(3);
  expect(sum(await rows('nodes.csv?grain=day'), 'sent')).toBe(3);
  const theirs = await rows('devices.csv?grain=day', other);
  expect([sum(theirs, 'sent'), new Set(theirs.map((row) => row['name']))]).toEqual([2, new Set(['theirs'])]);
  expect(await rows('campaigns.csv?grain=day', other)).toEqual([]);
});

it('tell the texts of a campaign apart, in a column of their own beside the rows of the whole', async () => {
  const { sql } = gateway.database;
  const made = await ask('mutation { createTenant(input: {name: "two texts"}) { tenant { id } } }');
  const tenant = made.data.createTenant.tenant.id;
  const { id, messages } = await deviceWith('ab', 5, tenant);
  const variants = '[{name: "=short", template: "a", percent: 50}, {name: "long", template: "b", percent: 50}]';
  const answer = await ask(`mutation { createCampaign(input: {name: "ab", variants: ${variants}}) { campaign { id } } }`, tenant);
  const campaignId = answer.data.createCampaign.campaign.id;
  await sql.unsafe(`update flows set state = 'RUNNING' where id = $1`, [campaignId.replace('Campaign:', '')]);
  for (const [lead, message] of messages.entries())
    await sql.unsafe(
      `with m as (
         update messages set flow_no = f.no, lead_no = $3::int, step = 1, variant = 1 + $3::int % 2 from flows f where f.id = $1 and messages.id = $2
         returning flow_no, lead_no, variant, messages.id
       )
       insert into enrolments (flow_no, lead_no, device_no, step, message_id, variant) select m.flow_no, m.lead_no, 1, 1, m.id, m.variant from m`,
      [campaignId.replace('Campaign:', ''), message.replace('Message:', ''), 100 + lead],
    );
  await play(id, messages, 3);
  while ((await foldReports(sql)) > 0);
  // a day may end while this runs
  const sums = (list: Record<string, string>[]): Record<string, number[]> => {
    const found: Record<string, number[]> = {};
    for (const row of list) {
      const [sent = 0, failed = 0] = found[row['variant'] ?? ''] ?? [];
      found[row['variant'] ?? ''] = [sent + Number(row['sent']), failed + Number(row['failed'])];
    }
    return found;
  };
  const file = await rows('campaigns.csv?grain=day', tenant);
  expect(new Set(file.map((row) => row['id']))).toEqual(new Set([campaignId]));
  expect(sums(file)).toEqual({ '': [3, 2], "'=short": [2, 1], long: [1, 1] });
  const query = `{ campaign(id: "${campaignId}") { variants { results { sent failed } } } }`;
  expect((await ask(query, tenant)).data.campaign.variants).toEqual([
    { results: { sent: 2, failed: 1 } },
    { results: { sent: 1, failed: 1 } },
  ]);
  expect((await ask(query, other)).data.campaign).toBeNull();
});
