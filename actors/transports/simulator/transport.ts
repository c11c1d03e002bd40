import { connect as connectTcp } from 'node:net';
import { type Clock, type Dice, systemDice } from '../../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../../ops/telemetry/index.ts';
import { whatsappIdOf } from '../../../schema/domain/index.ts';
import type { Connection, OutboundMessage, SendOutcome, Transport, TransportDevice, TransportEvents } from '../port.ts';
import { createPipe, type Pipe } from './pipe.ts';
import { addressOf, type FromPhones } from './wire.ts';

/**
 * The simulator transport of a node: all its devices over one TCP connection to the phones. Owns the sessions of the devices it was
 * asked to connect and the sends that wait for an answer. Called by the device actors.
 *
 * I1  A message's bytes go to the socket in the same tick in which `canAct` was asked and answered true (pipe I1).
 * I2  Every send settles: by an answer, by its timeout, by the end of the connection or of the session.
 * I3  A session whose signal is aborted, or that was closed, says nothing more.
 * I4  A send whose bytes were handed to the socket never ends as `not-sent`; one whose bytes were not never ends as `unknown`.
 */
export interface SimulatorDeps {
  readonly url: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly dice?: Dice;
}
export interface SimulatorOptions {
  /** a device not answered for this long is OFFLINE and opened again */
  readonly connectTimeoutMs?: number;
  /** first and longest wait before connecting again; the wait is drawn evenly below the step */
  readonly backoffMs?: readonly [number, number];
}

interface Waiting {
  readonly settle: (outcome: SendOutcome) => void;
  written: boolean;
}
interface Session {
  readonly device: TransportDevice;
  readonly events: TransportEvents;
  readonly waiting: Map<string, Waiting>;
  phase: 'dialling' | 'opening' | 'up' | 'down';
  closed: boolean;
  failures: number;
  cancelTimer: () => void;
}

const attemptKey = (id: string, attempt: number): string => `${id}/${attempt}`;

/** @param deps.url `tcp://host:port` of the phones process */
export function createSimulatorTransport(deps: SimulatorDeps, options: SimulatorOptions = {}): Transport {
  const { clock, telemetry } = deps;
  const dice = deps.dice ?? systemDice;
  const connectTimeoutMs = options.connectTimeoutMs ?? 15_000;
  const [firstMs, longestMs] = options.backoffMs ?? [200, 5000];
  const sessions = new Map<string, Session>();
  let pipe: Pipe | undefined;
  let failures = 0;
  let cancelReconnect: (() => void) | undefined;
  let ended = false;

  const backoff = (failed: number): number => Math.ceil(dice.next() * Math.min(longestMs, firstMs * 2 ** Math.min(failed, 20))) + 1;
  const stateOf = (session: Session, state: 'CONNECTING' | 'ONLINE' | 'OFFLINE', reason: string | null): void => {
    if (!session.closed) session.events.state({ state, reason });
  };
  const settleAll = (session: Session, code: string, unwritten: 'FENCED' | 'OFFLINE'): void => {
    for (const entry of [...session.waiting.values()]) {
      entry.settle(entry.written ? { kind: 'unknown', code } : { kind: 'not-sent', code: unwritten });
    }
  };
  const open = (session: Session): void => {
    session.cancelTimer();
    if (session.closed || pipe?.up !== true) return;
    if (session.phase !== 'dialling') stateOf(session, 'CONNECTING', null);
    session.phase = 'opening';
    pipe.put({ k: 'open', d: session.device.id, e: session.device.epoch, n: session.device.node });
    session.cancelTimer = clock.after(connectTimeoutMs, () => goDown(session, 'CONNECT_TIMEOUT'));
  };
  /** the device's own connection ended while the node's goes on: open it again later */
  const goDown = (session: Session, reason: string): void => {
    if (session.closed) return;
    session.cancelTimer();
    session.phase = 'down';
    session.failures += 1;
    stateOf(session, 'OFFLINE', reason);
    settleAll(session, reason, 'OFFLINE');
    session.cancelTimer = clock.after(backoff(session.failures), () => open(session));
  };
  const onLost = (lost: Pipe): void => {
    if (pipe !== lost) return;
    pipe = undefined;
    if (ended) return;
    failures += 1;
    telemetry.log.warn('simulator.connection-lost', { failures });
    for (const session of [...sessions.values()]) {
      session.cancelTimer();
      session.phase = 'down';
      stateOf(session, 'OFFLINE', 'CONNECTION_LOST');
      settleAll(session, 'CONNECTION_LOST', 'OFFLINE');
    }
    if (sessions.size > 0) reconnectLater();
  };
  const reconnectLater = (): void => {
    cancelReconnect?.();
    cancelReconnect = clock.after(backoff(failures), () => {
      cancelReconnect = undefined;
      dial();
    });
  };
  const dial = (): void => {
    if (ended || pipe !== undefined) return;
    const next = createPipe(
      connectTcp(addressOf(deps.url)),
      {
        up() {
          failures = 0;
          for (const session of [...sessions.values()]) open(session);
        },
        frame: onFrame,
        lost: () => onLost(next),
      },
      clock,
    );
    pipe = next;
  };

  const onAck = (session: Session, frame: Extract<FromPhones, { k: 'ack' | 'nack' }>): void => {
    const entry = frame.e === session.device.epoch ? session.waiting.get(attemptKey(frame.i, frame.a)) : undefined;
    if (frame.k === 'ack') {
      // an answer nobody waits for any more is still proof
      if (entry === undefined) session.events.receipt({ messageId: frame.i, state: 'SENT', at: frame.at });
      else entry.settle({ kind: 'sent', at: frame.at });
      return;
    }
    const refusal = { kind: 'rejected', retry: frame.retry, code: frame.code, detail: 'refused by the simulated phone' } as const;
    entry?.settle(frame.after === undefined ? refusal : { ...refusal, retryAfterMs: frame.after });
  };
  const onInbound = (session: Session, frame: Extract<FromPhones, { k: 'in' }>): void => {
    session.events.inbound({ id: frame.i, from: frame.from, fromLid: null, body: frame.b, at: frame.at }).then(
      () => pipe?.put({ k: 'ok', d: frame.d, i: frame.i }),
      (error: unknown) => telemetry.log.warn('simulator.inbound-not-stored', {}, error),
    );
  };
  const onFrame = (frame: FromPhones): void => {
    if (frame.k === 'done') return;
    const session = sessions.get(frame.d);
    if (session === undefined || session.closed) return;
    if (frame.k === 'receipt') session.events.receipt({ messageId: frame.i, state: frame.s, at: frame.at });
    else if (frame.k === 'ack' || frame.k === 'nack') onAck(session, frame);
    else if (frame.k === 'in') onInbound(session, frame);
    else if (frame.e !== session.device.epoch) return;
    else if (frame.k === 'down') goDown(session, frame.r);
    else if (session.phase === 'opening') {
      session.cancelTimer();
      session.phase = 'up';
      session.failures = 0;
      stateOf(session, 'ONLINE', null);
    }
  };

  const send = (session: Session, message: OutboundMessage, timeoutMs: number): Promise<SendOutcome> => {
    const { device } = session;
    if (!device.canAct()) return Promise.resolve({ kind: 'not-sent', code: 'FENCED' });
    if (session.closed || session.phase !== 'up' || pipe?.up !== true) return Promise.resolve({ kind: 'not-sent', code: 'OFFLINE' });
    const key = attemptKey(message.id, message.attempt);
    const { id: i, attempt: a, to, body: b } = message;
    const to_ = pipe;
    return new Promise((resolve) => {
      const cancel = clock.after(timeoutMs, () =>
        entry.settle(entry.written ? { kind: 'unknown', code: 'TIMEOUT' } : { kind: 'not-sent', code: 'OFFLINE' }),
      );
      const entry: Waiting = {
        written: false,
        settle(outcome) {
          cancel();
          if (session.waiting.get(key) === entry) session.waiting.delete(key);
          resolve(outcome);
        },
      };
      session.waiting.get(key)?.settle({ kind: 'unknown', code: 'REPEATED' });
      session.waiting.set(key, entry);
      to_.put(
        { k: 'send', d: device.id, e: device.epoch, i, w: whatsappIdOf(i), a, to, b },
        {
          mayGo() {
            if (session.waiting.get(key) !== entry) return false;
            if (device.canAct()) return true;
            entry.settle({ kind: 'not-sent', code: 'FENCED' });
            return false;
          },
          went() {
            entry.written = true;
          },
        },
      );
    });
  };
  const close = (session: Session, code: string): void => {
    if (session.closed) return;
    session.closed = true;
    session.cancelTimer();
    settleAll(session, code, 'FENCED');
    if (sessions.get(session.device.id) !== session) return;
    sessions.delete(session.device.id);
    if (pipe?.up === true) pipe.put({ k: 'close', d: session.device.id, e: session.device.epoch });
  };

  return {
    kind: 'simulator',
    resendsUnknown: true,
    connect(device, events, signal): Connection {
      const session: Session = {
        device,
        events,
        waiting: new Map(),
        phase: 'down',
        closed: false,
        failures: 0,
        cancelTimer: () => {},
      };
      const before = sessions.get(device.id);
      if (before !== undefined) close(before, 'REPLACED');
      const onAbort = (): void => close(session, 'ABORTED');
      if (signal.aborted || ended) session.closed = true;
      else {
        sessions.set(device.id, session);
        signal.addEventListener('abort', onAbort, { once: true });
        // after the caller has its Connection
        queueMicrotask(() => {
          if (pipe?.up === true) open(session);
          else {
            session.phase = 'dialling';
            stateOf(session, 'CONNECTING', null);
            if (pipe === undefined && cancelReconnect === undefined) dial();
          }
        });
      }
      return {
        send: (message, timeoutMs) => send(session, message, timeoutMs),
        close() {
          signal.removeEventListener('abort', onAbort);
          close(session, 'CLOSED');
          return Promise.resolve();
        },
      };
    },
    async close() {
      ended = true;
      cancelReconnect?.();
      for (const session of [...sessions.values()]) close(session, 'CLOSED');
      await pipe?.end();
    },
  };
}
