import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { type ApiStack, startApi } from './testing-stack.ts';

let api: ApiStack;
let server: Server;
let url: string;
let status = 200;
const heard: { readonly signature: unknown; readonly body: string }[] = [];
beforeAll(async () => {
  api = await startApi();
  server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    heard.push({ signature: request.headers['webhook-signature'], body });
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  url = `http://${host}/hook`;
  api.hosts.push(host);
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await api?.stop();
});

// biome-ignore lint/suspicious/noExplicitAny: the shape is what each test asks for
const act = async (field: string, input: string, answer: string): Promise<any> =>
  (await api.ask(`mutation { ${field}(input: {${input}}) { ${answer} errors { code path message } } }`)).data[field];
const create = (input: string) => act('createWebhook', input, 'secret webhook { id url events batch enabled waiting disabledReason }');
const faults = (answer: { errors: { code: string; path: string[] }[] }): string[] =>
  answer.errors.map((one) => `${one.code} ${one.path.join('.')}`);
const NOBODY = 'Webhook:018f0000-0000-7000-8000-00000000abcd';

it('is made with a secret that is shown once and kept sealed; each fault of the input is named by its field', async () => {
  const made = await create(`url: "${url}", events: [MESSAGE_SENT, DEVICE_STATE, MESSAGE_SENT], batch: 10`);
  expect(made).toMatchObject({
    errors: [],
    secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    webhook: { url, events: ['MESSAGE_SENT', 'DEVICE_STATE'], batch: 10, enabled: true, waiting: 0, disabledReason: null },
  });
  const kept = JSON.stringify(await api.database.sql.unsafe("select encode(secret, 'escape') as s, w::text from webhooks w"));
  expect(kept).not.toContain(made.secret.slice(6));
  for (const bad of ['ftp://example.com/', 'nonsense', 'http://user:x@example.com/', 'http://10.0.0.1/', 'http://[::1]:80/'])
    expect(faults(await create(`url: "${bad}", events: [MESSAGE_SENT]`)), bad).toEqual(['URL_INVALID input.url']);
  expect(faults(await create('url: "http://192.168.1.1/", events: [], batch: 101'))).toEqual([
    'URL_INVALID input.url',
    'INVALID_INPUT input.events',
    'INVALID_INPUT input.batch',
  ]);
  const { data } = await api.ask(`{ webhook(id: "${made.webhook.id}") { url } webhooks { id } none: webhook(id: "${NOBODY}") { id } }`);
  expect(data).toMatchObject({ webhook: { url }, none: null });
  expect(data.webhooks.map((one: { id: string }) => one.id)).toContain(made.webhook.id);
});

it('is tried, changed, switched off and on, given a new secret and taken away; all of it is in the audit, and nobody else’s is touched', async () => {
  const { webhook } = await create(`url: "${url}", events: [MESSAGE_SENT]`);
  const id = webhook.id as string;
  const test = () => act('testWebhook', `id: "${id}"`, 'taken status error');
  expect(await test()).toEqual({ taken: true, status: 200, error: null, errors: [] });
  expect(heard.at(-1)).toMatchObject({ signature: expect.stringMatching(/^v1,/), body: expect.stringContaining('"webhook.test"') });
  status = 500;
  expect(await test()).toEqual({ taken: false, status: 500, error: 'the receiver answered 500', errors: [] });
  const change = (input: string) => act('updateWebhook', `id: "${id}", ${input}`, 'secret webhook { events batch enabled disabledReason }');
  expect(await change('enabled: false')).toMatchObject({ secret: null, webhook: { enabled: false, disabledReason: 'BY_REQUEST' } });
  expect(await change('enabled: true, events: [INBOUND_RECEIVED], batch: 3, rotateSecret: true')).toMatchObject({
    secret: expect.stringMatching(/^whsec_/),
    webhook: { enabled: true, disabledReason: null, events: ['INBOUND_RECEIVED'], batch: 3 },
  });
  expect(faults(await change('url: "http://127.0.0.1:1/", events: [], batch: 0'))).toEqual([
    'URL_INVALID input.url',
    'INVALID_INPUT input.events',
    'INVALID_INPUT input.batch',
  ]);
  for (const [field, input] of [
    ['updateWebhook', `id: "${NOBODY}"`],
    ['deleteWebhook', `id: "${NOBODY}"`],
    ['testWebhook', `id: "${NOBODY}"`],
  ] as const)
    expect(faults(await act(field, input, ''))).toEqual(['WEBHOOK_NOT_FOUND input.id']);
  expect(faults(await act('deleteWebhook', `id: "${id}"`, ''))).toEqual([]);
  expect(faults(await act('deleteWebhook', `id: "${id}"`, ''))).toEqual(['WEBHOOK_NOT_FOUND input.id']);
  const { data } = await api.ask(`{ audit(subject: "${id}") { nodes { action detail } } }`);
  const actions = data.audit.nodes.map((row: { action: string }) => row.action).reverse();
  expect(actions).toEqual(['createWebhook', 'testWebhook', 'testWebhook', 'updateWebhook', 'updateWebhook', 'deleteWebhook']);
  expect(JSON.stringify(data.audit)).not.toContain('whsec_');
});

it('what it was told is listed, and told again on request', async () => {
  const { webhook } = await create(`url: "${url}", events: [DEVICE_STATE]`);
  const id = webhook.id as string;
  const { sql } = api.database;
  await sql.unsafe(
    `insert into webhook_deliveries (webhook_id, tenant_id, lane, type, device_id, at, state, tries, status, error, ended_at)
     select w.id, w.tenant_id, 0, 'device.state', gen_random_uuid(), now() - n * interval '1 hour', case when n = 2 then 'DELIVERED' else 'DEAD' end, 10, 500, 'x', now()
     from webhooks w cross join generate_series(1, 4) n where w.id = $1`,
    [id.replace('Webhook:', '')],
  );
  const list = async (more = ''): Promise<{ id: string; state: string }[]> =>
    (await api.ask(`{ webhookDeliveries(webhookId: "${id}"${more}) { nodes { id state tries status } } }`)).data.webhookDeliveries.nodes;
  const all = await list();
  expect(all.map((one) => one.state)).toEqual(['DEAD', 'DEAD', 'DELIVERED', 'DEAD']);
  expect((await list(`, first: 2, after: "${all[1]?.id}"`)).map((one) => one.id)).toEqual([all[2]?.id, all[3]?.id]);
  expect(await list(', states: [DELIVERED]')).toHaveLength(1);
  const replay = (input: string) => act('replayWebhookDeliveries', `webhookId: "${id}", ${input}`, 'count more');
  expect(await replay(`deliveryIds: ["${all[2]?.id}"]`)).toEqual({ count: 1, more: false, errors: [] });
  const hourAgo = new Date(systemClock.wall() - 5_400_000).toISOString();
  expect(await replay(`since: "${hourAgo}"`)).toMatchObject({ count: 1 });
  expect(await replay('')).toMatchObject({ count: 2 });
  expect((await list()).map((one) => one.state)).toEqual(Array(4).fill('PENDING'));
  expect(faults(await replay('deliveryIds: []'))).toEqual(['INVALID_INPUT input.deliveryIds']);
  expect(faults(await replay('deliveryIds: ["Message:7"]'))).toEqual(['INVALID_ID input.deliveryIds']);
  expect(faults(await replay('since: "2030-01-01T00:00:00Z", until: "2029-01-01T00:00:00Z"'))).toEqual(['INVALID_INPUT input.until']);
  expect(faults(await act('replayWebhookDeliveries', `webhookId: "${NOBODY}"`, ''))).toEqual(['WEBHOOK_NOT_FOUND input.webhookId']);
  const odd = await api.ask(`{ webhookDeliveries(webhookId: "${id}", after: "x") { nodes { id } } }`);
  expect(odd.errors[0]?.extensions.code).toBe('INVALID_INPUT');
});

it('a tenant has at most twenty, and only admins make them', async () => {
  let last = await create(`url: "${url}", events: [MESSAGE_SENT]`);
  for (let n = 0; n < 20 && last.errors.length === 0; n++) last = await create(`url: "${url}", events: [MESSAGE_SENT]`);
  expect(faults(last)).toEqual(['TOO_MANY input']);
  const key = await api.ask('mutation { createApiKey(input: {name: "o", scopes: [OPERATOR]}) { secret } }');
  const refused = await api.ask(`mutation { createWebhook(input: {url: "${url}", events: [MESSAGE_SENT]}) { errors { code } } }`, {
    key: key.data.createApiKey.secret,
  });
  expect(refused.errors[0]?.extensions.code).toBe('FORBIDDEN');
});
