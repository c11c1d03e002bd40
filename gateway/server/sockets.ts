import type { TemplatedApp, HttpResponse as UwsResponse, WebSocket as UwsSocket } from 'uWebSockets.js';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { addressOf, headersOf } from './exchange.ts';
import { createOutbox, type FrameCounts, type Outbox, type OutboxOptions } from './outbox.ts';
import type { Socket, UpgradeInfo, WebSocketBehaviour } from './port.ts';

/**
 * Every WebSocket of the server: upgrade, callbacks, the sweep over slow readers.
 * Owns: the set of open sockets and of slow ones, the token bucket of upgrades. Does not own: what is said over them.
 * I1 No exception of a behaviour reaches uWS: it closes that socket with 4500.
 * I2 A refused upgrade costs no socket; above the limits it is 503 before the behaviour is asked.
 */
export interface Sockets {
  add<S>(path: string, behaviour: WebSocketBehaviour<S>): void;
  all(): Outbox[];
  count(kind?: 'graphql' | 'link'): number;
  /** from now on every upgrade is 503 */
  stopUpgrades(): void;
}

export interface SocketsOptions {
  readonly app: TemplatedApp;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly compression: number;
  readonly maxSockets: number;
  readonly upgradesPerSecond: number;
  readonly headers: Readonly<Record<string, string>>;
}

const SWEEP_MS = 1_000;

interface Held<S> {
  readonly state: S;
  readonly remote: string;
  outbox: Outbox | undefined;
}

/** Looks at slow readers once a second while there are any: uWS does not call drain in every case. */
function createSweep(clock: Clock): { watch(outbox: Outbox): void; forget(outbox: Outbox): void; bufferedBytes(): number } {
  const slow = new Set<Outbox>();
  let armed = false;
  const arm = (): void => {
    if (armed || slow.size === 0) return;
    armed = true;
    clock.after(SWEEP_MS, sweep, { background: true });
  };
  const sweep = (): void => {
    armed = false;
    const now = clock.monotonic();
    for (const outbox of slow) if (!outbox.attend(now)) slow.delete(outbox);
    arm();
  };
  return {
    watch(outbox) {
      slow.add(outbox);
      arm();
    },
    forget: (outbox) => void slow.delete(outbox),
    bufferedBytes: () => [...slow].reduce((sum, outbox) => sum + outbox.bufferedBytes(), 0),
  };
}

/** Frames by outcome, told to the metrics once a second: a metric for each of 100,000 frames a second would cost more than sending some. */
function createFrameCounts(clock: Clock, telemetry: Telemetry): FrameCounts {
  const counts: FrameCounts = { sent: 0, buffered: 0, dropped: 0 };
  const tell = (): void => {
    for (const outcome of ['sent', 'buffered', 'dropped'] as const) {
      if (counts[outcome] > 0) telemetry.count('frames', counts[outcome], { outcome });
      counts[outcome] = 0;
    }
    clock.after(SWEEP_MS, tell, { background: true });
  };
  clock.after(SWEEP_MS, tell, { background: true });
  return counts;
}

/** `perSecond` tokens a second, two seconds' worth at most. */
function createBucket(clock: Clock, perSecond: number): () => boolean {
  let tokens = perSecond * 2;
  let at = clock.monotonic();
  return () => {
    const now = clock.monotonic();
    tokens = Math.min(perSecond * 2, tokens + ((now - at) / 1000) * perSecond);
    at = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}

function refuse(res: UwsResponse, status: string, message: string, headers: Readonly<Record<string, string>>): void {
  res.cork(() => {
    res.writeStatus(status);
    for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
    res.end(message, true);
  });
}

export function createSockets(options: SocketsOptions): Sockets {
  const { app, clock, telemetry } = options;
  /** with what the behaviour keeps for each */
  const open = new Map<Outbox, unknown>();
  const counts = { graphql: 0, link: 0 };
  const sweep = createSweep(clock);
  const frames = createFrameCounts(clock, telemetry);
  const takeToken = createBucket(clock, options.upgradesPerSecond);
  let stopped = false;
  telemetry.gauge('sockets', () => counts.graphql, { kind: 'graphql' });
  telemetry.gauge('sockets', () => counts.link, { kind: 'link' });
  telemetry.gauge('socket.backpressure', sweep.bufferedBytes);

  const safely = (socket: Socket, task: () => void): void => {
    try {
      task();
    } catch (error) {
      telemetry.log.error('socket.fault', {}, error);
      socket.close(4500, 'Internal server error');
    }
  };
  const optionsOf = <S>(behaviour: WebSocketBehaviour<S>): OutboxOptions => ({
    kind: behaviour.kind,
    highWaterBytes: behaviour.highWaterBytes ?? 256 * 1024,
    stallMs: behaviour.stallMs ?? 15_000,
    clock,
    telemetry,
    watch: sweep.watch,
    frames,
    drained(outbox) {
      const state = open.get(outbox) as S;
      safely(outbox, () => behaviour.drain?.(outbox, state));
    },
  });
  const opened = <S>(ws: UwsSocket<Held<S>>, behaviour: WebSocketBehaviour<S>, shared: OutboxOptions): void => {
    const held = ws.getUserData();
    const outbox = createOutbox(ws as UwsSocket<unknown>, held.remote, shared);
    held.outbox = outbox;
    open.set(outbox, held.state);
    counts[behaviour.kind] += 1;
    safely(outbox, () => behaviour.open(outbox, held.state));
  };
  const add = <S>(path: string, behaviour: WebSocketBehaviour<S>): void => {
    const shared = optionsOf(behaviour);
    app.ws<Held<S>>(path, {
      maxPayloadLength: behaviour.maxPayloadBytes,
      idleTimeout: behaviour.idleTimeoutS ?? 30,
      maxBackpressure: behaviour.maxBackpressureBytes ?? 1024 * 1024,
      closeOnBackpressureLimit: 0,
      sendPingsAutomatically: true,
      compression: options.compression,
      upgrade(res, req, context) {
        const headers = headersOf(req);
        const remote = addressOf(res);
        if (stopped || open.size >= options.maxSockets || !takeToken()) {
          telemetry.count('limit.rejected', 1, { limit: 'sockets' });
          refuse(res, '503 Service Unavailable', 'too many connections', { ...options.headers, 'retry-after': '1' });
          return;
        }
        const offered = headers['sec-websocket-protocol'] ?? '';
        const info: UpgradeInfo = {
          path: req.getUrl(),
          query: req.getQuery() ?? '',
          headers,
          remote,
          protocols: offered.split(',').flatMap((part) => (part.trim() === '' ? [] : [part.trim()])),
          origin: headers['origin'],
        };
        const verdict = behaviour.upgrade(info);
        if (!verdict.accept) {
          refuse(res, `${verdict.status} Refused`, verdict.message, { ...options.headers, ...verdict.headers });
          return;
        }
        const held: Held<S> = { state: verdict.state, remote, outbox: undefined };
        res.upgrade(held, headers['sec-websocket-key'] ?? '', verdict.protocol ?? '', headers['sec-websocket-extensions'] ?? '', context);
      },
      open: (ws) => opened(ws, behaviour, shared),
      message(ws, data, binary) {
        const { outbox, state } = ws.getUserData();
        if (outbox === undefined || outbox.closed) return;
        safely(outbox, () => behaviour.message(outbox, state, Buffer.from(data), binary));
      },
      drain: (ws) => ws.getUserData().outbox?.onDrain(),
      close(ws, code) {
        const { outbox, state } = ws.getUserData();
        if (outbox === undefined) return;
        outbox.onClose();
        sweep.forget(outbox);
        if (open.delete(outbox)) counts[behaviour.kind] -= 1;
        safely(outbox, () => behaviour.close(outbox, state, code));
      },
    });
  };
  return {
    add,
    all: () => [...open.keys()],
    count: (kind) => (kind === undefined ? open.size : counts[kind]),
    stopUpgrades() {
      stopped = true;
    },
  };
}
