import { mkdtempSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLifetime, type Lifetime, seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { createServer, HttpError, type HttpHandler, loadStatic, type Server, type Socket } from './index.ts';
import { rawExchange, rawUpgrade } from './testing.ts';

const telemetry = createTelemetry({
  service: 'test',
  instance: 'server',
  level: 'error',
  samplePercent: 0,
  otlpEndpoint: undefined,
  write() {},
});
/** soon over for a test; long for a client that shares a busy machine with its server and does what it should */
const SOON_MS = 3000;
let lifetime: Lifetime;
let server: Server;
const make = (options: { maxSockets?: number; bodyTimeoutMs?: number; answerStallMs?: number } = {}): Server => {
  const made = createServer({ clock: systemClock, dice: seededDice(1), telemetry, ...options });
  lifetime.add('server', () => made.drain({ windowMs: 0, deadlineMs: 100 }));
  return made;
};
beforeEach(() => {
  lifetime = createLifetime();
  server = make();
});
afterEach(() => lifetime.end());

describe('HTTP', () => {
  it('hands over method, path, query, headers and body after an await, and gathers bodies of many chunks', async () => {
    server.http('POST', '/echo', async (request) => {
      await systemClock.sleep(20);
      const body = await request.body();
      return {
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          method: request.method,
          path: request.path,
          query: request.query,
          custom: request.headers['x-custom'],
          sum: body.reduce((a, b) => a + b, 0),
          length: body.length,
        }),
      };
    });
    const { port } = await server.listen('127.0.0.1', 0);
    const body = Buffer.alloc(200_000, 7);
    const answer = await fetch(`http://127.0.0.1:${port}/echo?a=1`, {
      method: 'POST',
      body,
      headers: { 'x-custom': 'yes' },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(await answer.json()).toEqual({ method: 'POST', path: '/echo', query: 'a=1', custom: 'yes', sum: 1_400_000, length: 200_000 });
  });
  it('refuses a body over the limit with 413, said or unsaid beforehand, and a body that never ends with 408', async () => {
    const strict = make({ bodyTimeoutMs: SOON_MS });
    strict.http('POST', '/small', async (request) => ({ status: 200, body: String((await request.body()).length) }), {
      bodyLimitBytes: 1000,
    });
    const { port } = await strict.listen('127.0.0.1', 0);
    expect((await fetch(`http://127.0.0.1:${port}/small`, { method: 'POST', body: 'x'.repeat(1000) })).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/small`, { method: 'POST', body: 'x'.repeat(1001) })).status).toBe(413);
    const slow = await rawExchange(port, ['POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nabc']);
    expect(slow).toMatch(/^HTTP\/1\.1 408/);
  });
  it('streams a body: the client is held back while nobody takes, and every byte comes, in order', async () => {
    const whole = 64 * 1024 * 1024;
    let taken = 0;
    let ordered = true;
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    server.http(
      'POST',
      '/stream',
      async (request) => {
        for await (const chunk of request.chunks()) {
          if (taken === 0) await held;
          // byte n of the body is n % 251
          if (chunk[0] !== taken % 251 || chunk[chunk.length - 1] !== (taken + chunk.length - 1) % 251) ordered = false;
          taken += chunk.length;
        }
        return { status: 200, body: String(taken) };
      },
      { bodyLimitBytes: whole, streamed: true },
    );
    const { port } = await server.listen('127.0.0.1', 0);
    const pattern = Buffer.from(Array.from({ length: 251 * 1000 }, (_, n) => n % 251));
    let written = 0;
    const tcp = connect(port, '127.0.0.1');
    const answer = new Promise<string>((resolve) => tcp.once('data', (data) => resolve(String(data))));
    tcp.write(`POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: ${whole}\r\n\r\n`);
    const push = (): void => {
      while (written < whole) {
        const from = written % 251;
        const chunk = pattern.subarray(from, from + Math.min(64 * 1024, whole - written));
        written += chunk.length;
        if (!tcp.write(chunk)) return;
      }
    };
    tcp.on('drain', push);
    push();
    // what the kernels and the queue hold is a few MB; then nothing moves any more
    let before = -1;
    for (let still = 0; still < 5; still = written === before ? still + 1 : 0) {
      before = written;
      await systemClock.sleep(50);
    }
    expect(written).toBeLessThan(whole / 2);
    release();
    expect(await answer).toMatch(/^HTTP\/1\.1 200.*67108864$/s);
    expect([taken, ordered]).toEqual([whole, true]);
    tcp.destroy();
  });
  it('answers early while a streamed body is still coming, and refuses one that is too long or never comes', async () => {
    const strict = make({ bodyTimeoutMs: SOON_MS });
    strict.http('POST', '/early', () => ({ status: 422, body: 'no' }), { bodyLimitBytes: 100_000_000, streamed: true });
    const all: HttpHandler = async (request) => {
      let size = 0;
      for await (const chunk of request.chunks()) size += chunk.length;
      return { status: 200, body: String(size) };
    };
    strict.http('POST', '/all', all, { bodyLimitBytes: 1_000_000, streamed: true });
    const { port } = await strict.listen('127.0.0.1', 0);
    const post = (path: string, body: Buffer<ArrayBuffer>): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body });
    const early = await post('/early', Buffer.alloc(20_000_000));
    expect([early.status, await early.text()]).toEqual([422, 'no']);
    expect((await post('/all', Buffer.alloc(1_000_001))).status).toBe(413);
    expect(await (await post('/all', Buffer.alloc(1_000_000))).text()).toBe('1000000');
    expect(await rawExchange(port, ['POST /all HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nabc'])).toMatch(/^HTTP\/1\.1 408/);
  });
  it('answers 404, 405 with allow, HEAD without a body, 500 without details', async () => {
    server.http('GET', '/one', () => ({ status: 200, body: 'hello' }));
    server.http('GET', '/broken', () => {
      throw new Error('secret detail');
    });
    server.http('GET', '/refused', () => {
      throw new HttpError(429, 'slow down', { 'retry-after': '3' });
    });
    const { port } = await server.listen('127.0.0.1', 0);
    const at = (path: string, init?: RequestInit): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`, init);
    expect((await at('/none')).status).toBe(404);
    const wrong = await at('/one', { method: 'POST', body: 'x' });
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET']);
    const head = await at('/one', { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '5', '']);
    const broken = await at('/broken');
    expect([broken.status, await broken.text()]).toEqual([500, '{"error":"Internal server error"}']);
    expect((await at('/refused')).headers.get('retry-after')).toBe('3');
  });
  it('streams no faster than the client reads, and stops the source when the client goes away', async () => {
    let made = 0;
    let stopped = false;
    server.http('GET', '/stream', () => ({
      status: 200,
      body: (async function* () {
        try {
          for (; made < 1_000; made++) yield Buffer.alloc(64 * 1024, made & 255);
        } finally {
          stopped = true;
        }
      })(),
    }));
    const { port } = await server.listen('127.0.0.1', 0);
    const { tcp } = await rawUpgradeLess(port);
    tcp.pause();
    await systemClock.sleep(500);
    const whilePaused = made;
    expect(whilePaused).toBeLessThan(500);
    tcp.destroy();
    await expect.poll(() => stopped).toBe(true);
    expect(made).toBeLessThan(510);
    made = 0;
    const whole = await (await fetch(`http://127.0.0.1:${port}/stream`)).arrayBuffer();
    expect(whole.byteLength).toBe(1_000 * 64 * 1024);
  });
  it('keeps one answer at most for a client that asks on and reads nothing: every further request ends the connection', async () => {
    // once each such request put three megabytes more into memory: one client without a key could fill it
    let served = 0;
    const body = Buffer.alloc(3_000_000, 120);
    server.http('GET', '/large', () => {
      served += 1;
      return { status: 200, body };
    });
    const { port } = await server.listen('127.0.0.1', 0);
    const tcp = connect(port, '127.0.0.1').pause();
    let ended = false;
    tcp.on('error', () => {
      ended = true;
    });
    for (let asked = 0; asked < 500 && !ended; asked++) {
      tcp.write('GET /large HTTP/1.1\r\nhost: x\r\n\r\n');
      await systemClock.sleep(20);
    }
    tcp.destroy();
    expect(ended).toBe(true);
    // what fits into the kernel's buffers counts as read
    expect(served).toBeLessThan(20);
  }, 60_000);
  it('cuts off a client that takes nothing of its answer, whatever it goes on to send', async () => {
    const patient = make({ answerStallMs: 300 });
    let cut = false;
    patient.http('GET', '/large', (request) => {
      request.signal.addEventListener('abort', () => {
        cut = true;
      });
      return { status: 200, body: Buffer.alloc(32_000_000, 120) };
    });
    patient.http('GET', '/endless', (request) => {
      request.signal.addEventListener('abort', () => {
        cut = true;
      });
      return {
        status: 200,
        body: (async function* () {
          for (;;) yield Buffer.alloc(64 * 1024);
        })(),
      };
    });
    const { port } = await patient.listen('127.0.0.1', 0);
    for (const path of ['/large', '/endless']) {
      cut = false;
      const tcp = connect(port, '127.0.0.1').pause();
      tcp.on('error', () => {});
      tcp.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
      // each byte makes uWS's own time-out begin anew
      const poke = setInterval(() => tcp.write('\r\n'), 100);
      await expect.poll(() => cut).toBe(true);
      clearInterval(poke);
      tcp.destroy();
    }
  }, 60_000);
  it('gives all of a large answer to a client that reads slowly', async () => {
    const body = Buffer.from(Uint32Array.from({ length: 4_000_000 }, (_, n) => n).buffer);
    server.http('GET', '/large', () => ({ status: 200, body }));
    const { port } = await server.listen('127.0.0.1', 0);
    const tcp = connect(port, '127.0.0.1');
    tcp.write('GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    const chunks: Buffer[] = [];
    for await (const chunk of tcp) {
      chunks.push(chunk as Buffer);
      if (chunks.length % 20 === 0) await systemClock.sleep(1);
    }
    const all = Buffer.concat(chunks);
    const head = all.indexOf('\r\n\r\n');
    expect(all.subarray(0, head).toString('latin1')).toMatch(/content-length: 16000000/i);
    expect(all.subarray(head + 4).equals(body)).toBe(true);
  }, 60_000);
  it('refuses a taken port', async () => {
    const { port } = await server.listen('127.0.0.1', 0);
    await expect(make().listen('127.0.0.1', port)).rejects.toThrow('taken');
  });
  it('serves files from memory: compressed, by ETag, nothing outside', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'flotilla-static-'));
    writeFileSync(join(folder, 'index.html'), `<!doctype html>${'<p>hello</p>'.repeat(200)}`);
    const files = loadStatic(folder, { 'content-security-policy': "default-src 'self'" });
    server.http('GET', '/*', (request) => files.answer(request.path.slice(1) || 'index.html', request) ?? { status: 404 });
    const { port } = await server.listen('127.0.0.1', 0);
    const first = await fetch(`http://127.0.0.1:${port}/`, { headers: { 'accept-encoding': 'br' } });
    expect([first.status, first.headers.get('content-encoding'), first.headers.get('content-security-policy')]).toEqual([
      200,
      'br',
      "default-src 'self'",
    ]);
    expect(await first.text()).toContain('<p>hello</p>');
    const etag = first.headers.get('etag') ?? '';
    const again = await fetch(`http://127.0.0.1:${port}/`, { headers: { 'accept-encoding': 'br', 'if-none-match': etag } });
    expect(again.status).toBe(304);
    const outside = await rawExchange(port, ['GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n']);
    expect(outside).toMatch(/^HTTP\/1\.1 404/);
  });
});

function rawUpgradeLess(port: number): ReturnType<typeof rawUpgrade> {
  return rawUpgrade(port, '/stream');
}

describe('sockets', () => {
  const listen = async (target: Server, sockets: Socket[], options: { stallMs?: number; drained?: () => void } = {}): Promise<number> => {
    target.websocket<string>('/ws', {
      kind: 'link',
      maxPayloadBytes: 1_000,
      stallMs: options.stallMs ?? 15_000,
      // raw readers answer no ping
      idleTimeoutS: 900,
      highWaterBytes: 64 * 1024,
      upgrade: (info) =>
        info.origin === 'http://bad'
          ? { accept: false, status: 403, message: 'no' }
          : { accept: true, protocol: info.protocols[0], state: 's' },
      open: (socket) => void sockets.push(socket),
      message: (socket, _state, data) => void socket.send(Buffer.from(data)),
      drain: () => options.drained?.(),
      close() {},
    });
    return (await target.listen('127.0.0.1', 0)).port;
  };
  it('refuses at upgrade, echoes the subprotocol, and answers 503 above the limit', async () => {
    const small = make({ maxSockets: 1 });
    const port = await listen(small, []);
    expect((await rawUpgrade(port, '/ws', { Origin: 'http://bad' })).head).toMatch(/^HTTP\/1\.1 403/);
    const first = await rawUpgrade(port, '/ws', { 'Sec-WebSocket-Protocol': 'a, b' });
    expect(first.head).toMatch(/101 Switching[\s\S]*Sec-WebSocket-Protocol: a/i);
    expect((await rawUpgrade(port, '/ws')).head).toMatch(/^HTTP\/1\.1 503/);
    first.tcp.destroy();
    await expect.poll(() => small.sockets()).toBe(0);
    (await rawUpgrade(port, '/ws')).tcp.destroy();
  });
  it('tells sent, buffered, dropped and closed apart, drains, and closes a reader that takes nothing with 4503', async () => {
    const sockets: Socket[] = [];
    let drained = 0;
    const port = await listen(server, sockets, {
      stallMs: 2 * SOON_MS,
      drained: () => {
        drained += 1;
      },
    });
    const { tcp } = await rawUpgrade(port, '/ws');
    tcp.pause();
    const [socket] = sockets;
    if (socket === undefined) throw new Error('no socket');
    const seen = new Set<string>();
    for (let count = 0; count < 400; count++) seen.add(socket.send(Buffer.alloc(32 * 1024)));
    expect([...seen].sort()).toEqual(['buffered', 'dropped', 'sent']);
    expect(socket.full()).toBe(true);
    tcp.resume();
    await expect.poll(() => drained, { timeout: 30_000 }).toBeGreaterThan(0);
    expect(socket.full()).toBe(false);
    tcp.pause();
    // the kernel's buffers grow for a while: what is full now may be taken by them a moment later
    const fill = (): boolean => {
      while (!socket.closed && !['dropped', 'closed'].includes(socket.send(Buffer.alloc(32 * 1024))));
      return socket.closed;
    };
    await expect.poll(fill, { timeout: 60_000, interval: 20 }).toBe(true);
    expect(socket.send('late')).toBe('closed');
    await expect.poll(() => server.sockets()).toBe(0);
    tcp.destroy();
  });
  it('drains: 1012 to every socket, then nothing listens', async () => {
    const port = await listen(server, []);
    const frames: number[] = [];
    for (let count = 0; count < 30; count++) {
      const { tcp } = await rawUpgrade(port, '/ws');
      tcp.on('data', (chunk: Buffer) => {
        if ((chunk[0] ?? 0) === 0x88) frames.push(chunk.readUInt16BE(2));
        tcp.end();
      });
    }
    const began = performance.now();
    await server.drain({ windowMs: 500, deadlineMs: 30_000 });
    expect(performance.now() - began).toBeGreaterThan(300);
    await expect.poll(() => frames).toEqual(Array(30).fill(1012));
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  });
});
