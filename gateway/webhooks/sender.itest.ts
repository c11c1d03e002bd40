import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { createDatabase, type TestDatabase } from '../../ops/testing/index.ts';
import { uuidV7, type WebhookEvent } from '../../schema/domain/index.ts';
import {
  claimWebhookLanes,
  createTenant,
  createWebhook,
  settleWebhookLane,
  webhookDeliveries,
  webhooksOf,
} from '../../schema/sql/index.ts';
import { createPost, createSecrets, createWebhookSender, WEBHOOK_SENDER, type WebhookSender, type WebhookSenderOptions } from './index.ts';

/** The loop on a real Postgres, against receivers that are well, slow, broken or hostile. */
type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;
interface Receiver {
  readonly url: string;
  readonly host: string;
  readonly requests: { readonly headers: IncomingMessage['headers']; readonly body: string }[];
  answer: Answer;
  readonly server: Server;
}

let database: TestDatabase;
let tenantId: string;
const receivers: Receiver[] = [];
let sender: WebhookSender | undefined;
const secrets = createSecrets({ SESSION_KEYS: `t:${randomBytes(32).toString('base64')}`, DATA_DIR: '' });
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const telemetry = createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0 });

beforeAll(async () => {
  database = await createDatabase();
  tenantId = uuidV7(systemClock.wall());
  await createTenant(database.sql, { id: tenantId, name: 't' });
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.sql.unsafe('truncate webhook_deliveries, webhook_lanes, webhooks');
});
afterEach(async () => {
  await sender?.close();
  sender = undefined;
  for (const { server } of receivers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function receiver(answer: Answer = (_request, response) => void response.writeHead(204).end()): Promise<Receiver> {
  const requests: Receiver['requests'] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    requests.push({ headers: request.headers, body });
    one.answer(request, response, body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const one: Receiver = { url: `http://${host}/hook`, host, requests, answer, server };
  receivers.push(one);
  return one;
}
async function hook(url: string, batch = 1, events: readonly WebhookEvent[] = ['device.state']): Promise<string> {
  const id = uuidV7(systemClock.wall());
  await createWebhook(database.sql, { id, tenantId, url, events, secret: secrets.seal(id, SECRET), batch }, 50);
  return id;
}
/** `count` events of each of `subjects` devices, in order */
async function events(webhookId: string, subjects: number, count = 1): Promise<void> {
  await database.sql.unsafe(
    `insert into webhook_deliveries (webhook_id, tenant_id, lane, type, device_id, detail, at)
     select $1, $2, webhook_lane(d.id), 'device.state', d.id, jsonb_build_object('n', n), now()
     from (select gen_random_uuid() as id from generate_series(1, $3)) d cross join generate_series(1, $4) n order by n`,
    [webhookId, tenantId, subjects, count],
  );
}
function start(
  options: Partial<WebhookSenderOptions> = {},
  allowed: readonly string[] = receivers.map((one) => one.host),
  timeoutMs = 30_000,
): void {
  sender = createWebhookSender(
    {
      claim: (claim, most) => claimWebhookLanes(database.sql, claim, most),
      settle: (one, rules) => settleWebhookLane(database.sql, one, rules),
      post: createPost(systemClock, { allowed, timeoutMs }),
      open: (id, sealed) => secrets.open(id, sealed),
      newId: () => uuidV7(systemClock.wall()),
      clock: systemClock,
      dice: seededDice(1),
      telemetry,
    },
    { ...WEBHOOK_SENDER, pollMs: 10, baseMs: 1, capMs: 5, disableAfterMs: 3_600_000, ...options },
  );
  sender.start();
}
const until = (check: () => unknown): Promise<unknown> => vi.waitFor(check, { timeout: 60_000, interval: 20 });
const rowOf = async (id: string) => (await webhooksOf(database.sql, tenantId, [id]))[0];
const states = async (id: string): Promise<string[]> =>
  (await webhookDeliveries(database.sql, tenantId, id, { states: null, before: null, limit: 500 })).map((row) => row.state);

it('signs each request so that its receiver can prove it, and says the same id whenever it tries', async () => {
  const at = await receiver();
  at.answer = (_request, response) => void response.writeHead(at.requests.length < 3 ? 503 : 200).end();
  const id = await hook(at.url);
  await events(id, 1);
  start();
  await until(async () => expect(await states(id)).toEqual(['DELIVERED']));
  expect(at.requests).toHaveLength(3);
  for (const { headers, body } of at.requests) {
    const [name, seconds] = [String(headers['webhook-id']), Number(headers['webhook-timestamp'])];
    const proof = createHmac('sha256', Buffer.alloc(32, 7)).update(`${name}.${seconds}.${body}`).digest('base64');
    expect(headers['webhook-signature']).toBe(`v1,${proof}`);
    expect(Math.abs(seconds - systemClock.wall() / 1000)).toBeLessThan(120);
    expect(JSON.parse(body)).toMatchObject({ type: 'device.state', data: { id: name, n: 1 } });
  }
  expect(new Set(at.requests.map((one) => one.headers['webhook-id'])).size).toBe(1);
  expect(await rowOf(id)).toMatchObject({ failures: 0, failingSince: null, lastError: 'the receiver answered 503' });
});

it('keeps the order of each subject through failures, one by one and in batches', async () => {
  const at = await receiver();
  const dice = seededDice(5);
  const seen = new Map<string, number[]>();
  const broken: string[] = [];
  at.answer = (_request, response, body) => {
    const said = JSON.parse(body) as {
      type: string;
      data: { events?: { data: { deviceId: string; n: number } }[]; deviceId: string; n: number };
    };
    if (dice.next() < 0.3) return void response.writeHead(500).end();
    for (const { deviceId, n } of said.data.events?.map((event) => event.data) ?? [said.data]) {
      const list = seen.get(deviceId) ?? [];
      if (n !== list.length + 1) broken.push(`${deviceId} ${n} after ${list.length}`);
      seen.set(deviceId, [...list, n]);
    }
    response.writeHead(200).end();
  };
  const [single, batched] = [await hook(at.url), await hook(at.url, 20)];
  await events(single, 6, 8);
  await events(batched, 6, 30);
  start({ tries: 1000, failing: 8 });
  await until(async () => {
    const all = [...(await states(single)), ...(await states(batched))];
    expect(all.filter((state) => state === 'DELIVERED')).toHaveLength(6 * 8 + 6 * 30);
  });
  expect(broken).toEqual([]);
  expect([...seen.values()].map((list) => list.length).sort((a, b) => a - b)).toEqual([...Array(6).fill(8), ...Array(6).fill(30)]);
  expect(at.requests.some((one) => JSON.parse(one.body).type === 'batch')).toBe(true);
});

it('receivers that say nothing, never end, send elsewhere or break off hold up nobody else; what they do not take is given up', async () => {
  const silent = await receiver(() => {});
  const endless = await receiver((_request, response) => {
    response.writeHead(500);
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536)));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  });
  const elsewhere = await receiver((_request, response) => void response.writeHead(307, { location: 'http://169.254.169.254/' }).end());
  const breaks = await receiver((request) => void request.socket.destroy());
  const well = await receiver();
  const bad = await Promise.all([silent, endless, elsewhere, breaks].map((one) => hook(one.url)));
  for (const id of bad) await events(id, 3);
  const good = await hook(well.url);
  await events(good, 8, 3);
  // four slots for five receivers: those that fail may take one each
  start({ slots: 5, tries: 2 }, undefined, 2500);
  await until(async () => expect((await states(good)).every((state) => state === 'DELIVERED')).toBe(true));
  await until(async () => {
    for (const id of bad) expect((await states(id)).every((state) => state === 'DEAD')).toBe(true);
  });
  const errors = await Promise.all(bad.map(async (id) => (await rowOf(id))?.lastError));
  expect(errors).toEqual([
    'no answer within 2500 ms',
    'the receiver answered 500',
    'the receiver answered 307: redirects are not followed',
    expect.stringContaining('it cannot be reached'),
  ]);
});

it('asks no private address, by number or by name, and says so', async () => {
  const inside = await receiver();
  const ids = await Promise.all(
    [
      inside.url,
      inside.url.replace('127.0.0.1', 'localhost'),
      inside.url.replace('127.0.0.1', '[::1]'),
      'http://169.254.169.254/latest',
    ].map((url) => hook(url)),
  );
  for (const id of ids) await events(id, 1);
  start({ tries: 1 }, []);
  await until(async () => {
    for (const id of ids) expect(await states(id)).toEqual(['DEAD']);
  });
  expect(inside.requests).toEqual([]);
  for (const id of ids) expect((await rowOf(id))?.lastError).toMatch(/not asked: its address is not one of the public internet/);
});

it('a secret that cannot be opened is a fault of its webhook alone', async () => {
  const at = await receiver();
  const [foreign, fine] = [await hook(at.url), await hook(at.url)];
  await database.sql.unsafe('update webhooks set secret = $2 where id = $1', [foreign, secrets.seal('another', SECRET)]);
  await events(foreign, 1);
  await events(fine, 1);
  start({ tries: 1 });
  await until(async () => expect(await states(foreign)).toEqual(['DEAD']));
  await until(async () => expect(await states(fine)).toEqual(['DELIVERED']));
  expect((await rowOf(foreign))?.lastError).toContain('secret cannot be opened');
  expect(at.requests).toHaveLength(1);
});

it('two loops tell each event once while all is well, and one goes on when the other is gone', async () => {
  const at = await receiver();
  const id = await hook(at.url);
  await events(id, 20, 2);
  start();
  const other = sender;
  start();
  await until(async () => expect((await states(id)).every((state) => state === 'DELIVERED')).toBe(true));
  expect(new Set(at.requests.map((one) => one.headers['webhook-id'])).size).toBe(at.requests.length);
  await other?.close();
  await events(id, 3);
  await until(async () => expect(await states(id)).toEqual(Array(43).fill('DELIVERED')));
});
