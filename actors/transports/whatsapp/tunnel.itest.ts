import { createServer, request as httpRequest, type Server } from 'node:http';
import { createServer as createSecureServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { type ConnectProxy, selfSigned, startConnectProxy } from '../../../ops/testing/index.ts';
import { type HttpProxy, ProxyFailed, proxyAgent, proxyUrl, requestThrough, shownProxy } from './tunnel.ts';

/** Who came, by the port of the other side. */
const came: number[] = [];
let plain: Server;
let secure: Server;
let proxy: ConnectProxy;
const portOf = (server: Server): number => (server.address() as AddressInfo).port;
const secret = 'us%40er:p%3Ass';

beforeAll(async () => {
  plain = createServer((_request, response) => response.end('plain'));
  secure = createSecureServer(selfSigned(systemClock.wall()), (_request, response) => response.end('secure'));
  for (const server of [plain, secure]) {
    server.on('connection', ({ remotePort }: { remotePort?: number }) => came.push(remotePort ?? 0));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  }
});
afterAll(async () => {
  for (const server of [plain, secure]) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
beforeEach(async () => {
  came.length = 0;
  proxy = await startConnectProxy('us@er:p:ss');
});
afterEach(() => proxy.stop());

const given = (more: Partial<HttpProxy> = {}): HttpProxy => ({
  url: new URL(`http://${secret}@${proxy.place}`),
  allowed: [proxy.place],
  timeoutMs: 25_000,
  ...more,
});
function get(port: number, through: HttpProxy, tls = false, host = '127.0.0.1'): Promise<string> {
  const agent = proxyAgent(through, { secure: tls, rejectUnauthorized: false });
  return new Promise((done, failed) => {
    const asked = (tls ? httpsRequest : httpRequest)({ host, port, agent }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += String(chunk)));
      response.on('end', () => done(text));
    });
    asked.on('error', failed);
    asked.end();
  });
}

describe('requests through a proxy', () => {
  it('go through it, with TLS inside the tunnel, and no other way (X1)', async () => {
    expect(await get(portOf(plain), given())).toBe('plain');
    expect(await get(portOf(secure), given(), true)).toBe('secure');
    expect(came).toHaveLength(2);
    expect(came.every((port) => proxy.ports.has(port))).toBe(true);
    // a name that only the proxy could know is its to resolve
    await expect(get(80, given(), false, 'nowhere.invalid')).rejects.toThrow();
    expect(proxy.asked.at(-1)).toBe('nowhere.invalid:80');
  });

  it('checks the certificate of the server behind it unless told not to', async () => {
    const agent = proxyAgent(given(), { secure: true });
    const asked = new Promise((done, failed) =>
      httpsRequest({ host: '127.0.0.1', port: portOf(secure), agent }, done)
        .on('error', failed)
        .end(),
    );
    await expect(asked).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  });

  it.each([403, 407, 502])('refused with %s: PROXY_REFUSED, nobody was asked', async (status) => {
    proxy.refuse = status;
    await expect(get(portOf(plain), given())).rejects.toMatchObject({ code: 'PROXY_REFUSED', message: `the proxy answered ${status}` });
    expect(came).toEqual([]);
  });

  it('wrong credentials: 407; a dead proxy, a silent one: PROXY_UNREACHABLE; never a word of its address (X3)', async () => {
    await expect(get(portOf(plain), given({ url: new URL(`http://a:b@${proxy.place}`) }))).rejects.toMatchObject({
      message: 'the proxy answered 407',
    });
    // nobody listens there any more
    const gone = await startConnectProxy();
    await gone.stop();
    const dead = get(portOf(plain), given({ url: new URL(gone.url), allowed: [gone.place] }));
    await expect(dead).rejects.toMatchObject({
      code: 'PROXY_UNREACHABLE',
      message: expect.stringMatching(/^the proxy cannot be reached: E[A-Z]+$/),
    });
    proxy.refuse = 'reset';
    await expect(get(portOf(plain), given())).rejects.toMatchObject({ code: 'PROXY_UNREACHABLE' });
    proxy.refuse = 'silent';
    await expect(get(portOf(plain), given({ timeoutMs: 50 }))).rejects.toMatchObject({ code: 'PROXY_UNREACHABLE' });
    expect(came).toEqual([]);
  });

  it('not to a proxy inside, by address or by name (X2)', async () => {
    const forbidden = { code: 'PROXY_FORBIDDEN' };
    await expect(get(portOf(plain), given({ allowed: [] }))).rejects.toMatchObject(forbidden);
    const lookup = ((_name: string, _how: object, done: (error: null, found: object) => void) =>
      done(null, [{ address: '127.0.0.1', family: 4 }])) as unknown as NonNullable<HttpProxy['lookup']>;
    const port = new URL(proxy.url).port;
    const named = given({ url: new URL(`http://${secret}@proxy.example:${port}`), allowed: [], lookup });
    await expect(get(portOf(plain), named)).rejects.toMatchObject(forbidden);
    expect(proxy.asked).toEqual([]);
    expect(await get(portOf(plain), { ...named, allowed: [`proxy.example:${port}`] })).toBe('plain');
  });

  it('as requestPublic asks, too', async () => {
    const url = new URL(`http://127.0.0.1:${portOf(plain)}/`);
    const signal = new AbortController().signal;
    const asked = { method: 'GET', headers: {}, allowed: [url.host], signal, idleMs: 25_000 } as const;
    const response = await requestThrough(given())(url, asked);
    expect(response.statusCode).toBe(200);
    response.destroy();
    expect(proxy.ports.has(came[0] ?? -1)).toBe(true);
    await expect(requestThrough(given({ allowed: [] }))(url, asked)).rejects.toBeInstanceOf(ProxyFailed);
  });
});

describe('the address of a proxy', () => {
  it.each([
    ['', 'it is no URL'],
    ['proxy.example:3128', 'proxy.example: is not taken'],
    ['socks5://proxy.example:1080', 'socks5: is not taken'],
    ['http://proxy.example/path', 'it has a path'],
    ['http://proxy.example?x=1', 'it has a path'],
    ['http://%E0%A4%A@proxy.example', 'it is no URL'],
    ['http://10.0.0.1:3128', 'its address is not one of the public internet: no request is made to it'],
    ['http://[::1]:3128', 'its address is not one of the public internet: no request is made to it'],
    [`http://${'x'.repeat(600)}`, 'it has more than 500 characters'],
  ])('%s: %s', (text, why) => {
    expect(() => proxyUrl(text, [])).toThrow(why);
  });

  it('is shown without what is secret in it', () => {
    expect(shownProxy(proxyUrl(`http://${secret}@proxy.example:3128`, []))).toBe('http://***@proxy.example:3128');
    expect(shownProxy(proxyUrl('https://proxy.example', []))).toBe('https://proxy.example');
    expect(proxyUrl('http://10.0.0.1:3128', ['10.0.0.1:3128']).port).toBe('3128');
  });
});
