import type { Client } from 'graphql-ws';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createLive, type Live } from '../actors/live/index.ts';
import { connectRedis, type Redis } from '../ops/connect/index.ts';
import { systemClock } from '../ops/lifecycle/index.ts';
import { type DeviceRecord, NODES_KEY } from '../schema/domain/index.ts';
import { type Data, headersOf, startTestGateway, type TestGateway } from './gateway.testing.ts';

/** The whole gateway on a real ledger and Redis, spoken to with stock clients; nodes are played by writing to the live streams. */
let gateway: TestGateway;
let tenantId = '';
let redis: Redis;
let node: Live;

beforeAll(async () => {
  gateway = await startTestGateway({ LIVE_TICK_MS: '5' });
  redis = connectRedis(gateway.redis.url, { role: 'general', name: 'test' });
  node = createLive({ redis, clock: systemClock, telemetry: gateway.telemetry }, { tickMs: 5, checkMs: 100 });
  await alive('node-1');
  tenantId = String((await gateway.database.sql.unsafe('select id from tenants limit 1'))[0]?.['id']);
});
afterEach(() => gateway.hangUp());
afterAll(async () => {
  await node.close();
  redis.disconnect();
  await gateway.stop();
});

const alive = (id: string): Promise<unknown> => redis.zadd(NODES_KEY, systemClock.wall() + 60_000, id);
const ask = (query: string, variables?: Record<string, unknown>, client = gateway.connect()): Promise<Data> =>
  new Promise((resolve, reject) => {
    let result: unknown;
    client.subscribe(
      { query, ...(variables === undefined ? {} : { variables }) },
      { next: (value) => (result = value), error: reject, complete: () => resolve(result) },
    );
  });
/** Everything a subscription says, as it comes. */
function listen(
  query: string,
  variables?: Record<string, unknown>,
  client = gateway.connect(),
): { readonly got: Data[]; readonly errors: Data[]; stop(): void } {
  const got: Data[] = [];
  const errors: Data[] = [];
  const stop = client.subscribe<Data>(
    { query, ...(variables === undefined ? {} : { variables }) },
    { next: (value) => void got.push(value), error: (error) => void errors.push(error), complete: () => {} },
  );
  return { got, errors, stop };
}
let made = 0;
async function createDevice(client = gateway.connect()): Promise<{ readonly id: string; readonly uuid: string; readonly name: string }> {
  made += 1;
  const name = `device ${made}`;
  const answer = await ask(
    'mutation($input: CreateDeviceInput!) { createDevice(input: $input) { device { id } errors { code message } } }',
    {
      input: { name, transport: 'SIMULATOR' },
    },
    client,
  );
  const id = String(answer.data.createDevice.device.id);
  return { id, uuid: id.replace('Device:', ''), name };
}
const record = (uuid: string, name: string, version: number, state: DeviceRecord['state'] = 'ONLINE', nodeId = 'node-1'): DeviceRecord => ({
  id: uuid,
  name,
  state,
  reason: null,
  node: nodeId,
  epoch: 1,
  version,
  transport: 'simulator',
  at: systemClock.wall(),
});
const FLEET = `subscription($since: LivePosition) { fleet(since: $since) { __typename
  ... on FleetSnapshot { epoch seq simulated nodes ids names states nodeIndex reasons totals { devices connected states { state count } } }
  ... on FleetDelta { epoch from seq nodes ids states nodeIndex removed totals { connected backlog } } } }`;

describe('HTTP', () => {
  const get = (path: string): Promise<Response> => fetch(`${gateway.base}${path}`);
  it('says that it lives, is ready, and what it measures; serves the wall', async () => {
    expect((await get('/live')).status).toBe(200);
    const ready = await get('/ready');
    expect([ready.status, await ready.json()]).toMatchObject([200, { ready: true }]);
    expect(await (await get('/api/system/redis-check')).json()).toMatchObject({ reachable: true });
    expect((await get('/link/asyncapi.json')).status).toBe(200);
    expect(await (await get('/metrics')).text()).toMatch(/flotilla_sockets/);
    const wall = await get('/');
    expect([wall.status, wall.headers.get('content-security-policy')?.includes("default-src 'self'")]).toEqual([200, true]);
    expect((await get('/nothing')).status).toBe(404);
  });
  it('answers GraphQL over POST and SSE', async () => {
    const post = (query: string, accept: string, signal?: AbortSignal): Promise<Response> =>
      fetch(`${gateway.base}/graphql`, {
        method: 'POST',
        headers: { ...headersOf(), 'content-type': 'application/json', accept },
        body: JSON.stringify({ query }),
        ...(signal === undefined ? {} : { signal }),
      });
    expect(await (await post('{ fleet { devices } }', 'application/json')).json()).toMatchObject({
      data: { fleet: { devices: expect.any(Number) } },
    });
    const abort = new AbortController();
    const stream = await post('subscription { fleet { __typename } }', 'text/event-stream', abort.signal);
    const reader = stream.body?.getReader();
    let text = '';
    for (let chunk = await reader?.read(); chunk?.done === false; chunk = await reader?.read()) {
      text += new TextDecoder().decode(chunk.value);
      if (text.includes('FleetSnapshot')) break;
    }
    abort.abort();
    expect(stream.status).toBe(200);
    expect(text).toContain('FleetSnapshot');
  });
});

describe('stock graphql-ws client', () => {
  it('queries, mutates, and is told what is wrong without losing the socket', async () => {
    const client = gateway.connect();
    expect(await ask('{ viewer { __typename } }', undefined, client)).toMatchObject({ data: { viewer: { __typename: 'Viewer' } } });
    await expect(ask('{ nothing }', undefined, client)).rejects.toMatchObject([{ extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } }]);
    expect(await ask('{ fleet { devices } }', undefined, client)).toMatchObject({ data: { fleet: {} } });
  });
  it('is closed with 4403 for a wrong key', async () => {
    await expect(ask('{ fleet { devices } }', undefined, gateway.connect({ key: 'flk_wrong-wrong-wrong' }))).rejects.toMatchObject({
      code: 4403,
    });
  });
  it('sees the fleet: snapshot, deltas, what it missed, and a silent node as UNKNOWN', { timeout: 90_000 }, async () => {
    const device = await createDevice();
    node.device(tenantId, record(device.uuid, device.name, 1));
    await node.flush();
    const fleet = listen(FLEET);
    await expect.poll(() => fleet.got.at(-1)?.data.fleet.ids ?? []).toContain(device.id);
    expect(fleet.got[0].data.fleet.__typename).toBe('FleetSnapshot');
    // a mirror that an earlier test left watching may hear of the device a moment after its first answer: then it comes as a delta
    const { data, extensions } = fleet.got.find((message) => message.data.fleet.ids.includes(device.id));
    const seen = data.fleet;
    expect(seen.simulated).toBe(true);
    const at = seen.ids.indexOf(device.id);
    expect([seen.names[at], seen.states[at], seen.nodes[seen.nodeIndex[at]]]).toEqual([device.name, 'ONLINE', 'node-1']);
    expect(extensions.live).toEqual({ epoch: seen.epoch, seq: seen.seq });
    node.device(tenantId, record(device.uuid, device.name, 2, 'SENDING'));
    await expect.poll(() => fleet.got.find((message) => message.data.fleet.states.includes('SENDING'))).toBeDefined();
    const last = fleet.got.at(-1).data.fleet;
    fleet.stop();
    node.device(tenantId, record(device.uuid, device.name, 3, 'THROTTLED'));
    await node.flush();
    const resumed = listen(FLEET, { since: { epoch: last.epoch, seq: last.seq } });
    await expect
      .poll(() => resumed.got[0]?.data.fleet)
      .toMatchObject({ __typename: 'FleetDelta', from: last.seq, ids: [device.id], states: ['THROTTLED'] });
    await redis.zrem(NODES_KEY, 'node-1');
    const state = (): string => {
      const { ids, states } = resumed.got.findLast((message) => message.data.fleet.ids.includes(device.id)).data.fleet;
      return states[ids.indexOf(device.id)];
    };
    await expect.poll(state).toBe('UNKNOWN');
    await expect.poll(() => resumed.got.at(-1).data.fleet.totals.connected).toBe(0);
    await alive('node-1');
    await expect.poll(state).toBe('THROTTLED');
    await expect.poll(async () => (await ask('{ fleet { connected } }')).data.fleet.connected).toBe(1);
    for (let index = 1; index < resumed.got.length; index++) {
      expect(resumed.got[index].data.fleet.from).toBe(resumed.got[index - 1].data.fleet.seq);
    }
  });
  it('sees one device, and the same answer for someone else’s as for an unknown one', async () => {
    const device = await createDevice();
    const live = listen('subscription($id: ID!) { device(id: $id) { state reason node deviceEpoch device { name } } }', { id: device.id });
    await expect
      .poll(() => live.got[0]?.data.device)
      .toEqual({ state: 'UNKNOWN', reason: 'NO_OWNER', node: null, deviceEpoch: 0, device: { name: device.name } });
    node.device(tenantId, record(device.uuid, device.name, 1, 'THROTTLED'));
    await expect.poll(() => live.got.at(-1)?.data.device).toMatchObject({ state: 'THROTTLED', node: 'node-1' });
    const unknown = listen('subscription { device(id: "018f0000-0000-7000-8000-0000000000ff") { state } }');
    await expect.poll(() => unknown.got[0]?.errors?.[0]?.extensions?.code).toBe('DEVICE_NOT_FOUND');
  });
  it('sees its message move, each state once and rising, and only its own tenant’s', async () => {
    const device = await createDevice();
    const events = listen(
      'subscription($deviceId: ID) { messageEvents(deviceId: $deviceId) { epoch seq state at message { id to state } } }',
      { deviceId: device.id },
    );
    const stranger = await otherTenant();
    const others = listen('subscription { messageEvents { state message { id } } }', undefined, stranger);
    const send = async (deviceId: string, client?: Client): Promise<string> =>
      (
        await ask(
          'mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } errors { code message } } }',
          { input: { deviceId, to: '+491701234567', body: 'hello' } },
          client,
        )
      ).data.sendMessage.message.id;
    // nothing says that a subscription has begun: its first event does
    const begun = (got: readonly Data[], deviceId: string, client?: Client): Promise<void> =>
      expect.poll(async () => (await send(deviceId, client)) !== '' && got.length > 0).toBe(true);
    await begun(events.got, device.id);
    await begun(others.got, (await createDevice(stranger)).id, stranger);
    const id = await send(device.id);
    const messageId = id.replace('Message:', '');
    const own = (): Data[] => events.got.map((message) => message.data.messageEvents).filter((event) => event.message.id === id);
    await expect.poll(() => own().length).toBe(1);
    const say = (state: 'SENDING' | 'SENT' | 'DELIVERED' | 'READ', attempts = 1) => ({
      messageId,
      deviceId: device.uuid,
      state,
      cause: null,
      attempts,
      at: systemClock.wall(),
    });
    node.messages(tenantId, [say('SENDING'), say('SENT')]);
    node.messages(tenantId, [say('SENT'), say('DELIVERED'), say('SENDING'), say('READ')]);
    await node.flush();
    await expect.poll(() => own().map((event) => event.state)).toEqual(['QUEUED', 'SENDING', 'SENT', 'DELIVERED', 'READ']);
    expect(own()[0].message).toMatchObject({ id, to: '+491701234567' });
    const { epoch, seq } = own()[0];
    events.stop();
    const resumed = listen('subscription($since: LivePosition) { messageEvents(since: $since) { state } }', { since: { epoch, seq } });
    await expect
      .poll(() => resumed.got.map((message) => message.data.messageEvents.state))
      .toEqual(['SENDING', 'SENT', 'DELIVERED', 'READ']);
    const lost = listen('subscription { messageEvents(since: { epoch: "gone", seq: 1 }) { state } }');
    await expect.poll(() => lost.errors[0]?.[0]?.extensions?.code).toBe('RESYNC_REQUIRED');
    expect(others.got.map((message) => message.data.messageEvents.message.id)).not.toContain(id);
  });
  it('tells that a device is gone, and hears no late word about it', { timeout: 90_000 }, async () => {
    const [gone, stays] = [await createDevice(), await createDevice()];
    for (const device of [gone, stays]) node.device(tenantId, record(device.uuid, device.name, 1));
    await node.flush();
    const fleet = listen('subscription { fleet { ... on FleetSnapshot { ids } ... on FleetDelta { ids removed } } }');
    const said = (): Data[] => fleet.got.map((message) => message.data.fleet);
    await expect.poll(() => said().some((update) => update.ids.includes(gone.id))).toBe(true);
    await ask(`mutation { deleteDevice(input: {deviceId: "${gone.id}"}) { errors { code } } }`);
    await expect.poll(() => said().some((update) => update.removed?.includes(gone.id) === true)).toBe(true);
    const before = fleet.got.length;
    node.device(tenantId, record(gone.uuid, gone.name, 2));
    node.device(tenantId, record(stays.uuid, stays.name, 2, 'SENDING'));
    await expect
      .poll(() =>
        said()
          .slice(before)
          .some((update) => update.ids.includes(stays.id)),
      )
      .toBe(true);
    expect(
      said()
        .slice(before)
        .some((update) => update.ids.includes(gone.id)),
    ).toBe(false);
    fleet.stop();
  });
  it('survives FLUSHALL: a snapshot of a new epoch with every device', { timeout: 90_000 }, async () => {
    const device = await createDevice();
    node.resend(() => node.device(tenantId, record(device.uuid, device.name, 1)));
    node.device(tenantId, record(device.uuid, device.name, 1));
    await node.flush();
    const fleet = listen(FLEET);
    await expect.poll(() => fleet.got.at(-1)?.data.fleet.ids ?? []).toContain(device.id);
    const { epoch } = fleet.got[0].data.fleet;
    await gateway.redis.flush();
    await alive('node-1');
    const fresh = (): Data => fleet.got.map((message) => message.data.fleet).filter((update) => update.epoch !== epoch);
    await expect.poll(() => fresh()[0]?.__typename, { timeout: 30_000 }).toBe('FleetSnapshot');
    await expect.poll(() => fresh().some((update: Data) => update.ids.includes(device.id)), { timeout: 30_000 }).toBe(true);
  });
});

async function otherTenant(): Promise<Client> {
  const name = `tenant ${systemClock.wall()}`;
  const answer = await ask(
    'mutation($input: CreateTenantInput!) { createTenant(input: $input) { tenant { id } errors { code message } } }',
    { input: { name } },
  );
  return gateway.connect({ tenant: String(answer.data.createTenant.tenant.id) });
}
