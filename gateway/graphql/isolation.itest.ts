import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiStack, startApi } from './testing-stack.ts';

const HERE = { 'x-flotilla-tenant': 'here' };
const THERE = { 'x-flotilla-tenant': 'there' };

let api: ApiStack;
let theirs: { device: string; message: string; key: string };
let ours: string;
let ourKey: string;

beforeAll(async () => {
  api = await startApi();
  for (const name of ['here', 'there']) await api.ask(`mutation { createTenant(input: {name: "${name}"}) { errors { code } } }`);
  const make = async (headers: Record<string, string>): Promise<{ device: string; message: string }> => {
    const made = await api.ask(
      'mutation { createDevice(input: {name: "same name", transport: SIMULATOR}) { device { id } errors { code } } }',
      { headers },
    );
    const device = made.data.createDevice.device.id as string;
    const sent = await api.ask(
      `mutation { sendMessage(input: {deviceId: "${device}", to: "+491701234567", body: "secret", idempotencyKey: "k"}) { message { id } errors { code } } }`,
      { headers },
    );
    return { device, message: sent.data.sendMessage.message.id };
  };
  const key = (headers: Record<string, string>) =>
    api.ask('mutation { createApiKey(input: {name: "k", scopes: [ADMIN]}) { apiKey { id } secret } }', { headers });
  theirs = { ...(await make(THERE)), key: (await key(THERE)).data.createApiKey.apiKey.id };
  ours = (await make(HERE)).device;
  ourKey = (await key(HERE)).data.createApiKey.secret;
  await api.database.sql.unsafe("update messages set state = 'DEAD', cause = 'TEST', ended_at = now()");
  await api.database.sql.unsafe('update ownership set ended = 1');
  await api.database.sql.unsafe(
    'insert into dead_letters (message_id, tenant_id, device_id, state, cause, attempts) select id, tenant_id, device_id, state, cause, 1 from messages',
  );
});
afterAll(() => api?.stop());

const ask = (query: string, headers: Record<string, string> = {}) => api.ask(query, { key: ourKey, headers });

describe('nothing of one tenant is visible to another', () => {
  it('what belongs to another is answered like what does not exist', async () => {
    const unknown = '018f0000-0000-7000-8000-0000000000ff';
    const document = (device: string, message: string, key: string) => `mutation {
      sendMessage(input: {deviceId: "${device}", to: "+491701234567", body: "x"}) { message { id } errors { code message path } }
      pauseDevice(input: {deviceId: "${device}"}) { device { id } errors { code message path } }
      resumeDevice(input: {deviceId: "${device}"}) { device { id } errors { code message path } }
      releaseDevice(input: {deviceId: "${device}"}) { device { id } errors { code message path } }
      cancelMessage(input: {messageId: "${message}"}) { message { id } errors { code message path } }
      redriveDeadLetters(input: {messageIds: ["${message}"]}) { count errors { code message path } }
      revokeApiKey(input: {apiKeyId: "${key}"}) { errors { code message path } }
    }`;
    const before = await api.database.sql.unsafe('select id, paused, changed_at from devices order by id');
    const foreign = await ask(document(theirs.device, theirs.message, theirs.key));
    const nothing = await ask(document(`Device:${unknown}`, `Message:${unknown}`, `ApiKey:${unknown}`));
    expect(foreign.data).toEqual(nothing.data);
    expect(foreign.data.sendMessage.errors[0].code).toBe('DEVICE_NOT_FOUND');
    expect([...(await api.database.sql.unsafe('select id, paused, changed_at from devices order by id'))]).toEqual([...before]);
  });

  it('lookups by id are empty, whatever the way', async () => {
    const { data } = await ask(`{
      device(id: "${theirs.device}") { id }
      message(id: "${theirs.message}") { id }
      a: node(id: "${theirs.device}") { id }
      b: node(id: "${theirs.message}") { id }
      messages(deviceId: "${theirs.device}") { edges { node { id } } }
    }`);
    expect(data).toEqual({ device: null, message: null, a: null, b: null, messages: { edges: [] } });
  });

  it('lists and figures hold only what is ours', async () => {
    const { data } = await ask(
      '{ devices { edges { node { id } } } messages { edges { node { device { id } } } } deadLetters { edges { node { device { id } message { body } } } } fleet { devices backlog } }',
    );
    expect(data.devices.edges).toEqual([{ node: { id: ours } }]);
    expect(data.messages.edges).toEqual([{ node: { device: { id: ours } } }]);
    expect(data.deadLetters.edges).toEqual([{ node: { device: { id: ours }, message: { body: 'secret' } } }]);
    expect(data.fleet.devices).toBe(1);
  });

  it('a key of one tenant cannot name another', async () => {
    expect(await ask('{ viewer { tenant { name } } }', THERE)).toMatchObject({
      status: 403,
      errors: [{ extensions: { code: 'FORBIDDEN' } }],
    });
    expect((await ask('{ viewer { tenant { name } } }', HERE)).data.viewer.tenant.name).toBe('here');
    expect((await api.ask('{ viewer { installation tenant { name } } }')).data.viewer).toEqual({
      installation: true,
      tenant: { name: 'default' },
    });
  });

  it('the same idempotency key in two tenants is two messages', async () => {
    const rows = await api.database.sql.unsafe('select count(distinct message_id)::int as n from idempotency_keys');
    expect(rows[0]?.['n']).toBe(2);
  });

  it('the installation key redrives in the tenant it names only', async () => {
    const answer = await api.ask('mutation { redriveDeadLetters(input: {}) { count errors { code } } }', { headers: HERE });
    const { data } = answer;
    expect(answer.errors, api.lines.join('')).toEqual([]);
    expect(data.redriveDeadLetters).toEqual({ count: 1, errors: [] });
    const rows = await api.database.sql.unsafe("select count(*)::int as n from messages where state = 'DEAD'");
    expect(rows[0]?.['n']).toBe(1);
    // not left to the sweep of a node: no node runs here
    const [redriven] = await api.database.sql.unsafe('select message_id as id from dead_letters where redriven_at is not null');
    await expect.poll(() => api.enqueued).toContain(redriven?.['id']);
  });
});
