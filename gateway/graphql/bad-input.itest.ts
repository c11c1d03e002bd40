import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiStack, startApi } from './testing-stack.ts';

const SEND =
  'mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id state } held replayed errors { code message path retryAfterMs } } }';
const CREATE =
  'mutation ($input: CreateDeviceInput!) { createDevice(input: $input) { device { id name state } linkToken errors { code message path } } }';

let api: ApiStack;
let deviceId: string;

const send = async (input: Record<string, unknown>) => {
  const answer = await api.ask(SEND, { variables: { input: { deviceId, to: '+491701234567', body: 'hi', ...input } } });
  expect(answer.errors).toEqual([]);
  return answer.data.sendMessage;
};
const messages = async (): Promise<number> => {
  const [row] = await api.database.sql.unsafe<{ n: number }[]>('select count(*)::int as n from messages');
  return row?.n ?? -1;
};

beforeAll(async () => {
  api = await startApi();
  const { data } = await api.ask(CREATE, { variables: { input: { name: 'one', transport: 'SIMULATOR' } } });
  deviceId = data.createDevice.device.id;
});
afterAll(() => api?.stop());

describe('bad input: nothing changes and the error has a stable code', () => {
  const unknown = 'Device:018f0000-0000-7000-8000-0000000000ff';
  it.each([
    ['unknown device', { deviceId: unknown }, 'DEVICE_NOT_FOUND', ['input', 'deviceId'], /no device/],
    ['malformed id', { deviceId: 'nonsense' }, 'INVALID_ID', ['input', 'deviceId'], /Device:<uuid>/],
    ['id of another type', { deviceId: unknown.replace('Device', 'Message') }, 'INVALID_ID', ['input', 'deviceId'], /Device:<uuid>/],
    ['empty number', { to: '' }, 'INVALID_PHONE', ['input', 'to'], /empty/],
    ['number without +', { to: '491701234567' }, 'INVALID_PHONE', ['input', 'to'], /\+ .*missing/],
    ['letters in the number', { to: '+49abc1234567' }, 'INVALID_PHONE', ['input', 'to'], /letters/],
    ['spaces in the number', { to: '+49 170 1234567' }, 'INVALID_PHONE', ['input', 'to'], /spaces/],
    ['short number', { to: '+49170' }, 'INVALID_PHONE', ['input', 'to'], /too short: 5 digits/],
    ['long number', { to: '+4917012345678901' }, 'INVALID_PHONE', ['input', 'to'], /too long: 16 digits/],
    ['leading zero', { to: '+01701234567' }, 'INVALID_PHONE', ['input', 'to'], /starts with 0/],
    ['empty body', { body: '' }, 'BODY_EMPTY', ['input', 'body'], /empty/],
    ['blank body', { body: ' \n ' }, 'BODY_EMPTY', ['input', 'body'], /empty/],
    ['no body', { body: null }, 'BODY_EMPTY', ['input', 'body'], /empty/],
    ['over-long body', { body: 'x'.repeat(4097) }, 'BODY_TOO_LONG', ['input', 'body'], /4096.*4097/],
    ['NUL in the body', { body: 'a\u0000b' }, 'INVALID_INPUT', ['input', 'body'], /NUL/],
    ['empty key', { idempotencyKey: '' }, 'IDEMPOTENCY_KEY_INVALID', ['input', 'idempotencyKey'], /1 to 200/],
    ['long key', { idempotencyKey: 'k'.repeat(201) }, 'IDEMPOTENCY_KEY_INVALID', ['input', 'idempotencyKey'], /1 to 200/],
    ['unprintable key', { idempotencyKey: 'a\u0007' }, 'IDEMPOTENCY_KEY_INVALID', ['input', 'idempotencyKey'], /printable/],
    ['schedule in the past', { scheduledAt: '2001-01-01T00:00:00Z' }, 'SCHEDULE_INVALID', ['input', 'scheduledAt'], /past/],
    ['schedule too far', { scheduledAt: '2999-01-01T00:00:00Z' }, 'SCHEDULE_INVALID', ['input', 'scheduledAt'], /one year/],
  ])('sendMessage: %s', async (_name, input, code, path, message) => {
    const before = await messages();
    const answer = await send(input);
    expect(answer.message).toBeNull();
    expect(answer.errors).toMatchObject([{ code, path }]);
    expect(answer.errors[0].message).toMatch(message);
    expect(await messages()).toBe(before);
  });

  it('names every fault at once', async () => {
    const answer = await send({ to: 'x', body: '' });
    expect(answer.errors.map((error: { code: string }) => error.code)).toEqual(['INVALID_PHONE', 'BODY_EMPTY']);
  });

  it('a body of 4,096 characters outside the first plane is as long as it looks', async () => {
    const answer = await send({ body: '🚀'.repeat(4096) });
    expect(answer.errors).toEqual([]);
  });

  it('a reused idempotency key with other content is refused, with the same content replayed', async () => {
    const first = await send({ idempotencyKey: 'k1' });
    const again = await send({ idempotencyKey: 'k1' });
    expect(again).toMatchObject({ replayed: true, message: { id: first.message.id }, errors: [] });
    const before = await messages();
    const other = await send({ idempotencyKey: 'k1', body: 'other' });
    expect(other.errors).toMatchObject([{ code: 'IDEMPOTENCY_KEY_REUSED', path: ['input', 'idempotencyKey'] }]);
    expect(await messages()).toBe(before);
  });

  it('the same key in one request is one message', async () => {
    const alias = (at: number) =>
      `m${at}: sendMessage(input: {deviceId: "${deviceId}", to: "+491701234567", body: "twin", idempotencyKey: "twin"}) { message { id } errors { code } }`;
    const { data } = await api.ask(`mutation { ${[0, 1, 2].map(alias).join(' ')} }`);
    expect(new Set(Object.values(data).map((answer) => (answer as { message: { id: string } }).message.id)).size).toBe(1);
  });

  it('a backlog over its limit is refused with a time to ask again', async () => {
    const tenant = await api.ask('mutation { createTenant(input: {name: "small", maxBacklog: 2}) { tenant { id } errors { code } } }');
    const headers = { 'x-flotilla-tenant': 'small' };
    expect(tenant.data.createTenant.errors).toEqual([]);
    const made = await api.ask(CREATE, { variables: { input: { name: 'one', transport: 'SIMULATOR' } }, headers });
    const input = { deviceId: made.data.createDevice.device.id, to: '+491701234567', body: 'hi' };
    for (let at = 0; at < 2; at++) expect((await api.ask(SEND, { variables: { input }, headers })).data.sendMessage.errors).toEqual([]);
    const full = await api.ask(SEND, { variables: { input }, headers });
    expect(full.data.sendMessage.errors).toMatchObject([{ code: 'BACKLOG_FULL', path: ['input', 'deviceId'] }]);
    expect(full.data.sendMessage.errors[0].retryAfterMs).toBeGreaterThan(0);
  });

  it('a suppressed recipient is refused', async () => {
    await api.ask('mutation { suppress(input: {phone: "+491700000001"}) { added errors { code } } }');
    expect((await send({ to: '+491700000001' })).errors).toMatchObject([{ code: 'RECIPIENT_SUPPRESSED', path: ['input', 'to'] }]);
  });

  it('a paused device accepts and says that it holds', async () => {
    const { data } = await api.ask(CREATE, { variables: { input: { name: 'paused', transport: 'SIMULATOR' } } });
    const id = data.createDevice.device.id;
    const paused = await api.ask(
      `mutation { pauseDevice(input: {deviceId: "${id}"}) { device { paused state sendability { canSend reasons } } errors { code } } }`,
    );
    expect(paused.data.pauseDevice).toMatchObject({
      device: { paused: true, state: 'PAUSED', sendability: { canSend: false } },
      errors: [],
    });
    expect(await send({ deviceId: id })).toMatchObject({ held: true, message: { state: 'QUEUED' }, errors: [] });
  });

  it.each([
    ['empty name', { name: ' ' }, 'NAME_INVALID'],
    ['long name', { name: 'n'.repeat(81) }, 'NAME_INVALID'],
    ['taken name', { name: 'one' }, 'NAME_TAKEN'],
    ['wrong phone', { name: 'x', phone: '0170' }, 'INVALID_PHONE'],
    ['pace upside down', { name: 'x', paceMinMs: 10, paceMaxMs: 5 }, 'INVALID_INPUT'],
    ['negative pace', { name: 'x', paceMinMs: -1 }, 'INVALID_INPUT'],
    ['cap of nothing', { name: 'x', dailyCap: 0 }, 'INVALID_INPUT'],
  ])('createDevice: %s', async (_name, input, code) => {
    const { data } = await api.ask(CREATE, { variables: { input: { transport: 'SIMULATOR', ...input } } });
    expect(data.createDevice.device).toBeNull();
    expect(data.createDevice.errors[0].code).toBe(code);
  });

  it('the other mutations answer for what is not there', async () => {
    const id = '018f0000-0000-7000-8000-0000000000ff';
    const { data } = await api.ask(`mutation {
      pauseDevice(input: {deviceId: "Device:${id}"}) { errors { code } }
      resumeDevice(input: {deviceId: "Device:${id}"}) { errors { code } }
      releaseDevice(input: {deviceId: "Device:${id}"}) { errors { code } }
      cancelMessage(input: {messageId: "Message:${id}"}) { errors { code } }
      redriveDeadLetters(input: {messageIds: ["Message:${id}"]}) { errors { code } }
      revokeApiKey(input: {apiKeyId: "ApiKey:${id}"}) { errors { code } }
    }`);
    const codes = Object.values(data).map((answer) => (answer as { errors: { code: string }[] }).errors[0]?.code);
    expect(codes).toEqual(['DEVICE_NOT_FOUND', 'DEVICE_NOT_FOUND', 'DEVICE_NOT_FOUND', 'MESSAGE_NOT_FOUND', 'NOT_REDRIVABLE', 'NOT_FOUND']);
  });

  it('a cancelled message cannot be cancelled again', async () => {
    const { message } = await send({});
    const cancel = `mutation { cancelMessage(input: {messageId: "${message.id}"}) { message { state } errors { code message } } }`;
    expect((await api.ask(cancel)).data.cancelMessage).toMatchObject({ message: { state: 'CANCELLED' }, errors: [] });
    expect((await api.ask(cancel)).data.cancelMessage.errors).toMatchObject([{ code: 'NOT_CANCELLABLE' }]);
  });

  it('queries: wrong arguments are errors with codes, unknown objects are null', async () => {
    expect((await api.ask('{ device(id: "nonsense") { id } }')).errors[0]?.extensions.code).toBe('INVALID_ID');
    expect((await api.ask('{ devices(first: 0) { edges { cursor } } }')).errors[0]?.extensions.code).toBe('INVALID_INPUT');
    expect((await api.ask('{ messages(after: "x") { edges { cursor } } }')).errors[0]?.extensions.code).toBe('INVALID_ID');
    expect((await api.ask('{ device(id: "018f0000-0000-7000-8000-0000000000ff") { id } }')).data).toEqual({ device: null });
    expect((await api.ask('{ node(id: "Message:nonsense") { id } }')).errors[0]?.extensions.code).not.toBe('INTERNAL');
  });

  it('requests: malformed JSON, syntax error, wrong variables', async () => {
    const cases: [Promise<{ status: number; errors: readonly { extensions: { code: string } }[] }>, string][] = [
      [api.ask('', { raw: '{"query": ' }), 'BAD_REQUEST'],
      [api.ask('{ devices '), 'GRAPHQL_PARSE_FAILED'],
      [api.ask('{ nothing }'), 'GRAPHQL_VALIDATION_FAILED'],
      [api.ask(SEND, { variables: { input: { to: 1 } } }), 'BAD_REQUEST'],
    ];
    for (const [asked, code] of cases) {
      const answer = await asked;
      expect(answer.status).toBe(400);
      expect(answer.errors[0]?.extensions.code).toBe(code);
    }
  });
});

describe('keys', () => {
  const newKey = async (scopes: string, more = ''): Promise<{ id: string; secret: string }> => {
    const { data } = await api.ask(
      `mutation { createApiKey(input: {name: "k", scopes: [${scopes}]${more}}) { apiKey { id } secret errors { code } } }`,
    );
    return { id: data.createApiKey.apiKey.id, secret: data.createApiKey.secret };
  };

  it('a wrong, a missing and a revoked key are UNAUTHENTICATED', async () => {
    expect(await api.ask('{ __typename }', { key: 'flk_wrong-wrong-wrong' })).toMatchObject({
      status: 401,
      errors: [{ extensions: { code: 'UNAUTHENTICATED' } }],
    });
    const key = await newKey('VIEWER');
    expect((await api.ask('{ viewer { scopes } }', { key: key.secret })).data.viewer.scopes).toEqual(['VIEWER']);
    await api.ask(`mutation { revokeApiKey(input: {apiKeyId: "${key.id}"}) { errors { code } } }`);
    expect((await api.ask('{ viewer { scopes } }', { key: key.secret })).status).toBe(401);
  });

  it('nothing but hashes is kept', async () => {
    const key = await newKey('VIEWER');
    const rows = await api.database.sql.unsafe("select encode(hash, 'hex') || name || scopes::text as row from api_keys");
    expect(JSON.stringify(rows)).not.toContain(key.secret.slice(4));
  });

  it('scopes: each may what it says and no more', async () => {
    const viewer = await newKey('VIEWER');
    const sender = await newKey('SENDER');
    const screen = await newKey('SCREEN');
    const sendDocument = { variables: { input: { deviceId, to: '+491701234567', body: 'hi' } } };
    expect((await api.ask(SEND, { ...sendDocument, key: viewer.secret })).errors[0]?.extensions.code).toBe('FORBIDDEN');
    expect((await api.ask(SEND, { ...sendDocument, key: sender.secret })).data.sendMessage.errors).toEqual([]);
    expect((await api.ask('{ messages { edges { cursor } } }', { key: screen.secret })).errors[0]?.extensions.code).toBe('FORBIDDEN');
    expect(
      (await api.ask('{ node(id: "Device:018f0000-0000-7000-8000-0000000000ff") { id } }', { key: screen.secret })).errors[0]?.extensions
        .code,
    ).toBe('FORBIDDEN');
    expect((await api.ask('{ fleet { devices connected } }', { key: screen.secret })).errors).toEqual([]);
    const tenant = await api.ask('mutation { createTenant(input: {name: "no"}) { errors { code } } }', {
      key: (await newKey('ADMIN')).secret,
    });
    expect(tenant.errors[0]?.extensions.code).toBe('FORBIDDEN');
  });

  it('too many wrong keys from one address are told to wait, while a good one still works', async () => {
    let last = await api.ask('{ __typename }');
    // more while the machine is slow: what it is told to wait for passes meanwhile
    for (let at = 0; at < 5000 && last.status !== 429; at++) last = await api.ask('{ __typename }', { key: `flk_wrong-${at}-wrong` });
    expect(last).toMatchObject({ status: 429, errors: [{ extensions: { code: 'RATE_LIMITED' } }] });
    expect(Number(last.headers['retry-after'])).toBeGreaterThan(0);
  });
});
