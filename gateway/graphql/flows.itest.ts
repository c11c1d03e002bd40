import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { enrolChunk } from '../../schema/sql/index.ts';
import { type ApiStack, startApi } from './testing-stack.ts';

let api: ApiStack;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api?.stop());

const errorsOf = async (mutation: string, answer: string): Promise<{ code: string; path: string[] }[]> =>
  (await api.ask(`mutation { ${mutation} { errors { code path } } }`)).data[answer].errors;
const campaign = async (input: string): Promise<string> => {
  const { data } = await api.ask(`mutation { createCampaign(input: {${input}}) { campaign { id } errors { code path message } } }`);
  expect(data.createCampaign.errors).toEqual([]);
  return data.createCampaign.campaign.id;
};

describe('leads', () => {
  it('are imported in batches: faults are named by place, the others are in; again changes what is given', async () => {
    const run = (leads: string): Promise<unknown> =>
      api
        .ask(`mutation { importLeads(input: {leads: [${leads}]}) { made changed faults { index message } errors { code path } } }`)
        .then((answer) => answer.data.importLeads);
    expect(
      await run(
        `{phone: "+15550000001", name: "Ann", tags: ["vip"], attributes: "{\\"city\\": \\"Ulm\\"}"}, {phone: "0171"}, {phone: "+15550000001"},
         {phone: "+15550000002", attributes: "[1]"}, {phone: "+15550000003", name: ""}`,
      ),
    ).toMatchObject({
      made: 1,
      changed: 0,
      faults: [
        { index: 1, message: expect.stringContaining('phone: expected E.164') },
        { index: 2, message: expect.stringContaining('already') },
        { index: 3, message: 'attributes: expected a JSON object' },
        { index: 4, message: expect.stringContaining('name: expected 1 to 200') },
      ],
      errors: [],
    });
    expect(await run('{phone: "+15550000001", stage: "warm"}')).toMatchObject({ made: 0, changed: 1, faults: [] });
    const { data } = await api.ask(
      '{ leads(tag: "vip", first: 5) { nodes { phone name stage attributes tags } pageInfo { hasNextPage } } }',
    );
    expect(data.leads.nodes).toEqual([{ phone: '+15550000001', name: 'Ann', stage: 'warm', attributes: '{"city":"Ulm"}', tags: ['vip'] }]);
    expect(await errorsOf('importLeads(input: {leads: []})', 'importLeads')).toEqual([{ code: 'INVALID_INPUT', path: ['input', 'leads'] }]);
  });
});

describe('campaigns', () => {
  it('are made as drafts, started, held, resumed and ended; every fault of the input is named at once', async () => {
    expect(
      await errorsOf(
        `createCampaign(input: {name: "", template: "Hi {{first name}}", audience: {tags: []}, deviceIds: ["x"], hours: {zone: "Mars", from: "9", to: "18:00", days: [8]}})`,
        'createCampaign',
      ),
    ).toEqual([
      { code: 'NAME_INVALID', path: ['input', 'name'] },
      { code: 'TEMPLATE_INVALID', path: ['input', 'template'] },
      { code: 'INVALID_INPUT', path: ['input', 'audience', 'tags'] },
      { code: 'INVALID_ID', path: ['input', 'deviceIds'] },
      { code: 'INVALID_INPUT', path: ['input', 'hours', 'from'] },
      { code: 'INVALID_INPUT', path: ['input', 'hours', 'days'] },
      { code: 'INVALID_INPUT', path: ['input', 'hours', 'zone'] },
    ]);
    const id = await campaign(
      'name: "spring", template: "Hi {{first_name|there}}", hours: {zone: "Europe/Berlin", from: "09:00", to: "18:00"}',
    );
    expect(await errorsOf('createCampaign(input: {name: "spring", template: "x"})', 'createCampaign')).toEqual([
      { code: 'NAME_TAKEN', path: ['input', 'name'] },
    ]);
    const act = async (verb: string): Promise<unknown> => {
      const { data } = await api.ask(`mutation { ${verb}Campaign(input: {id: "${id}"}) { campaign { state } errors { code path } } }`);
      const { campaign: after, errors } = data[`${verb}Campaign`];
      return after?.state ?? errors[0].code;
    };
    expect(await act('resume')).toBe('STATE_CONFLICT');
    expect(await act('start')).toBe('RUNNING');
    expect(await act('start')).toBe('RUNNING');
    expect(await act('pause')).toBe('PAUSED');
    expect(await act('pause')).toBe('PAUSED');
    expect(await act('resume')).toBe('RUNNING');
    expect(await act('cancel')).toBe('CANCELLED');
    expect(await act('resume')).toBe('STATE_CONFLICT');
    const { data } = await api.ask(
      `{ campaign(id: "${id}") { name state steps { delayMs template } hours { zone days } progress { place leads } } campaigns { nodes { id } } }`,
    );
    expect(data.campaign).toMatchObject({
      name: 'spring',
      state: 'CANCELLED',
      steps: [{ delayMs: 0, template: 'Hi {{first_name|there}}' }],
    });
    expect(data.campaign.hours).toEqual({ zone: 'Europe/Berlin', days: [1, 2, 3, 4, 5, 6, 7] });
    expect(data.campaigns.nodes).toEqual([{ id }]);
    const { data: log } = await api.ask(`{ audit(subject: "${id}") { nodes { action } } }`);
    expect(log.audit.nodes.map((row: { action: string }) => row.action)).toContain('cancelCampaign');
  });

  it('are looked at before they start: who gets what through which device, and a test to one’s own number', async () => {
    const { data: device } = await api.ask('mutation { createDevice(input: {name: "p", transport: SIMULATOR}) { device { id } } }');
    const deviceId = device.createDevice.device.id as string;
    const lead = (n: number, more = ''): string => `{phone: "+1555000010${n}", tags: ["look"]${more}}`;
    await api.ask(
      `mutation { importLeads(input: {leads: [${lead(1, ', name: "Ann Lee"')}, ${lead(2)}, ${lead(3, ', name: "Cy"')}]}) { made } }`,
    );
    await api.ask('mutation { suppress(input: {phone: "+15550000103", reason: "STOP"}) { errors { code } } }');
    const id = await campaign(`name: "look", template: "Hi {{first_name}}", audience: {tags: ["look"]}, deviceIds: ["${deviceId}"]`);
    const { data } = await api.ask(
      `mutation { previewCampaign(input: {id: "${id}"}) { belonging suppressed unconsented whole samples { phone deviceId text } errors { code } } }`,
    );
    expect(data.previewCampaign).toEqual({
      belonging: 3,
      suppressed: 1,
      unconsented: 0,
      whole: true,
      samples: [
        { phone: '+15550000101', deviceId, text: 'Hi Ann' },
        { phone: '+15550000102', deviceId, text: null },
      ],
      errors: [],
    });
    // where the tenant asks for consent, those without a record of it get nothing; the third is suppressed already
    const asks = (on: boolean) => api.ask(`mutation { updateTenant(input: {consentRequired: ${on}}) { errors { code } } }`);
    await asks(true);
    const strict = await api.ask(`mutation { previewCampaign(input: {id: "${id}"}) { suppressed unconsented samples { phone } } }`);
    expect(strict.data.previewCampaign).toEqual({ suppressed: 1, unconsented: 2, samples: [] });
    await asks(false);
    // a look changes nothing; the enrolment is what the look said
    const { data: before } = await api.ask(`{ campaign(id: "${id}") { state enrolled } }`);
    expect(before.campaign).toEqual({ state: 'DRAFT', enrolled: 0 });
    await api.ask(`mutation { startCampaign(input: {id: "${id}"}) { errors { code } } }`);
    while ((await enrolChunk(api.database.sql, 1000)) !== null);
    expect((await api.ask(`{ campaign(id: "${id}") { enrolled } }`)).data.campaign).toEqual({ enrolled: 2 });

    const test = async (
      more: string,
    ): Promise<{ message: { to: string; body: string } | null; errors: { code: string; path: string[] }[] }> =>
      (
        await api.ask(
          `mutation { testCampaign(input: {id: "${id}", deviceId: "${deviceId}", to: "+15559999999"${more}}) { message { to body } errors { code path } } }`,
        )
      ).data.testCampaign;
    expect(await test('')).toEqual({ message: { to: '+15559999999', body: 'Hi Ann' }, errors: [] });
    const { data: known } = await api.ask('{ leads(tag: "look") { nodes { id phone } } }');
    const second = known.leads.nodes.find((one: { phone: string }) => one.phone === '+15550000102').id as string;
    expect((await test(`, leadId: "${second}"`)).errors).toEqual([{ code: 'TEMPLATE_INVALID', path: ['input', 'leadId'] }]);
    const nobody = 'Lead:018f0000-0000-7000-8000-00000000abcd';
    expect((await test(`, leadId: "${nobody}"`)).errors).toEqual([{ code: 'LEAD_NOT_FOUND', path: ['input', 'leadId'] }]);
  });

  it('say how fast they go and when they will be through', async () => {
    await api.ask(
      `mutation { importLeads(input: {leads: [${[1, 2, 3].map((n) => `{phone: "+1555000020${n}", tags: ["speed"]}`)}]}) { made } }`,
    );
    await api.ask('mutation { createDevice(input: {name: "speed", transport: SIMULATOR}) { device { id } } }');
    const id = await campaign('name: "speed", template: "Hi", audience: {tags: ["speed"]}');
    const look = async () => (await api.ask(`{ campaign(id: "${id}") { enrolled enrolling sentPerMinute eta } }`)).data.campaign;
    expect(await look()).toMatchObject({ sentPerMinute: 0, eta: null });
    await api.ask(`mutation { startCampaign(input: {id: "${id}"}) { errors { code } } }`);
    while ((await enrolChunk(api.database.sql, 1000)) !== null);
    expect(await look()).toEqual({ enrolled: 3, enrolling: false, sentPerMinute: 0, eta: null });
    // ten minutes ago it was started; three minutes ago 60 were sent
    await api.database.sql.unsafe(
      `with flow as (update flows set started_at = now() - interval '10 minutes' where id = $1 returning no, tenant_id)
       insert into report_steps (tenant_id, about, grain, subject, start, sent)
       select f.tenant_id, 'FLOW', 60, f.no::text, date_trunc('minute', now() - interval '3 minutes'), 60 from flow f`,
      [id.slice('Campaign:'.length)],
    );
    const before = systemClock.wall();
    const { sentPerMinute, eta } = await look();
    // of five minutes and the part of the one that has begun
    expect(sentPerMinute).toBeGreaterThan(9);
    expect(sentPerMinute).toBeLessThanOrEqual(12.5);
    expect(Date.parse(eta)).toBeGreaterThanOrEqual(before + (3 / 12.5) * 60_000);
    expect(Date.parse(eta)).toBeLessThanOrEqual(systemClock.wall() + (3 / 9) * 60_000);
  });

  it('have a pace and a ceiling of their own', async () => {
    expect(
      await errorsOf(
        'createCampaign(input: {name: "fast", template: "x", pace: {minMs: -1, maxMs: 86400001}, perMinute: 0, staggerMs: 86400001})',
        'createCampaign',
      ),
    ).toEqual([
      { code: 'INVALID_INPUT', path: ['input', 'pace', 'minMs'] },
      { code: 'INVALID_INPUT', path: ['input', 'pace', 'maxMs'] },
      { code: 'INVALID_INPUT', path: ['input', 'perMinute'] },
      { code: 'INVALID_INPUT', path: ['input', 'staggerMs'] },
    ]);
    expect(await errorsOf('createCampaign(input: {name: "fast", template: "x", pace: {minMs: 2, maxMs: 1}})', 'createCampaign')).toEqual([
      { code: 'INVALID_INPUT', path: ['input', 'pace'] },
    ]);
    const id = await campaign('name: "slow", template: "x", pace: {minMs: 60000, maxMs: 90000}, perMinute: 600, staggerMs: 3600000');
    const { data } = await api.ask(`{ campaign(id: "${id}") { pace { minMs maxMs } perMinute staggerMs } }`);
    expect(data.campaign).toEqual({ pace: { minMs: 60_000, maxMs: 90_000 }, perMinute: 600, staggerMs: 3_600_000 });
  });

  it('of another tenant, and unknown ones, are not there', async () => {
    const unknown = 'Campaign:018f0000-0000-7000-8000-00000000abcd';
    expect(
      (await api.ask(`{ campaign(id: "${unknown}") { id } sequence(id: "Sequence:018f0000-0000-7000-8000-00000000abcd") { id } }`)).data,
    ).toEqual({
      campaign: null,
      sequence: null,
    });
    expect(await errorsOf(`startCampaign(input: {id: "${unknown}"})`, 'startCampaign')).toEqual([
      { code: 'CAMPAIGN_NOT_FOUND', path: ['input', 'id'] },
    ]);
  });
});

describe('sequences', () => {
  it('chain, have versions, and take leads one by one', async () => {
    const make = async (input: string): Promise<{ id: string; version: number }> => {
      const { data } = await api.ask(
        `mutation { createSequence(input: {${input}}) { sequence { id version } errors { code path message } } }`,
      );
      expect(data.createSequence.errors).toEqual([]);
      return data.createSequence.sequence;
    };
    const warm = await make('name: "warm", steps: [{delayMs: 0, template: "w"}]');
    const cold = await make(
      `name: "cold", steps: [{delayMs: 0, template: "c"}, {delayMs: 86400000, template: "d"}], nextSequenceId: "${warm.id}"`,
    );
    expect((await make('name: "cold", steps: [{delayMs: 0, template: "c"}]')).version).toBe(2);
    expect(await errorsOf('createSequence(input: {name: "bad", steps: [{delayMs: -1, template: "{{"}]})', 'createSequence')).toEqual([
      { code: 'INVALID_INPUT', path: ['input', 'steps', '0', 'delayMs'] },
      { code: 'TEMPLATE_INVALID', path: ['input', 'steps', '0', 'template'] },
    ]);
    await api.ask('mutation { createDevice(input: {name: "d", transport: SIMULATOR}) { errors { code } } }');
    await api.ask('mutation { importLeads(input: {leads: [{phone: "+15550000077", tags: ["seq"]}]}) { made } }');
    const { data } = await api.ask('{ leads(tag: "seq") { nodes { id } } }');
    const lead = data.leads.nodes[0].id as string;
    const enrol = `enrol(input: {sequenceId: "${cold.id}", leadIds: ["${lead}"]})`;
    expect(await errorsOf(enrol, 'enrol')).toEqual([{ code: 'STATE_CONFLICT', path: ['input', 'sequenceId'] }]);
    expect(await errorsOf(`startSequence(input: {id: "${cold.id}"})`, 'startSequence')).toEqual([]);
    const enrolled = async (): Promise<number> => (await api.ask(`mutation { ${enrol} { enrolled errors { code } } }`)).data.enrol.enrolled;
    expect(await enrolled()).toBe(1);
    expect(await enrolled()).toBe(0);
    const { data: progress } = await api.ask(`{ sequence(id: "${cold.id}") { progress { place leads } } }`);
    expect(progress.sequence.progress).toEqual([{ place: 'WAITING', leads: 1 }]);
  });

  it('say what leads into them, what ends them and when again; every fault of that is named', async () => {
    const fields = 'id stopOnReply goalTags goalStages triggers { kind value } reentry reentryDays supersededBy';
    const make = async (input: string): Promise<Record<string, unknown> & { id: string }> => {
      const { data } = await api.ask(
        `mutation { createSequence(input: {${input}}) { sequence { ${fields} } errors { code path message } } }`,
      );
      expect(data.createSequence.errors).toEqual([]);
      return data.createSequence.sequence;
    };
    const steps = 'steps: [{delayMs: 0, template: "x"}]';
    const full = await make(
      `name: "full", ${steps}, stopOnReply: false, goal: {tags: ["customer"], stages: ["won"]}, reentry: AFTER_DAYS, reentryDays: 30,
       triggers: [{kind: TAG, value: "vip"}, {kind: KEYWORD, value: " JOIN! "}, {kind: REPLY}, {kind: WEBHOOK, value: "order-placed"}]`,
    );
    expect(full).toMatchObject({
      stopOnReply: false,
      goalTags: ['customer'],
      goalStages: ['won'],
      triggers: [
        { kind: 'KEYWORD', value: 'join' },
        { kind: 'REPLY', value: null },
        { kind: 'TAG', value: 'vip' },
        { kind: 'WEBHOOK', value: 'order-placed' },
      ],
      reentry: 'AFTER_DAYS',
      reentryDays: 30,
      supersededBy: null,
    });
    const plain = await make(`name: "plain", ${steps}`);
    expect(plain).toMatchObject({ stopOnReply: true, goalTags: [], triggers: [], reentry: 'NEVER', reentryDays: null });
    expect(
      await errorsOf(
        `createSequence(input: {name: "bad", ${steps}, goal: {}, reentry: AFTER_DAYS,
          triggers: [{kind: TAG}, {kind: KEYWORD, value: "?!"}, {kind: REPLY, value: "x"}, {kind: WEBHOOK, value: "No Name"}, {kind: STAGE, value: "a"}, {kind: STAGE, value: "a"}]})`,
        'createSequence',
      ),
    ).toEqual([
      ...['0', '1', '2', '3'].map((index) => ({ code: 'INVALID_INPUT', path: ['input', 'triggers', index, 'value'] })),
      { code: 'INVALID_INPUT', path: ['input', 'goal'] },
      { code: 'INVALID_INPUT', path: ['input', 'triggers', '5'] },
      { code: 'INVALID_INPUT', path: ['input', 'reentryDays'] },
    ]);
    expect(
      await errorsOf(
        `createSequence(input: {name: "bad", ${steps}, goal: {tags: ["t"]}, triggers: [{kind: TAG, value: "t"}], reentryDays: 3})`,
        'createSequence',
      ),
    ).toEqual([
      { code: 'INVALID_INPUT', path: ['input', 'triggers', '0'] },
      { code: 'INVALID_INPUT', path: ['input', 'reentryDays'] },
    ]);
    // it would lead into itself: by its name, or by the name of what follows
    const after = await make(`name: "after", ${steps}, nextSequenceId: "${plain.id}"`);
    expect(await errorsOf(`createSequence(input: {name: "plain", ${steps}, nextSequenceId: "${after.id}"})`, 'createSequence')).toEqual([
      { code: 'INVALID_INPUT', path: ['input', 'nextSequenceId'] },
    ]);
  });

  it('let leads go, and send who enrols in an old version to the new one', async () => {
    const make = async (): Promise<string> =>
      (await api.ask('mutation { createSequence(input: {name: "again", steps: [{delayMs: 0, template: "x"}]}) { sequence { id } } }')).data
        .createSequence.sequence.id;
    const start = (id: string): Promise<unknown> => errorsOf(`startSequence(input: {id: "${id}"})`, 'startSequence');
    const old = await make();
    expect(await start(old)).toEqual([]);
    await api.ask('mutation { createDevice(input: {name: "d2", transport: SIMULATOR}) { errors { code } } }');
    await api.ask('mutation { importLeads(input: {leads: [{phone: "+15550000078", tags: ["let"]}]}) { made } }');
    const lead = (await api.ask('{ leads(tag: "let") { nodes { id } } }')).data.leads.nodes[0].id as string;
    const run = async (verb: 'enrol' | 'unenrol', id: string): Promise<Record<string, unknown>> =>
      (
        await api.ask(
          `mutation { ${verb}(input: {sequenceId: "${id}", leadIds: ["${lead}"]}) { ${verb === 'enrol' ? 'enrolled' : 'ended'} errors { code path } } }`,
        )
      ).data[verb];
    expect(await run('enrol', old)).toEqual({ enrolled: 1, errors: [] });
    const fresh = await make();
    expect(await start(fresh)).toEqual([]);
    expect(await run('enrol', old)).toEqual({ enrolled: 0, errors: [{ code: 'STATE_CONFLICT', path: ['input', 'sequenceId'] }] });
    expect((await api.ask(`{ sequence(id: "${old}") { supersededBy state } }`)).data.sequence).toEqual({
      supersededBy: fresh,
      state: 'RUNNING',
    });
    expect(await run('unenrol', old)).toEqual({ ended: 1, errors: [] });
    expect(await run('unenrol', old)).toEqual({ ended: 0, errors: [] });
    const { data } = await api.ask(
      `{ sequence(id: "${old}") { progress { place leads } } audit(subject: "${old.replace('Sequence:', '')}") { nodes { action } } }`,
    );
    expect(data.sequence.progress).toEqual([{ place: 'STOPPED', leads: 1 }]);
    expect(data.audit.nodes.map((row: { action: string }) => row.action)).toContain('unenrol');
  });
});
