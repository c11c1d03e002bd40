import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../../ops/telemetry/index.ts';
import { deviceKeys, gatewayChannel, type ToGateway, type ToNode } from '../../../schema/domain/index.ts';
import type { ControlLane } from '../../mailbox/index.ts';
import type { Connection, OutboundMessage, SendOutcome, Transport, TransportDevice, TransportEvents } from '../port.ts';
import { createAckFlow } from './acks.ts';

/**
 * The link transport of a node: devices that dial in at a gateway's `/link`. Owns, per connected device, where its socket is and
 * which sends wait for an answer. Sockets, heartbeats and inbound messages are the gateway's (gateway/link stores inbound itself).
 *
 * I1  A frame is handed to the bus in the tick in which `canAct` answered true.
 * I2  Every send settles: by an answer, by its timeout, by the socket's end or the session's.
 * I3  A session whose signal is aborted, or that was closed, says nothing more.
 * I4  Presence in Redis decides where the socket is; `link.up` and `link.down` only say it sooner. A look at least every `lookMs`
 *     repairs lost ones.
 * I5  An ack is confirmed to the device only once the ledger has judged it (acks.ts).
 */
export interface LinkBus {
  on<K extends ToNode['kind']>(kind: K, handler: (message: Extract<ToNode, { kind: K }>) => void): () => void;
  publish(channel: string, messages: readonly ToGateway[]): void;
}
export interface LinkPresence {
  readonly gateway: string;
  readonly socket: string;
}
export interface LinkDeps {
  readonly bus: LinkBus;
  /** text of a Redis key, null when there is none */
  get(key: string): Promise<string | null>;
  readonly control: Pick<ControlLane, 'read' | 'remove'>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}
export interface LinkTransport extends Transport {
  /** the device's socket came, went or moved (doorbell `link`): look where it is now */
  look(deviceId: string): void;
}

interface Session {
  readonly device: TransportDevice;
  readonly events: TransportEvents;
  readonly waiting: Map<string, (outcome: SendOutcome) => void>;
  at: LinkPresence | undefined;
  known: boolean;
  closed: boolean;
  looks: number;
}

const PROOF = { sent: 'SENT', delivered: 'DELIVERED', read: 'READ' } as const;

function presenceOf(text: string | null): LinkPresence | undefined {
  if (text === null) return undefined;
  try {
    const value = JSON.parse(text) as Partial<LinkPresence>;
    return typeof value.gateway === 'string' && typeof value.socket === 'string'
      ? { gateway: value.gateway, socket: value.socket }
      : undefined;
  } catch {
    return undefined;
  }
}

export function createLinkTransport(deps: LinkDeps, options: { readonly lookMs?: number } = {}): LinkTransport {
  const { bus, clock, telemetry } = deps;
  const lookMs = options.lookMs ?? 5000;
  const sessions = new Map<string, Session>();
  let cancelSweep: (() => void) | undefined;
  let ended = false;

  const settleAll = (session: Session, code: string): void => {
    for (const settle of [...session.waiting.values()]) settle({ kind: 'unknown', code });
  };
  const moveTo = (session: Session, at: LinkPresence | undefined, reason: string): void => {
    if (session.closed) return;
    const before = session.at;
    const first = !session.known;
    session.known = true;
    session.at = at;
    const same = before?.gateway === at?.gateway && before?.socket === at?.socket;
    if (same && !first) return;
    if (before !== undefined && !same) settleAll(session, 'SOCKET_GONE');
    if (at !== undefined) {
      const { id: deviceId, node, epoch } = session.device;
      bus.publish(gatewayChannel(at.gateway), [{ kind: 'link.owner', deviceId, node, epoch }]);
    }
    if (at === undefined) session.events.state({ state: 'OFFLINE', reason });
    else if (before === undefined) session.events.state({ state: 'ONLINE', reason: null });
  };
  const look = async (session: Session): Promise<void> => {
    session.looks += 1;
    const mine = session.looks;
    try {
      const text = await deps.get(deviceKeys(session.device.id).link);
      // a later look, link.up or link.down knows better
      if (session.looks === mine) moveTo(session, presenceOf(text), 'NO_SOCKET');
    } catch (error) {
      telemetry.log.warn('link.look-failed', {}, error);
    }
  };
  const sweep = (): void => {
    cancelSweep = undefined;
    for (const session of sessions.values()) {
      void look(session);
      acks.look(session.device.id);
    }
    armSweep();
  };
  const armSweep = (): void => {
    if (!ended && cancelSweep === undefined && sessions.size > 0) cancelSweep = clock.after(lookMs, sweep);
  };
  const close = (session: Session, code: string): void => {
    if (session.closed) return;
    session.closed = true;
    settleAll(session, code);
    if (sessions.get(session.device.id) === session) sessions.delete(session.device.id);
  };

  const onAck = (ack: Omit<Extract<ToNode, { kind: 'link.ack' }>, 'kind'>): boolean => {
    const session = sessions.get(ack.deviceId);
    if (session === undefined) return false;
    const { deviceId, id, status } = ack;
    const at = clock.wall();
    const settle = session.waiting.get(id);
    // I5
    const settled = (): void => acks.settled({ deviceId, messageId: id, status }, session.at?.gateway);
    if (status === 'failed' || status === 'rejected') {
      const retry = status === 'failed';
      // a refusal of another owner's attempt, or one that nobody waits for, says nothing about the present attempt
      if (ack.epoch !== session.device.epoch || settle === undefined) settled();
      else
        settle({
          kind: 'rejected',
          retry,
          code: retry ? 'LINK_FAILED' : 'LINK_REJECTED',
          detail: ack.error ?? 'refused by the device',
          settled,
        });
      return true;
    }
    const whole = settle !== undefined && status === 'sent';
    settle?.(whole ? { kind: 'sent', at, settled } : { kind: 'sent', at });
    if (!whole) session.events.receipt({ messageId: id, state: PROOF[status], at, settled });
    return true;
  };
  const acks = createAckFlow({
    control: deps.control,
    publish: (channel, messages) => bus.publish(channel, messages),
    found: ({ messageId, ...ack }) => onAck({ ...ack, id: messageId }),
    clock,
    telemetry,
  });
  const removers = [
    bus.on('link.ack', (ack) => void onAck(ack)),
    bus.on('link.up', ({ deviceId, gateway, socket }) => {
      const session = sessions.get(deviceId);
      if (session === undefined) return;
      session.looks += 1;
      moveTo(session, { gateway, socket }, 'UP');
    }),
    bus.on('link.down', ({ deviceId, socket, reason }) => {
      const session = sessions.get(deviceId);
      if (session?.at?.socket !== socket) return;
      session.looks += 1;
      moveTo(session, undefined, reason);
    }),
  ];

  const send = (session: Session, message: OutboundMessage, timeoutMs: number): Promise<SendOutcome> => {
    const { device, at } = session;
    if (!device.canAct()) return Promise.resolve({ kind: 'not-sent', code: 'FENCED' });
    if (session.closed || at === undefined) return Promise.resolve({ kind: 'not-sent', code: 'OFFLINE' });
    const { id, to, body } = message;
    return new Promise((resolve) => {
      const cancel = clock.after(timeoutMs, () => settle({ kind: 'unknown', code: 'TIMEOUT' }));
      const settle = (outcome: SendOutcome): void => {
        cancel();
        if (session.waiting.get(id) === settle) session.waiting.delete(id);
        resolve(outcome);
      };
      session.waiting.get(id)?.({ kind: 'unknown', code: 'REPEATED' });
      session.waiting.set(id, settle);
      bus.publish(gatewayChannel(at.gateway), [
        { kind: 'link.send', deviceId: device.id, node: device.node, id, epoch: device.epoch, to, body },
      ]);
    });
  };

  return {
    kind: 'link',
    resendsUnknown: true,
    connect(device, events, signal): Connection {
      const session: Session = { device, events, waiting: new Map(), at: undefined, known: false, closed: false, looks: 0 };
      const onAbort = (): void => close(session, 'ABORTED');
      const before = sessions.get(device.id);
      if (before !== undefined) close(before, 'REPLACED');
      if (signal.aborted || ended) session.closed = true;
      else {
        sessions.set(device.id, session);
        signal.addEventListener('abort', onAbort, { once: true });
        // after the caller has its Connection
        queueMicrotask(() => {
          if (session.closed) return;
          events.state({ state: 'CONNECTING', reason: null });
          void look(session);
          acks.look(device.id);
        });
        armSweep();
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
    look(deviceId) {
      const session = sessions.get(deviceId);
      if (session !== undefined) void look(session);
    },
    close() {
      ended = true;
      cancelSweep?.();
      acks.close();
      for (const remove of removers) remove();
      for (const session of [...sessions.values()]) close(session, 'CLOSED');
      return Promise.resolve();
    },
  };
}
