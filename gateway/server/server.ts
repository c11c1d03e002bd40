import type { TemplatedApp, us_listen_socket, us_socket } from 'uWebSockets.js';
import uws from 'uWebSockets.js';
import { readFileSync } from 'node:fs';
import type { Clock, Dice } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { type Exchange, openExchange } from './exchange.ts';
import { type HttpAnswer, HttpError, type HttpHandler, type Server } from './port.ts';
import { createRouter } from './router.ts';
import { createSockets, type Sockets } from './sockets.ts';

/**
 * The only user of uWebSockets.js (default import: named ones typecheck and then throw).
 * Owns: the listening socket, every open exchange, the drain. Does not own: what is said. Called by gateway/main.ts.
 * I1 No exception of a handler reaches uWS: it is a 500 that says nothing of itself.
 * I2 The port is exclusive: uWS would otherwise share it with another process that has it.
 * I3 After `drain` nothing is open.
 */
export interface ServerOptions {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly telemetry: Telemetry;
  /** sockets open at once before upgrades are answered 503; default 20 000 */
  readonly maxSockets?: number;
  /** upgrades per second before 503 (burst of two seconds); default 5 000 */
  readonly upgradesPerSecond?: number;
  /** a body that has not arrived after this is 408; default 15 000 */
  readonly bodyTimeoutMs?: number;
  /** a client that takes nothing of its answer for so long is cut off; default 15 000 */
  readonly answerStallMs?: number;
  /** files of a certificate and its key (PEM): the server speaks https and wss only */
  readonly tls?: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** added to every answer under the handler's own headers */
  readonly securityHeaders?: Readonly<Record<string, string>>;
}

const DEFAULT_BODY_LIMIT = 256 * 1024;
const EXCLUSIVE_PORT = 1;
const SECURITY: Readonly<Record<string, string>> = Object.freeze({
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
});
/** a browser that came once by https does not come by http again */
const STRICT_TRANSPORT = { 'strict-transport-security': 'max-age=31536000' };

interface Route {
  readonly handler: HttpHandler;
  readonly bodyLimitBytes: number;
  readonly streamed: boolean;
}
/** what uWS takes besides its types: host, port and options together */
type Listen = (host: string, port: number, options: number, done: (socket: us_listen_socket | false) => void) => void;

function answerOf(error: unknown, telemetry: Telemetry): HttpAnswer {
  const known = error instanceof HttpError;
  if (!known) telemetry.log.error('http.fault', {}, error);
  return {
    status: known ? error.status : 500,
    headers: { 'content-type': 'application/json; charset=utf-8', ...(known ? error.headers : {}) },
    body: JSON.stringify({ error: known ? error.message : 'Internal server error' }),
  };
}

/** Closes sockets with 1012 in random order: 20 ms a socket at most, so that few leave at once and many come back spread out. */
async function closePaced(sockets: Sockets, windowMs: number, clock: Clock, dice: Dice): Promise<void> {
  const rest = sockets
    .all()
    .map((outbox) => ({ outbox, order: dice.next() }))
    .sort((a, b) => a.order - b.order);
  const steps = Math.max(1, Math.ceil(Math.min(windowMs, rest.length * 20) / 100));
  const perStep = Math.ceil(rest.length / steps);
  while (rest.length > 0) {
    for (const { outbox } of rest.splice(0, perStep)) outbox.close(1012, 'Service restart');
    if (rest.length > 0) await clock.sleep(100);
  }
}

function openApp({ tls }: ServerOptions): TemplatedApp {
  if (tls === undefined) return uws.App();
  // uWS would say nothing and refuse every handshake
  for (const file of [tls.certFile, tls.keyFile]) {
    if (!readFileSync(file, 'utf8').includes('-----BEGIN ')) throw new Error(`${file}: expected a PEM file`);
  }
  return uws.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile });
}

export function createServer(options: ServerOptions): Server {
  const { clock, telemetry } = options;
  const app = openApp(options);
  const router = createRouter<Route>();
  const answering = new Set<Exchange>();
  const security = { ...SECURITY, ...(options.tls === undefined ? {} : STRICT_TRANSPORT), ...options.securityHeaders };
  const sockets = createSockets({
    app,
    clock,
    telemetry,
    compression: uws.DISABLED,
    maxSockets: options.maxSockets ?? 20_000,
    upgradesPerSecond: options.upgradesPerSecond ?? 5_000,
    headers: security,
  });
  let listening: us_listen_socket | undefined;
  let draining: Promise<void> | undefined;

  const serve = async (exchange: Exchange, route: Route | undefined, label: string, allowed: readonly string[]): Promise<void> => {
    const began = clock.monotonic();
    answering.add(exchange);
    let answer: HttpAnswer;
    try {
      if (route !== undefined) answer = await route.handler(exchange.request);
      else if (allowed.length > 0) throw new HttpError(405, 'method not allowed', { allow: allowed.join(', ') });
      else throw new HttpError(404, 'not found');
    } catch (error) {
      answer = answerOf(error, telemetry);
    }
    try {
      await exchange.answer(answer, draining === undefined ? security : { ...security, connection: 'close' });
    } catch (error) {
      telemetry.log.error('http.answer', { route: label }, error);
    } finally {
      answering.delete(exchange);
      telemetry.count('http.requests', 1, { route: label, status: String(answer.status) });
      telemetry.record('http.duration', (clock.monotonic() - began) / 1000, { route: label });
    }
  };
  app.any('/*', (res, req) => {
    const found = router.find(req.getCaseSensitiveMethod().toUpperCase(), req.getUrl());
    const route = 'value' in found ? found.value : undefined;
    const exchange = openExchange(res, req, {
      clock,
      bodyTimeoutMs: options.bodyTimeoutMs ?? 15_000,
      answerStallMs: options.answerStallMs ?? 15_000,
      bodyLimitBytes: route?.bodyLimitBytes ?? DEFAULT_BODY_LIMIT,
      streamed: route?.streamed ?? false,
    });
    void serve(exchange, route, 'value' in found ? found.path : 'none', 'allowed' in found ? found.allowed : []);
  });

  const drainNow = async (windowMs: number, deadlineMs: number): Promise<void> => {
    const began = clock.monotonic();
    sockets.stopUpgrades();
    if (listening !== undefined) uws.us_listen_socket_close(listening);
    listening = undefined;
    await closePaced(sockets, windowMs, clock, options.dice);
    while ((answering.size > 0 || sockets.count() > 0) && clock.monotonic() - began < deadlineMs) await clock.sleep(20);
    app.close();
  };

  return {
    http(method, path, handler, routeOptions) {
      router.add(method, path, {
        handler,
        bodyLimitBytes: routeOptions?.bodyLimitBytes ?? DEFAULT_BODY_LIMIT,
        streamed: routeOptions?.streamed ?? false,
      });
    },
    websocket: sockets.add,
    listen(host, port) {
      return new Promise((resolve, reject) => {
        (app.listen as unknown as Listen).call(app, host, port, EXCLUSIVE_PORT, (socket) => {
          if (socket === false) {
            reject(new Error(`cannot listen on ${host}:${port}: the port is taken or the address is not ours`));
            return;
          }
          listening = socket;
          resolve({ port: uws.us_socket_local_port(socket as us_socket) });
        });
      });
    },
    drain({ windowMs, deadlineMs }) {
      draining ??= drainNow(windowMs, deadlineMs);
      return draining;
    },
    sockets: sockets.count,
  };
}
