import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { type ConnectProxy, selfSigned, startConnectProxy } from '../../../ops/testing/index.ts';
import { createRoutes, type Routes } from './routes.ts';

/** What Baileys fetches by itself, with Node's own fetch: the same ways out as everything else (W1, W2). */
const LONG = Buffer.alloc(3_000_000, 7);
let server: Server;
let base: string;
let came: number;
let proxy: ConnectProxy;

beforeAll(async () => {
  server = createServer(selfSigned(systemClock.wall()), (request, response) => {
    came += 1;
    if (request.url === '/away') response.writeHead(302, { location: '/long' }).end();
    else if (request.url === '/long')
      response.writeHead(200, { 'content-type': 'image/x', 'x-said': `${request.headers['x-asked']}` }).end(LONG);
    else if (request.url === '/broken') response.writeHead(200, { 'content-length': '100' }).write('a', () => response.destroy());
    else response.writeHead(404).end('none');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(async () => {
  came = 0;
  proxy = await startConnectProxy('a:b');
});
afterEach(() => proxy.stop());

const routes = (withProxy: boolean): Routes =>
  createRoutes('ws://127.0.0.1:1', withProxy ? { url: new URL(proxy.url), allowed: [proxy.place], timeoutMs: 25_000 } : null, () => {});
const ask = (path: string, { dispatcher }: Routes, more: RequestInit = {}): Promise<Response> =>
  fetch(`${base}${path}`, { ...more, dispatcher } as unknown as RequestInit);

describe.each([true, false])('a fetch, proxy: %s', (withProxy) => {
  it('gets head and body, over a redirect', async () => {
    const response = await ask('/away', routes(withProxy), { headers: { 'x-asked': 'yes' } });
    expect([response.status, response.headers.get('x-said'), response.headers.get('content-type')]).toEqual([200, 'yes', 'image/x']);
    expect(Buffer.from(await response.arrayBuffer()).equals(LONG)).toBe(true);
    expect((await ask('/none', routes(withProxy))).status).toBe(404);
    expect(proxy.asked).toHaveLength(withProxy ? 3 : 0);
  });

  it('that breaks off or is given up fails', async () => {
    await expect(ask('/broken', routes(withProxy)).then((response) => response.text())).rejects.toThrow();
    const controller = new AbortController();
    const response = await ask('/long', routes(withProxy), { signal: controller.signal });
    controller.abort();
    await expect(response.arrayBuffer()).rejects.toThrow();
  });

  it('never leaves this machine when the server is on it, and never goes unsealed', async () => {
    const { dispatcher } = routes(withProxy);
    for (const address of ['https://mmg.whatsapp.net/x', 'http://127.0.0.1:1/x', 'https://10.0.0.1/x'])
      await expect(fetch(address, { dispatcher } as unknown as RequestInit)).rejects.toThrow();
    expect(proxy.asked).toEqual([]);
    expect(came).toBe(0);
  });
});

describe("with WhatsApp's own servers", () => {
  it('nothing is bent without a proxy; with one, certificates are checked', async () => {
    expect(createRoutes(undefined, null, () => {})).toEqual({ agent: undefined, fetchAgent: undefined, dispatcher: undefined });
    const through = createRoutes(undefined, { url: new URL(proxy.url), allowed: [proxy.place], timeoutMs: 25_000 }, () => {});
    await expect(ask('/long', through)).rejects.toMatchObject({ cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' } });
    expect(came).toBe(0);
  });
});
