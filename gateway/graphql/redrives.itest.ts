import { afterAll, beforeAll, expect, it } from 'vitest';
import { redriveChunk } from '../../schema/sql/index.ts';
import { type ApiStack, startApi } from './testing-stack.ts';

let api: ApiStack;
let device: string;
const messages: string[] = [];

beforeAll(async () => {
  api = await startApi();
  const { data } = await api.ask('mutation { createDevice(input: {name: "d", transport: SIMULATOR}) { device { id } } }');
  device = data.createDevice.device.id;
  for (let n = 0; n < 4; n++) {
    const sent = await api.ask(
      `mutation { sendMessage(input: {deviceId: "${device}", to: "+4917012345${n}0", body: "b"}) { message { id } errors { code } } }`,
    );
    messages.push(sent.data.sendMessage.message.id);
  }
  await api.database.sql.unsafe("update messages set state = 'FAILED', cause = 'NO', ended_at = now()");
  await api.database.sql.unsafe('update ownership set ended = 4');
  await api.database.sql.unsafe(
    `insert into dead_letters (message_id, tenant_id, device_id, state, cause, attempts, last_error, created_at)
     select m.id, m.tenant_id, m.device_id, m.state, m.cause, 1, 'said no', now() + u.n * interval '1 ms' - interval '1 s'
     from unnest($1::uuid[]) with ordinality as u (id, n) join messages m on m.id = u.id`,
    [`{${messages.map((id) => id.replace('Message:', '')).join(',')}}`],
  );
});
afterAll(() => api?.stop());

const ALL = `redrive { id state reason ratePerMinute maxRedrives matching whole redriven suppressed leftOut progress secondsLeft filter }
  count { matching whole suppressed } errors { code path message }`;
// biome-ignore lint/suspicious/noExplicitAny: the shape is what each test asks for
const start = async (input: string): Promise<any> =>
  (await api.ask(`mutation { startRedrive(input: {${input}}) { ${ALL} } }`)).data.startRedrive;

it('what messages died of, by cause, with a sample', async () => {
  const { data } = await api.ask(
    `{ deadLetterGroups(filter: {deviceIds: ["${device}"], states: [FAILED]}) { whole groups { cause state count devices outcomeUnknown sample { id cause } } } }`,
  );
  expect(data.deadLetterGroups).toEqual({
    whole: true,
    groups: [
      { cause: 'NO', state: 'FAILED', count: 4, devices: 1, outcomeUnknown: false, sample: { id: expect.any(String), cause: 'NO' } },
    ],
  });
  const page = await api.ask(
    '{ deadLetters(first: 2, filter: {causes: ["NO"]}) { nodes { messageId } pageInfo { hasNextPage endCursor } } }',
  );
  expect(page.data.deadLetters.nodes.map((one: { messageId: string }) => one.messageId)).toEqual([messages[3], messages[2]]);
  const next = await api.ask(
    `{ deadLetters(first: 5, after: "${page.data.deadLetters.pageInfo.endCursor}", filter: {causes: ["NO"]}) { nodes { messageId } } }`,
  );
  expect(next.data.deadLetters.nodes.map((one: { messageId: string }) => one.messageId)).toEqual([messages[1], messages[0]]);
  expect((await api.ask('{ deadLetters(filter: {causes: ["OTHER"]}) { nodes { messageId } } }')).data.deadLetters.nodes).toEqual([]);
});

it('names every fault of the input by its field, and changes nothing', async () => {
  const nothing = '018f0000-0000-7000-8000-00000000abcd';
  const { errors } = await start('filter: {causes: [], states: [], deviceIds: ["x"]}, reason: " ", ratePerMinute: 0, maxRedrives: 0');
  expect(errors.map((one: { code: string; path: string[] }) => `${one.code} ${one.path.join('.')}`)).toEqual([
    'INVALID_INPUT input.reason',
    'INVALID_INPUT input.ratePerMinute',
    'INVALID_INPUT input.maxRedrives',
    'INVALID_INPUT input.filter.states',
    'INVALID_INPUT input.filter.causes',
    'INVALID_ID input.filter.deviceIds',
  ]);
  const one = async (filter: string): Promise<string> => {
    const [fault] = (await start(`filter: {${filter}}, reason: "r"`)).errors;
    return `${fault.code} ${fault.path.join('.')}`;
  };
  expect(await one(`deviceIds: ["Device:${nothing}"]`)).toBe('DEVICE_NOT_FOUND input.filter.deviceIds');
  expect(await one(`campaignId: "Campaign:${nothing}"`)).toBe('CAMPAIGN_NOT_FOUND input.filter.campaignId');
  expect(await one(`sequenceId: "Sequence:${nothing}"`)).toBe('SEQUENCE_NOT_FOUND input.filter.sequenceId');
  expect(await one(`since: "2030-01-01T00:00:00Z", until: "2030-01-01T00:00:00Z"`)).toBe('INVALID_INPUT input.filter.until');
  const { errors: asked } = await api.ask(`{ deadLetterGroups(filter: {campaignId: "Campaign:${nothing}"}) { whole } }`);
  expect(asked[0]).toMatchObject({ message: expect.stringContaining('filter.campaignId'), extensions: { code: 'CAMPAIGN_NOT_FOUND' } });
  expect((await api.ask('{ redrives { nodes { id } } }')).data.redrives.nodes).toEqual([]);
});

it('a dry run counts and changes nothing; the order shows its progress; it is cancelled once; all of it is in the audit', async () => {
  await api.ask('mutation { suppress(input: {phone: "+491701234500", reason: "STOP"}) { errors { code } } }');
  expect(await start('filter: {}, reason: "look", dryRun: true')).toEqual({
    redrive: null,
    count: { matching: 4, whole: true, suppressed: 1 },
    errors: [],
  });
  const { redrive } = await start('filter: {causes: ["NO"]}, reason: "provider is back", ratePerMinute: 60');
  expect(redrive).toMatchObject({
    state: 'RUNNING',
    reason: 'provider is back',
    ratePerMinute: 60,
    maxRedrives: 5,
    matching: 4,
    redriven: 0,
    progress: 0,
    secondsLeft: 4,
    filter: '{"causes": ["NO"]}',
  });
  // the first letter is that of the person who said stop
  await redriveChunk(api.database.sql);
  await redriveChunk(api.database.sql);
  const show = async (): Promise<unknown> =>
    (await api.ask(`{ redrive(id: "${redrive.id}") { state redriven suppressed progress secondsLeft } }`)).data.redrive;
  expect(await show()).toEqual({ state: 'RUNNING', redriven: 1, suppressed: 1, progress: 0.5, secondsLeft: 2 });
  const cancel = async (): Promise<unknown> =>
    (await api.ask(`mutation { cancelRedrive(input: {id: "${redrive.id}"}) { redrive { state } errors { code path } } }`)).data
      .cancelRedrive;
  expect(await cancel()).toEqual({ redrive: { state: 'CANCELLED' }, errors: [] });
  expect(await cancel()).toEqual({ redrive: { state: 'CANCELLED' }, errors: [] });
  const [{ n }] = (await api.database.sql.unsafe("select count(*)::int as n from messages where state = 'FAILED'")) as unknown as [
    { n: number },
  ];
  expect(n).toBe(3);
  const unknown = await api.ask(
    'mutation { cancelRedrive(input: {id: "Redrive:018f0000-0000-7000-8000-00000000abcd"}) { errors { code path } } }',
  );
  expect(unknown.data.cancelRedrive.errors).toEqual([{ code: 'REDRIVE_NOT_FOUND', path: ['input', 'id'] }]);
  const { data: log } = await api.ask(`{ audit(subject: "${redrive.id}") { nodes { action detail } } }`);
  expect(log.audit.nodes.map((row: { action: string }) => row.action)).toEqual(['cancelRedrive', 'startRedrive']);
  expect(JSON.parse(log.audit.nodes[1].detail)).toEqual({ matching: 4, whole: true, ratePerMinute: 60 });
});

it('a tenant may have twenty at a time, and only operators order them', async () => {
  for (let n = 0; n < 20; n++) expect((await start(`filter: {}, reason: "n", ratePerMinute: 1`)).errors).toEqual([]);
  const [fault] = (await start('filter: {}, reason: "n"')).errors;
  expect(fault.code).toBe('TOO_MANY');
  const key = await api.ask('mutation { createApiKey(input: {name: "v", scopes: [SENDER]}) { secret } }');
  const refused = await api.ask('mutation { startRedrive(input: {filter: {}, reason: "n"}) { errors { code } } }', {
    key: key.data.createApiKey.secret,
  });
  expect(refused.errors[0]?.extensions.code).toBe('FORBIDDEN');
});
