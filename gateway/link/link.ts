import { randomUUID } from 'node:crypto';
import { createControlLane } from '../../actors/mailbox/index.ts';
import type { Redis } from '../../ops/connect/index.ts';
import type { Clock, Dice } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { gatewayChannel, type ToGateway } from '../../schema/domain/index.ts';
import { LINK_CLOSE, LINK_LIMITS, LINK_SUBPROTOCOL, type LinkFromDevice } from '../../schema/link/index.ts';
import type { InboundItem, LinkHello } from '../../schema/sql/index.ts';
import { createFailures, hashOf, type Shares } from '../auth/index.ts';
import type { UpgradeVerdict, WebSocketBehaviour } from '../server/index.ts';
import { isAway } from '../system/index.ts';
import { createAdmission } from './admission.ts';
import { createDeadlines } from './deadlines.ts';
import { readFrame } from './frames.ts';
import { createInboundQueue } from './inbound.ts';
import { createOutgoing } from './outgoing.ts';
import { createPresence } from './presence.ts';
import { createDeviceRates } from './rates.ts';
import { createRoster, type RosterDeps } from './roster.ts';
import type { LinkIdentity, LinkSession } from './session.ts';

/**
 * Device sockets on `/link` (subprotocol flotilla-link.v1; schema/link has the frames and the close codes).
 *
 * Owns: the sockets that have not said hello yet; which epoch was seen on a socket. Does not own: whether a message may be sent (its owner
 * does), what is sent again (the owner repeats under the same id), outcomes (it keeps acks in the control lane and passes them on). Wired by
 * gateway/gateway.ts.
 *
 * L2 A frame of an epoch lower than one already seen is dropped: its sender no longer owns the device. An ack of a higher one than any that
 *    was told to the device is made up, and ends the socket.
 * L3 `ok` for an inbound message is said after it is stored, for an ack after the ledger has judged it; never before.
 * L4 Nothing of a device is done before its hello; a wrong token, a malformed or too large frame ends the socket with a code.
 * L6 Hellos are paced, connects and frames are counted per device; who has to wait is told how long.
 * L1 and L5 are the roster's.
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
  /** devices and owners by SHA-256 of tokens, in order */
  readonly hellos: (hashes: readonly Uint8Array[]) => Promise<readonly (LinkHello | null)[]>;
  readonly revoked: RosterDeps['revoked'];
  readonly storeInbound: (items: readonly InboundItem[]) => Promise<unknown>;
  /** role general or mailbox: presence, the control lane and publishing */
  readonly redis: Redis;
  readonly subscribe: (channel: string, handler: (text: string) => void) => Promise<void>;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly telemetry: Telemetry;
  /** wrong tokens per address over all gateways; without: of this one */
  readonly failureShares?: Shares | undefined;
}
export interface LinkOptions {
  /** the gateway's name: part of its channel */
  readonly gateway: string;
  /** default 10 000 */
  readonly heartbeatMs?: number;
  /** a socket without a hello is closed after this long; default 5000 */
  readonly helloMs?: number;
  /** per device, ten seconds' worth at once; default 200 */
  readonly framesPerSecond?: number;
  /** of all devices; default 2000 */
  readonly hellosPerSecond?: number;
}

interface Candidate {
  readonly session: LinkSession;
  readonly hash: Buffer;
  readonly claimed: string | undefined;
}

/** What a word of another process means for the socket. */
const CLOSED: Readonly<Record<string, number>> = { TOKEN_REVOKED: LINK_CLOSE.revoked, DEVICE_DELETED: LINK_CLOSE.unknownDevice };

export function createLink(deps: LinkDeps, options: LinkOptions): Link {
  const { clock, dice, telemetry, redis } = deps;
  const { gateway, heartbeatMs = 10_000, helloMs = 5000, framesPerSecond = 200, hellosPerSecond = 2000 } = options;
  const outgoing = createOutgoing({ redis, control: createControlLane(redis), telemetry });
  const roster = createRoster(
    { presence: createPresence(redis, heartbeatMs * 3), outgoing, revoked: deps.revoked, clock, telemetry },
    { gateway, heartbeatMs },
  );
  const rates = createDeviceRates(clock, { framesPerSecond });
  const failures = createFailures(clock, {}, deps.failureShares);
  const inbound = createInboundQueue({ store: deps.storeInbound, telemetry });
  const waiting = createDeadlines<LinkSession>(clock, helloMs, (session) => roster.end(session, LINK_CLOSE.helloTimeout, 'HELLO_EXPECTED'));
  const reject = (session: LinkSession, limit: string, code: number, reason: string, retryAfterMs?: number): void => {
    telemetry.count('limit.rejected', 1, { limit });
    roster.end(session, code, reason, retryAfterMs);
  };
  /** spread over half to one and a half times as long */
  const jittered = (ms: number): number => Math.ceil(ms * (0.5 + dice.next()));

  /** What is wrong with a hello, or the device it is of. */
  const judge = ({ session, hash, claimed }: Candidate, known: LinkHello | null): LinkIdentity | undefined => {
    if (known === null) {
      failures.failed(session.remote);
      reject(session, 'link_token', LINK_CLOSE.unauthorized, 'UNKNOWN_TOKEN');
      return undefined;
    }
    if (known.gone || (claimed !== undefined && claimed !== known.id)) {
      failures.failed(session.remote);
      reject(session, 'link_device', LINK_CLOSE.unknownDevice, known.gone ? 'DEVICE_DELETED' : 'UNKNOWN_DEVICE');
      return undefined;
    }
    const rate = rates.of(known.id);
    const waitMs = rate.connect();
    if (waitMs > 0) {
      reject(session, 'link_connects', LINK_CLOSE.rate, 'TOO_MANY_CONNECTS', jittered(waitMs + 1000));
      return undefined;
    }
    return { id: known.id, tenantId: known.tenantId, hash, rate };
  };
  const tryAgain = (session: LinkSession, error: unknown): void => {
    telemetry.log.warn('link.hello.failed', { away: isAway(error) }, error);
    roster.end(session, LINK_CLOSE.busy, 'TRY_AGAIN', jittered(2000));
  };

  /** One question for all that stand in line, one claim for all that are let in. */
  const admission = createAdmission<Candidate, true>(
    {
      look: async (candidates) => {
        const known = await deps.hellos(candidates.map(({ hash }) => hash));
        const joining: (LinkSession & { readonly device: LinkIdentity })[] = [];
        candidates.forEach((candidate, index) => {
          const { session } = candidate;
          const found = known[index] ?? null;
          if (session.ended) return;
          const device = judge(candidate, found);
          if (device === undefined || found === null) return;
          session.device = device;
          session.node = found.node;
          session.epoch = Math.max(session.epoch, found.epoch);
          session.seenAt = clock.monotonic();
          joining.push(session as LinkSession & { readonly device: LinkIdentity });
        });
        await roster.join(joining);
        for (const session of joining) {
          const { device, epoch } = session;
          session.socket?.cork(() => roster.say(session, { type: 'welcome', deviceId: device.id, epoch, heartbeatMs }));
        }
        return candidates.map(() => true);
      },
      clock,
      dice,
      telemetry,
    },
    { perSecond: hellosPerSecond },
  );

  const onHello = (session: LinkSession, token: string, claimed: string | undefined): void => {
    if (session.hello) {
      roster.end(session, LINK_CLOSE.protocol, 'HELLO_TWICE');
      return;
    }
    session.hello = true;
    waiting.remove(session);
    const comeBackMs = admission.enter({ session, hash: hashOf(token), claimed }, (_, failure) => {
      if (failure !== undefined) tryAgain(session, failure);
    });
    if (comeBackMs > 0) roster.end(session, LINK_CLOSE.busy, 'BUSY', comeBackMs);
  };

  const onFrame = (session: LinkSession, frame: LinkFromDevice): void => {
    if (frame.type === 'hello') {
      onHello(session, frame.token, frame.deviceId);
      return;
    }
    const { device } = session;
    if (device === undefined) {
      roster.end(session, LINK_CLOSE.unauthorized, 'HELLO_EXPECTED');
      return;
    }
    if (frame.type === 'ack') {
      const { id: messageId, epoch, status, error = null } = frame;
      // L2
      if (epoch > session.epoch) roster.end(session, LINK_CLOSE.protocol, 'EPOCH_AHEAD');
      else outgoing.ack({ deviceId: device.id, messageId, status, epoch, error, at: clock.wall() }, session.node);
    }
    if (frame.type === 'inbound') {
      const { id, from: sender, body } = frame;
      const item = { deviceId: device.id, id, tenantId: device.tenantId, sender, senderLid: null, body, receivedAt: clock.wall() };
      inbound.add(item, () => session.socket?.cork(() => roster.say(session, { type: 'ok', id })));
    }
  };

  /** a frame of a node, or a word of another gateway */
  const onBus = (message: ToGateway): void => {
    const session = roster.of(message.deviceId);
    if (session === undefined) {
      if (message.kind === 'link.send') roster.stray(message.deviceId);
      return;
    }
    switch (message.kind) {
      case 'link.close':
        if (message.reason === 'REPLACED') roster.replaced(message.deviceId, message.socket);
        else if (message.socket === undefined || message.socket === session.id)
          roster.end(session, CLOSED[message.reason] ?? LINK_CLOSE.closedByOwner, message.reason);
        return;
      case 'link.ok':
        roster.say(session, { type: 'ok', id: message.id, status: message.status });
        return;
      case 'link.owner':
      case 'link.send':
        if (message.epoch < session.epoch) {
          telemetry.count('fenced', 1, { where: 'link' });
          return;
        }
        session.epoch = message.epoch;
        session.node = message.node;
        if (message.kind === 'link.send') {
          const { id, epoch, to, body } = message;
          roster.say(session, { type: 'send', id, epoch, to, body });
        }
        return;
    }
  };

  const upgrade = ({
    protocols,
    remote,
  }: {
    readonly protocols: readonly string[];
    readonly remote: string;
  }): UpgradeVerdict<LinkSession> => {
    const limit = (name: string, status: number, message: string, waitMs: number): UpgradeVerdict<LinkSession> => {
      telemetry.count('limit.rejected', 1, { limit: name });
      return { accept: false, status, message, headers: { 'retry-after': String(Math.ceil(waitMs / 1000)) } };
    };
    if (!failures.allowed(remote)) return limit('link_token_rate', 429, 'too many unknown tokens from this address', jittered(2000));
    if (!protocols.includes(LINK_SUBPROTOCOL)) {
      return { accept: false, status: 400, message: `expected the subprotocol ${LINK_SUBPROTOCOL}` };
    }
    const comeBackMs = admission.full();
    if (comeBackMs > 0) return limit('link_hellos', 503, 'too many devices at once', comeBackMs);
    const state: LinkSession = {
      id: randomUUID(),
      remote,
      socket: undefined,
      device: undefined,
      hello: false,
      node: null,
      epoch: 0,
      seenAt: clock.monotonic(),
      ended: false,
    };
    return { accept: true, protocol: LINK_SUBPROTOCOL, state };
  };

  const behaviour: WebSocketBehaviour<LinkSession> = {
    kind: 'link',
    // above our own limit, so that a frame too large is answered with a code
    maxPayloadBytes: LINK_LIMITS.frameBytes * 4,
    idleTimeoutS: 60,
    upgrade,
    open(socket, session) {
      session.socket = socket;
      waiting.add(session);
    },
    message(_socket, session, data, binary) {
      if (session.ended) return;
      session.seenAt = clock.monotonic();
      if (session.device?.rate.frame() === false) {
        reject(session, 'link_frames', LINK_CLOSE.rate, 'TOO_MANY_FRAMES', jittered(5000));
        return;
      }
      if (data.byteLength > LINK_LIMITS.frameBytes) {
        roster.end(session, LINK_CLOSE.tooLarge, 'FRAME_TOO_LARGE');
        return;
      }
      if (binary) {
        roster.end(session, LINK_CLOSE.unsupported, 'TEXT_EXPECTED');
        return;
      }
      const frame = readFrame(data);
      if (typeof frame === 'string') roster.end(session, LINK_CLOSE.protocol, frame);
      else onFrame(session, frame);
    },
    close(_socket, session) {
      session.ended = true;
      waiting.remove(session);
      roster.leave(session);
      session.socket = undefined;
    },
  };

  return {
    behaviour,
    start: () =>
      deps.subscribe(gatewayChannel(gateway), (text) => {
        for (const message of JSON.parse(text) as ToGateway[]) onBus(message);
      }),
    devices: () => roster.size,
    stop() {
      roster.stop();
      waiting.stop();
    },
  };
}
