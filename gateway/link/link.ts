import { randomUUID } from 'node:crypto';
import type { Redis } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import {
  gatewayChannel,
  LINK_SUBPROTOCOL,
  type LinkFromDevice,
  type LinkToDevice,
  nodeChannel,
  type ToGateway,
  type ToNode,
} from '../../schema/domain/index.ts';
import type { DeviceRow, InboundItem } from '../../schema/sql/index.ts';
import { createFailures, hashOf } from '../auth/index.ts';
import type { Socket, WebSocketBehaviour } from '../server/index.ts';
import { isAway } from '../system/index.ts';
import { FRAME_BYTES, LINK_CLOSE, readFrame } from './frames.ts';
import { createInboundQueue } from './inbound.ts';
import { createPresence, type Place } from './presence.ts';
import { createWheel } from './wheel.ts';

/**
 * Device sockets on `/link` (subprotocol flotilla-link.v1).
 *
 * Owns: the sockets of this gateway and their presence in Redis. Does not own: whether a message may be sent (its owner does), what is
 * sent again (the owner repeats under the same id), outcomes (it passes acks on). Wired by gateway/main.ts.
 *
 * L1 A device has one socket: the newest. The older one is told `bye replaced`, wherever it is.
 * L2 A frame of an epoch lower than one already seen on the socket is dropped: its sender no longer owns the device.
 * L3 `ok` for an inbound message is said after it is stored, never before.
 * L4 Nothing of a device is done before its hello; a wrong token, a malformed or too large frame ends the socket with a code.
 * L5 One timer serves all sockets: heartbeat, liveness, renewal of presence. Only the wait for the hello has a short one of its own.
 */
export interface Link {
  readonly behaviour: WebSocketBehaviour<LinkSession>;
  /** subscribes this gateway's channel; resolves once frames can arrive */
  start(): Promise<void>;
  /** sockets that said hello */
  devices(): number;
  stop(): void;
}

export interface LinkDeps {
  /** device of a token, by its SHA-256 */
  readonly findDevice: (hash: Uint8Array) => Promise<DeviceRow | null>;
  /** who owns the device now, as far as known */
  readonly ownerOf: (device: DeviceRow) => Promise<{ readonly epoch: number; readonly node: string | null }>;
  readonly storeInbound: (items: readonly InboundItem[]) => Promise<unknown>;
  /** role general or mailbox: presence and publishing */
  readonly redis: Redis;
  readonly subscribe: (channel: string, handler: (text: string) => void) => Promise<void>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}
export interface LinkOptions {
  /** the gateway's name: part of its channel */
  readonly gateway: string;
  readonly heartbeatMs?: number;
  readonly helloMs?: number;
  readonly framesPerSecond?: number;
}

export interface LinkSession {
  readonly id: string;
  readonly remote: string;
  socket: Socket | undefined;
  device: DeviceRow | undefined;
  hello: boolean;
  /** who sent the last frame: acks go there */
  node: string | null;
  epoch: number;
  /** monotonic ms of the last frame */
  seenAt: number;
  openedAt: number;
  frames: number;
  ended: boolean;
}

const SLOTS = 40;

export function createLink(deps: LinkDeps, options: LinkOptions): Link {
  const { clock, telemetry, redis } = deps;
  const heartbeatMs = options.heartbeatMs ?? 10_000;
  const helloMs = options.helloMs ?? 5000;
  const mostFrames = (options.framesPerSecond ?? 1000) * Math.max(1, heartbeatMs / 1000);
  const presence = createPresence(redis, heartbeatMs * 3);
  const failures = createFailures(clock);
  const inbound = createInboundQueue({ store: deps.storeInbound, telemetry });
  const byDevice = new Map<string, LinkSession>();
  let outgoing = new Map<string, (ToNode | ToGateway)[]>();

  const place = (session: LinkSession): Place => ({ gateway: options.gateway, socket: session.id });
  const quietly = (what: string, work: Promise<unknown>): void => {
    work.catch((error: unknown) => telemetry.log.warn(`link.${what}.failed`, {}, error));
  };

  /** all messages of a tick to one channel go out as one PUBLISH */
  const publish = (channel: string, message: ToNode | ToGateway): void => {
    if (outgoing.size === 0) {
      setImmediate(() => {
        const batch = outgoing;
        outgoing = new Map();
        for (const [to, messages] of batch) quietly('publish', redis.publish(to, JSON.stringify(messages)));
      });
    }
    const queue = outgoing.get(channel);
    if (queue === undefined) outgoing.set(channel, [message]);
    else queue.push(message);
  };

  const say = (session: LinkSession, frame: LinkToDevice): void => {
    if (session.socket === undefined || session.ended) return;
    const outcome = session.socket.send(JSON.stringify(frame));
    if (outcome === 'dropped') session.socket.close(4503, 'slow reader');
  };

  const end = (session: LinkSession, code: number, reason: string): void => {
    if (session.ended) return;
    say(session, { type: 'bye', reason });
    session.ended = true;
    telemetry.count('socket.closed', 1, { kind: 'link', code: String(code) });
    session.socket?.close(code, reason);
  };

  const forget = (session: LinkSession, reason: string): void => {
    wheel.remove(session);
    const { device } = session;
    if (device === undefined || byDevice.get(device.id) !== session) return;
    byDevice.delete(device.id);
    quietly('drop', presence.drop(device.id, place(session)));
    if (session.node !== null) publish(nodeChannel(session.node), { kind: 'link.down', deviceId: device.id, socket: session.id, reason });
  };

  /** L5 */
  const visit = (sessions: readonly LinkSession[]): void => {
    const now = clock.monotonic();
    const alive: { deviceId: string; place: Place }[] = [];
    for (const session of sessions) {
      if (session.device === undefined) {
        if (now - session.openedAt > helloMs) end(session, LINK_CLOSE.helloTimeout, 'HELLO_EXPECTED');
        continue;
      }
      session.frames = 0;
      if (now - session.seenAt > heartbeatMs * 2.5) {
        end(session, LINK_CLOSE.heartbeat, 'HEARTBEAT');
        continue;
      }
      session.socket?.cork(() => say(session, { type: 'ping' }));
      alive.push({ deviceId: session.device.id, place: place(session) });
    }
    if (alive.length === 0) return;
    presence.renew(alive).then(
      (lost) => {
        for (const deviceId of lost) replaced(deviceId);
      },
      (error: unknown) => telemetry.log.warn('link.renew.failed', { sockets: alive.length }, error),
    );
  };
  const wheel = createWheel<LinkSession>(clock, { roundMs: heartbeatMs, slots: SLOTS }, visit);

  /** L1 */
  const replaced = (deviceId: string): void => {
    const session = byDevice.get(deviceId);
    if (session === undefined) return;
    byDevice.delete(deviceId);
    wheel.remove(session);
    session.socket?.cork(() => end(session, LINK_CLOSE.replaced, 'REPLACED'));
  };

  const greet = async (session: LinkSession, token: string): Promise<void> => {
    const device = await deps.findDevice(hashOf(token));
    if (device === null || device.transport !== 'link') {
      failures.failed(session.remote);
      telemetry.count('limit.rejected', 1, { limit: 'link_token' });
      session.socket?.cork(() => end(session, LINK_CLOSE.unauthorized, 'UNKNOWN_TOKEN'));
      return;
    }
    const owner = await deps.ownerOf(device);
    if (session.ended) return;
    replaced(device.id);
    session.device = device;
    session.node = owner.node;
    session.epoch = owner.epoch;
    byDevice.set(device.id, session);
    const before = await presence.claim(device.id, place(session));
    if (byDevice.get(device.id) !== session) return;
    if (before !== null && before.gateway !== options.gateway) {
      publish(gatewayChannel(before.gateway), { kind: 'link.close', deviceId: device.id, reason: 'REPLACED' });
    }
    session.socket?.cork(() => say(session, { type: 'welcome', deviceId: device.id, epoch: session.epoch, heartbeatMs }));
    if (session.node !== null) {
      publish(nodeChannel(session.node), { kind: 'link.up', deviceId: device.id, gateway: options.gateway, socket: session.id });
    }
  };

  const onHello = (session: LinkSession, token: string): void => {
    if (session.hello) {
      end(session, LINK_CLOSE.protocol, 'HELLO_TWICE');
      return;
    }
    session.hello = true;
    greet(session, token).catch((error: unknown) => {
      telemetry.log.warn('link.hello.failed', { away: isAway(error) }, error);
      session.socket?.cork(() => end(session, LINK_CLOSE.away, 'TRY_AGAIN'));
    });
  };

  const onFrame = (session: LinkSession, frame: LinkFromDevice): void => {
    if (frame.type === 'hello') {
      onHello(session, frame.token);
      return;
    }
    const { device } = session;
    if (device === undefined) {
      end(session, LINK_CLOSE.unauthorized, 'HELLO_EXPECTED');
      return;
    }
    if (frame.type === 'ack' && session.node !== null) {
      const { id, epoch, status } = frame;
      publish(nodeChannel(session.node), { kind: 'link.ack', deviceId: device.id, id, epoch, status, error: frame.error ?? null });
    }
    if (frame.type === 'inbound') {
      const { id, from: sender, body } = frame;
      const item = { deviceId: device.id, id, tenantId: device.tenantId, sender, senderLid: null, body, receivedAt: clock.wall() };
      inbound.add(item, () => session.socket?.cork(() => say(session, { type: 'ok', id })));
    }
  };

  /** a frame of a node, or a word of another gateway */
  const onBus = (message: ToGateway): void => {
    const session = byDevice.get(message.deviceId);
    if (message.kind === 'link.close') {
      if (message.reason === 'REPLACED') replaced(message.deviceId);
      else if (session !== undefined) session.socket?.cork(() => end(session, LINK_CLOSE.closedByOwner, message.reason));
      return;
    }
    if (session === undefined) {
      quietly('drop', presence.dropForeign(message.deviceId, options.gateway));
      return;
    }
    if (message.epoch < session.epoch) {
      telemetry.count('fenced', 1, { where: 'link' });
      return;
    }
    session.epoch = message.epoch;
    session.node = message.node;
    const { id, epoch, to, body } = message;
    say(session, { type: 'send', id, epoch, to, body });
  };

  const behaviour: WebSocketBehaviour<LinkSession> = {
    kind: 'link',
    // above our own limit, so that a frame too large is answered with a code
    maxPayloadBytes: FRAME_BYTES * 4,
    idleTimeoutS: 60,
    upgrade({ protocols, remote }) {
      if (!failures.allowed(remote)) {
        telemetry.count('limit.rejected', 1, { limit: 'link_token_rate' });
        return { accept: false, status: 429, message: 'too many unknown tokens from this address', headers: { 'retry-after': '1' } };
      }
      if (!protocols.includes(LINK_SUBPROTOCOL)) {
        return { accept: false, status: 400, message: `expected the subprotocol ${LINK_SUBPROTOCOL}` };
      }
      const now = clock.monotonic();
      const state: LinkSession = {
        id: randomUUID(),
        remote,
        socket: undefined,
        device: undefined,
        hello: false,
        node: null,
        epoch: 0,
        seenAt: now,
        openedAt: now,
        frames: 0,
        ended: false,
      };
      return { accept: true, protocol: LINK_SUBPROTOCOL, state };
    },
    open(socket, session) {
      session.socket = socket;
      wheel.add(session);
      clock.after(
        helloMs,
        () => {
          if (session.device === undefined && !session.hello) {
            session.socket?.cork(() => end(session, LINK_CLOSE.helloTimeout, 'HELLO_EXPECTED'));
          }
        },
        { background: true },
      );
    },
    message(_socket, session, data, binary) {
      if (session.ended) return;
      session.seenAt = clock.monotonic();
      session.frames += 1;
      if (session.frames > mostFrames) {
        telemetry.count('limit.rejected', 1, { limit: 'link_frames' });
        end(session, LINK_CLOSE.rate, 'TOO_MANY_FRAMES');
        return;
      }
      if (data.byteLength > FRAME_BYTES) {
        end(session, LINK_CLOSE.tooLarge, 'FRAME_TOO_LARGE');
        return;
      }
      if (binary) {
        end(session, LINK_CLOSE.unsupported, 'TEXT_EXPECTED');
        return;
      }
      const frame = readFrame(data);
      if (typeof frame === 'string') end(session, LINK_CLOSE.protocol, frame);
      else onFrame(session, frame);
    },
    close(_socket, session) {
      session.ended = true;
      forget(session, 'CLOSED');
      session.socket = undefined;
    },
  };

  return {
    behaviour,
    start: () =>
      deps.subscribe(gatewayChannel(options.gateway), (text) => {
        for (const message of JSON.parse(text) as ToGateway[]) onBus(message);
      }),
    devices: () => byDevice.size,
    stop: () => wheel.stop(),
  };
}
