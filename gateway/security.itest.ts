import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { systemClock } from '../ops/lifecycle/index.ts';
import { selfSigned } from '../ops/testing/index.ts';
import { ADMIN_KEY, startTestGateway, type TestGateway } from './gateway.testing.ts';

/** Two whole gateways on one ledger and one Redis; the second speaks TLS and has tight limits. */
const FRIEND = 'https://wall.example';
const folder = mkdtempSync(join(tmpdir(), 'flotilla-tls-'));
let gateway: TestGateway;
let plain = '';
let secure = 0;
let certificate = '';

beforeAll(async () => {
  const { cert, key } = selfSigned(systemClock.wall());
  certificate = cert;
  writeFileSync(join(folder, 'cert.pem'), cert);
  writeFileSync(join(folder, 'key.pem'), key, { mode: 0o600 });
  gateway = await startTestGateway({ ALLOWED_ORIGINS: FRIEND });
  plain = `127.0.0.1:${gateway.port}`;
  secure = await gateway.another('gateway-2', {
    TLS_CERT_FILE: join(folder, 'cert.pem'),
    TLS_KEY_FILE: join(folder, 'key.pem'),
    RATE_PER_KEY: '1',
    SOCKETS_PER_KEY: '2',
  });
});
afterAll(async () => {
  await gateway?.stop();
  rmSync(folder, { recursive: true });
});

// biome-ignore lint/suspicious/noExplicitAny: shapes are what each test asks for
const ask = async (query: string, headers: Record<string, string> = {}): Promise<{ status: number; headers: Headers; json: any }> => {
  const response = await fetch(`http://${plain}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${ADMIN_KEY}`, ...headers },
    body: JSON.stringify({ query }),
  });
  return { status: response.status, headers: response.headers, json: await response.json().catch(() => null) };
};
const askSecurely = (query: string, key = ADMIN_KEY): Promise<{ status: number; headers: Record<string, unknown>; text: string }> =>
  new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: '127.0.0.1',
        port: secure,
        path: '/graphql',
        method: 'POST',
        ca: certificate,
        servername: 'localhost',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      },
      (response) => {
        let text = '';
        response.on('data', (chunk) => (text += String(chunk)));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      },
    );
    request.on('error', reject);
    request.end(JSON.stringify({ query }));
  });
const newKey = async (): Promise<{ id: string; secret: string }> => {
  const { json } = await ask('mutation { createApiKey(input: {name: "k", scopes: [ADMIN]}) { apiKey { id } secret } }');
  return { id: json.data.createApiKey.apiKey.id, secret: json.data.createApiKey.secret };
};
const dial = (url: string, key: string): Promise<{ ws: WebSocket; closed: Promise<number>; code: () => number | undefined }> =>
  new Promise((resolve, reject) => {
    const ws = new WebSocket(url, ['graphql-transport-ws'], { ca: certificate });
    let code: number | undefined;
    const closed = new Promise<number>((done) =>
      ws.on('close', (given) => {
        code = given;
        done(given);
        resolve({ ws, closed, code: () => code });
      }),
    );
    ws.on('error', reject);
    ws.on('open', () => ws.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } })));
    ws.on('message', (data) => {
      if (JSON.parse(String(data)).type === 'connection_ack') resolve({ ws, closed, code: () => code });
    });
  });

describe('a revoked key', () => {
  it('loses its sockets and streams on every gateway; the sockets of others stay', async () => {
    const key = await newKey();
    const other = await newKey();
    const here = await dial(`ws://${plain}/graphql`, key.secret);
    const there = await dial(`wss://127.0.0.1:${secure}/graphql`, key.secret);
    const stays = await dial(`wss://127.0.0.1:${secure}/graphql`, other.secret);
    const stream = await fetch(`http://${plain}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key.secret}`, accept: 'text/event-stream' },
      body: JSON.stringify({ query: 'subscription { fleet { __typename } }' }),
    });
    expect(stream.status).toBe(200);
    let ended = false;
    const read = (async () => {
      for await (const _ of stream.body as unknown as AsyncIterable<Uint8Array>);
      ended = true;
    })();
    const began = performance.now();
    await ask(`mutation { revokeApiKey(input: {apiKeyId: "${key.id}"}) { errors { code } } }`);
    expect(await here.closed).toBe(4403);
    expect(await there.closed).toBe(4403);
    await read;
    expect(ended).toBe(true);
    process.stdout.write(`revocation to last close: ${Math.round(performance.now() - began)} ms\n`);
    expect(stays.code()).toBeUndefined();
    stays.ws.close();
    expect((await ask('{ __typename }', { authorization: `Bearer ${key.secret}` })).status).toBe(401);
  });

  it('an expired one loses them too, though nobody says so', async () => {
    const key = await newKey();
    const { closed } = await dial(`ws://${plain}/graphql`, key.secret);
    await gateway.database.sql.unsafe('update api_keys set expires_at = now() where id = $1', [key.id.replace('ApiKey:', '')]);
    expect(await closed).toBe(4403);
  });
});

describe('pages of other Origins', () => {
  it('are refused by HTTP and at the upgrade, whatever else they bring; listed ones and our own are served', async () => {
    expect(await ask('{ __typename }', { origin: 'https://evil.example' })).toMatchObject({ status: 403 });
    const own = await ask('{ __typename }', { origin: `http://${plain}` });
    expect(own.status).toBe(200);
    expect(own.headers.get('access-control-allow-origin')).toBeNull();
    const friend = await ask('{ __typename }', { origin: FRIEND });
    expect(friend.status).toBe(200);
    expect(friend.headers.get('access-control-allow-origin')).toBe(FRIEND);
    const preflight = (origin: string) => fetch(`http://${plain}/graphql`, { method: 'OPTIONS', headers: { origin } });
    expect((await preflight(FRIEND)).status).toBe(204);
    expect((await preflight('https://evil.example')).status).toBe(403);
    const upgrade = (origin: string): Promise<number> =>
      new Promise((resolve) => {
        const ws = new WebSocket(`ws://${plain}/graphql`, ['graphql-transport-ws'], { origin });
        ws.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
        ws.on('open', () => {
          ws.close();
          resolve(101);
        });
        ws.on('error', () => {});
      });
    expect(await upgrade('https://evil.example')).toBe(403);
    expect(await upgrade(FRIEND)).toBe(101);
  });

  it('a form of another site can change nothing: no simple content type, no cookie, no key in the address', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      expect((await ask('mutation { __typename }', { 'content-type': type })).status).toBe(415);
    }
    const address = await fetch(`http://${plain}/graphql?query={__typename}&authorization=Bearer%20${ADMIN_KEY}`);
    expect(address.status).toBe(401);
    const cookie = await fetch(`http://${plain}/graphql?query={__typename}`, { headers: { cookie: `authorization=${ADMIN_KEY}` } });
    expect(cookie.status).toBe(401);
    const change = await fetch(`http://${plain}/graphql?query=${encodeURIComponent('mutation { __typename }')}`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    });
    expect(change.status).toBe(405);
  });
});

describe('TLS and limits by configuration', () => {
  it('speaks https with the given certificate and says so for the future; plain http is not understood', async () => {
    const answer = await askSecurely('{ viewer { installation } }');
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text).data.viewer.installation).toBe(true);
    expect(answer.headers['strict-transport-security']).toMatch(/max-age=\d{7,}/);
    await expect(fetch(`http://127.0.0.1:${secure}/live`)).rejects.toThrow();
  });

  it('a key that asks too often is told when to ask again; another key is served', async () => {
    const key = await newKey();
    const answers = await Promise.all(Array.from({ length: 60 }, () => askSecurely('{ __typename }', key.secret)));
    const refused = answers.filter((answer) => answer.status === 429);
    expect(refused.length).toBeGreaterThan(0);
    expect(answers.some((answer) => answer.status === 200)).toBe(true);
    expect(Number(refused[0]?.headers['retry-after'])).toBeGreaterThan(0);
    expect(JSON.parse(refused[0]?.text ?? '').errors[0].extensions).toMatchObject({ code: 'RATE_LIMITED', limit: 'rate_key' });
    expect((await askSecurely('{ __typename }', (await newKey()).secret)).status).toBe(200);
  });

  it('a key has only so many sockets, and its place is free again when one closes', async () => {
    const key = await newKey();
    const url = `wss://127.0.0.1:${secure}/graphql`;
    const [one, two] = [await dial(url, key.secret), await dial(url, key.secret)];
    const third = await dial(url, key.secret);
    expect(await third.closed).toBe(1013);
    one.ws.close();
    await one.closed;
    await expect.poll(async () => (await dial(url, key.secret)).code(), { interval: 200 }).toBeUndefined();
    expect(two.code()).toBeUndefined();
    two.ws.close();
  });

  it('pages and answers carry their security headers', async () => {
    for (const path of ['/', '/graphql']) {
      const response = await fetch(`http://${plain}${path}`, { headers: { accept: 'text/html' } });
      expect(response.headers.get('content-security-policy')).toMatch(/frame-ancestors 'none'/);
      expect(response.headers.get('content-security-policy')).not.toMatch(/unsafe-eval|script-src[^;]*unsafe-inline/);
      for (const [name, value] of [
        ['x-content-type-options', 'nosniff'],
        ['referrer-policy', 'no-referrer'],
        ['x-frame-options', 'DENY'],
        ['cross-origin-opener-policy', 'same-origin'],
      ] as const) {
        expect(response.headers.get(name)).toBe(value);
      }
      await response.body?.cancel();
    }
  });
});
