import { afterAll, beforeAll, expect, it } from 'vitest';
import { enrolChunk, foldReports } from '../../schema/sql/index.ts';
import { type ApiStack, startApi } from './testing-stack.ts';

/** Campaigns that try two texts against each other, through the API on a real ledger. */
let api: ApiStack;
let device = '';
beforeAll(async () => {
  api = await startApi();
  const { data } = await api.ask('mutation { createDevice(input: {name: "v", transport: SIMULATOR}) { device { id } } }');
  device = data.createDevice.device.id;
});
afterAll(() => api?.stop());

const FIELDS = 'campaign { id steps { template } variants { name template percent } } errors { code path message }';
const create = async (input: string) => (await api.ask(`mutation { createCampaign(input: {${input}}) { ${FIELDS} } }`)).data.createCampaign;
const errorsOf = async (input: string): Promise<string[]> =>
  (await create(input)).errors.map(({ code, path }: { code: string; path: string[] }) => `${code} ${path.join('.')}`);
const A = '{name: "short", template: "Hi {{first_name|there}}", percent: 40}';
const B = '{name: "long", template: "Dear {{name|friend}}", percent: 60}';

it('are refused with the field that is wrong', async () => {
  const with2 = (first: string, second: string): string => `name: "bad", variants: [${first}, ${second}]`;
  expect(await errorsOf(`name: "bad", variants: [${A}]`)).toEqual(['INVALID_INPUT input.variants']);
  expect(await errorsOf(`name: "bad", variants: [${A}, ${B}, ${B}]`)).toEqual(['INVALID_INPUT input.variants']);
  expect(await errorsOf('name: "bad", variants: []')).toEqual(['INVALID_INPUT input.variants']);
  expect(await errorsOf(with2(A, B.replace('long', ' SHORT ')))).toEqual(['NAME_TAKEN input.variants.1.name']);
  expect(await errorsOf(with2(A, B.replace('60', '50')))).toEqual(['INVALID_INPUT input.variants.1.percent']);
  expect(await errorsOf(with2(A.replace('40', '0'), B.replace('60', '100')))).toEqual([
    'INVALID_INPUT input.variants.0.percent',
    'INVALID_INPUT input.variants.1.percent',
  ]);
  expect(await errorsOf(with2(A.replace('first_name|there', 'first name'), B.replace('long', '')))).toEqual([
    'TEMPLATE_INVALID input.variants.0.template',
    'NAME_INVALID input.variants.1.name',
  ]);
  expect(await errorsOf(`${with2(A, B)}, template: "x"`)).toEqual(['INVALID_INPUT input.template']);
  expect(await errorsOf('name: "bad"')).toContain('BODY_EMPTY input.template');
  expect((await api.ask('{ campaigns { nodes { name } } }')).data.campaigns.nodes).toEqual([]);
});

it('are shown with their texts; one text for all is none', async () => {
  const made = await create(`name: "both", variants: [${A}, ${B}]`);
  expect(made.errors).toEqual([]);
  expect(made.campaign).toMatchObject({
    steps: [{ template: 'Hi {{first_name|there}}' }],
    variants: [
      { name: 'short', template: 'Hi {{first_name|there}}', percent: 40 },
      { name: 'long', template: 'Dear {{name|friend}}', percent: 60 },
    ],
  });
  expect((await create('name: "plain", template: "Hi"')).campaign.variants).toEqual([]);
});

it('are looked at and tried before they start: each lead has its own, and the enrolment is what the look said', async () => {
  const leads = Array.from({ length: 30 }, (_, n) => `{phone: "+155500003${String(n).padStart(2, '0')}", name: "Lea ${n}", tags: ["ab"]}`);
  await api.ask(`mutation { importLeads(input: {leads: [${leads}]}) { made } }`);
  const { campaign } = await create(`name: "look", audience: {tags: ["ab"]}, variants: [${A}, ${B}]`);
  const { data } = await api.ask(
    `mutation { previewCampaign(input: {id: "${campaign.id}", samples: 30}) { samples { leadId text variant } errors { code } } }`,
  );
  const { samples } = data.previewCampaign as { samples: { leadId: string; text: string; variant: string }[] };
  expect(samples).toHaveLength(30);
  for (const { text, variant } of samples) expect(text).toMatch(variant === 'short' ? /^Hi Lea$/ : /^Dear Lea \d+$/);
  expect(new Set(samples.map(({ variant }) => variant))).toEqual(new Set(['short', 'long']));
  const one = samples.find(({ variant }) => variant === 'long');
  const test = async (more: string) =>
    (
      await api.ask(
        `mutation { testCampaign(input: {id: "${campaign.id}", deviceId: "${device}", to: "+15559999999", leadId: "${one?.leadId}"${more}}) { message { body } errors { code path } } }`,
      )
    ).data.testCampaign;
  expect(await test('')).toEqual({ message: { body: one?.text }, errors: [] });
  expect(await test(', variant: "short"')).toEqual({ message: { body: 'Hi Lea' }, errors: [] });
  expect((await test(', variant: "other"')).errors).toEqual([{ code: 'INVALID_INPUT', path: ['input', 'variant'] }]);
  const plain = await create('name: "plain look", template: "Hi", audience: {tags: ["ab"]}');
  const none = await api.ask(`mutation { previewCampaign(input: {id: "${plain.campaign.id}", samples: 1}) { samples { text variant } } }`);
  expect(none.data.previewCampaign.samples).toEqual([{ text: 'Hi', variant: null }]);

  await api.ask(`mutation { startCampaign(input: {id: "${campaign.id}"}) { errors { code } } }`);
  while ((await enrolChunk(api.database.sql, 1000)) !== null);
  const { data: after } = await api.ask(`{ campaign(id: "${campaign.id}") { variants { name leads progress { place leads } } } }`);
  const many = (name: string): number => samples.filter(({ variant }) => variant === name).length;
  expect(after.campaign.variants).toEqual(
    ['short', 'long'].map((name) => ({ name, leads: many(name), progress: [{ place: 'WAITING', leads: many(name) }] })),
  );
});

it('tell what became of each, by the reports alone', async () => {
  const { sql } = api.database;
  const { campaign } = await create(`name: "results", variants: [${A}, ${B}]`);
  const results = async () =>
    (
      await api.ask(`{ campaign(id: "${campaign.id}") { variants { name results { sent delivered read failed dead successRate } } } }`)
    ).data.campaign.variants.map((variant: { results: object }) => variant.results);
  const nothing = { sent: 0, delivered: 0, read: 0, failed: 0, dead: 0, successRate: null };
  expect(await results()).toEqual([nothing, nothing]);
  // what the fold makes of messages of theirs; a variant of another campaign is not theirs
  await sql.unsafe(
    `with flow as (select no, tenant_id from flows where id = $1)
     insert into report_steps (tenant_id, about, grain, subject, start, sent, delivered, read, failed)
     select f.tenant_id, 'FLOW', 86400, f.no || s.subject, date_trunc('day', now(), 'UTC'), s.sent, s.sent - 1, s.sent - 2, 1
     from flow f cross join (values ('', 9), ('/1', 4), ('/2', 5), ('0/1', 70)) as s (subject, sent)`,
    [campaign.id.replace('Campaign:', '')],
  );
  while ((await foldReports(sql)) > 0);
  expect(await results()).toEqual([
    { sent: 4, delivered: 3, read: 2, failed: 1, dead: 0, successRate: 0.8 },
    { sent: 5, delivered: 4, read: 3, failed: 1, dead: 0, successRate: 5 / 6 },
  ]);
});
