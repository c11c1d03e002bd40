import { createServer, type Server } from 'node:net';
import { auditServer } from 'graphql-http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseKeyRing } from '../../actors/sessions/index.ts';
import { createProxySeal } from '../../actors/transports/whatsapp/index.ts';
import { connectPostgres, type Sql } from '../../ops/connect/index.ts';
import { systemClock, systemDice } from '../../ops/lifecycle/index.ts';
import { buildSchema } from '../../schema/graphql/index.ts';
import { accept as commit } from '../../schema/sql/index.ts';
import { createAccept } from '../accept/index.ts';
import { createAuthenticator, DEFAULT_TENANT, sqlLookups } from '../auth/index.ts';
import { createServer as createGateway } from '../server/index.ts';
import { createExecutor } from './executor.ts';
import { createGraphqlHttp } from './http.ts';
import { createServices } from './services.ts';
import { DEVICE, noLive, noWebhooks, testExecutor, testRequest, testTelemetry, testViewer } from './testing.ts';

const KEY = 'Bearer test-key-0123456789';
const telemetry = testTelemetry();
const viewers = { authenticate: async () => testViewer(), forget: () => {} };
let silent: Server;
let hanging: Sql;
let refused: Sql;

beforeAll(async () => {
  silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  hanging = connectPostgres(`postgres://nobody@127.0.0.1:${port}/none`, { applicationName: 'test', max: 1 });
  refused = connectPostgres('postgres://nobody@127.0.0.1:1/none', { applicationName: 'test', max: 1 });
});
afterAll(async () => {
  await Promise.all([hanging, refused].map((sql) => sql.end({ timeout: 0 })));
  silent.close();
});

function apiOn(sql: Sql) {
  const publish = { messages: () => {}, removed: () => {} };
  const accept = createAccept({
    commit: (items) => commit(sql, items),
    enqueuer: { enqueue: async () => {}, missed() {} },
    live: publish,
    clock: systemClock,
    telemetry,
  });
  const services = createServices({
    proxies: createProxySeal(() => parseKeyRing(`t:${Buffer.alloc(32, 1).toString('base64')}`), []),
    sql,
    accept,
    live: noLive(),
    publish,
    bells: { publish: async () => 0 },
    enqueuer: { enqueue: async () => {} },
    audit: async () => {},
    closeLink: () => {},
    clock: systemClock,
    telemetry,
    forgetKey: () => {},
    webhooks: noWebhooks,
  });
  return createGraphqlHttp({
    executor: createExecutor({ schema: buildSchema(), services, clock: systemClock, telemetry }),
    auth: viewers,
    clock: systemClock,
    telemetry,
  });
}

describe.each([
  ['refuses connections', () => refused],
  ['accepts connections and says nothing', () => hanging],
])('a Postgres that %s', (_name, sql) => {
  const ask = async (query: string) => {
    const from = systemClock.monotonic();
    const answer = await apiOn(sql())(testRequest({ text: JSON.stringify({ query }) }));
    expect(systemClock.monotonic() - from).toBeLessThan(25_000);
    return JSON.parse(String(answer.body));
  };

  it('is UNAVAILABLE soon (the bench of ownership measures the second), with a time to ask again, and nothing of the inside is told', async () => {
    const sent = await ask(
      `mutation { sendMessage(input: {deviceId: "${DEVICE}", to: "+491701234567", body: "x"}) { message { id } errors { code retryAfterMs } } }`,
    );
    expect(sent.data.sendMessage).toMatchObject({ message: null, errors: [{ code: 'UNAVAILABLE', retryAfterMs: 1000 }] });
    const paused = await ask(`mutation { pauseDevice(input: {deviceId: "${DEVICE}"}) { errors { code retryAfterMs } } }`);
    expect(paused.data.pauseDevice.errors).toMatchObject([{ code: 'UNAVAILABLE' }]);
    const read = await ask('{ devices { edges { cursor } } }');
    expect(read.errors).toMatchObject([{ extensions: { code: 'UNAVAILABLE', retryAfterMs: 1000 } }]);
    expect(JSON.stringify([sent, paused, read])).not.toMatch(/ECONN|127\.0\.0\.1|postgres/i);
  });

  it('makes keys unverifiable, which is 503 and not 401', async () => {
    const auth = createAuthenticator({ ...sqlLookups(sql()), clock: systemClock, telemetry }, { defaultTenant: DEFAULT_TENANT });
    expect(await auth.authenticate({ authorization: KEY, remote: 'x' })).toMatchObject({ status: 503, code: 'UNAVAILABLE' });
  });
});

it('the audits of the GraphQL-over-HTTP specification pass over the wire', async () => {
  const server = createGateway({ clock: systemClock, dice: systemDice, telemetry });
  const executor = testExecutor(async (item) => ({ kind: 'accepted', id: item.id, seq: 1, paused: false }));
  server.http('ANY', '/graphql', createGraphqlHttp({ executor, auth: viewers, clock: systemClock, telemetry }));
  const { port } = await server.listen('127.0.0.1', 0);
  const results = await auditServer({ url: `http://127.0.0.1:${port}/graphql` });
  await server.drain({ windowMs: 0, deadlineMs: 500 });
  expect(results.length).toBeGreaterThanOrEqual(60);
  expect(results.filter((result) => result.status !== 'ok').map((result) => `${result.id} ${result.name}`)).toEqual([]);
});
