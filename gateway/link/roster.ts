import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { gatewayChannel, nodeChannel } from '../../schema/domain/index.ts';
import { LINK_CLOSE, type LinkToDevice } from '../../schema/link/index.ts';
import type { Outgoing } from './outgoing.ts';
import type { Place, Presence } from './presence.ts';
import type { LinkIdentity, LinkSession } from './session.ts';
import { createWheel } from './wheel.ts';

/**
 * The devices that have a socket here, and the watch over them.
 *
 * Owns: which socket is a device's, its presence in Redis, the heartbeat. Does not own: who may come in (hello), what is said (link).
 *
 * L1 A device has one socket: the newest. The older one is told `bye REPLACED`, wherever it is; a word about an older socket never ends a newer.
 * L5 One timer serves all sockets: heartbeat, liveness, renewal of presence, and whether the token still stands.
 */
export interface Roster {
  of(deviceId: string): LinkSession | undefined;
  readonly size: number;
  say(session: LinkSession, frame: LinkToDevice | string): void;
  /** `bye` and the close code; harmless when it has ended */
  end(session: LinkSession, code: number, reason: string, retryAfterMs?: number): void;
  /** this socket is the device's from now on; older ones here are replaced. Rejects when Redis does not answer. */
  join(sessions: readonly (LinkSession & { readonly device: LinkIdentity })[]): Promise<void>;
  /** another socket of the device came, elsewhere; `socket`: the one that it replaced */
  replaced(deviceId: string, socket: string | undefined): void;
  /** the socket is closed */
  leave(session: LinkSession): void;
  /** a frame came for a device that has no socket here */
  stray(deviceId: string): void;
  stop(): void;
}

export interface RosterDeps {
  readonly presence: Presence;
  readonly outgoing: Outgoing;
  /** those whose token is no longer the one they said hello with */
  readonly revoked: (devices: readonly LinkIdentity[]) => Promise<readonly { readonly id: string; readonly gone: boolean }[]>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

const SLOTS = 40;
/** a token is looked at again every so many heartbeats; a revocation is normally told at once */
const TOKEN_ROUNDS = 3;
const PING = JSON.stringify({ type: 'ping' } satisfies LinkToDevice);

export function createRoster(deps: RosterDeps, options: { readonly gateway: string; readonly heartbeatMs: number }): Roster {
  const { clock, telemetry, presence, outgoing } = deps;
  const { gateway, heartbeatMs } = options;
  const byDevice = new Map<string, LinkSession>();

  const place = (session: LinkSession): Place => ({ gateway, socket: session.id });
  const quietly = (what: string, work: Promise<unknown>): void => {
    work.catch((error: unknown) => telemetry.log.warn(`link.${what}.failed`, {}, error));
  };
  const say = (session: LinkSession, frame: LinkToDevice | string): void => {
    if (session.socket === undefined || session.ended) return;
    const outcome = session.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
    // the frame is gone: what it said is said again to the socket that comes next
    if (outcome === 'dropped') session.socket.close(LINK_CLOSE.slow, 'slow reader');
  };
  const end = (session: LinkSession, code: number, reason: string, retryAfterMs?: number): void => {
    if (session.ended) return;
    session.socket?.cork(() => {
      say(session, retryAfterMs === undefined ? { type: 'bye', reason } : { type: 'bye', reason, retryAfterMs });
      session.ended = true;
      session.socket?.close(code, reason);
    });
    session.ended = true;
  };
  const forget = (session: LinkSession): boolean => {
    wheel.remove(session);
    if (session.device === undefined || byDevice.get(session.device.id) !== session) return false;
    return byDevice.delete(session.device.id);
  };
  const supplant = (session: LinkSession): void => {
    forget(session);
    end(session, LINK_CLOSE.replaced, 'REPLACED');
  };

  const recheck = (devices: readonly LinkIdentity[]): void => {
    deps.revoked(devices).then(
      (revoked) => {
        for (const { id, gone } of revoked) {
          const session = byDevice.get(id);
          // it may have come again with the new token meanwhile
          if (session === undefined || !devices.some((device) => device === session.device)) continue;
          end(session, gone ? LINK_CLOSE.unknownDevice : LINK_CLOSE.revoked, gone ? 'DEVICE_DELETED' : 'TOKEN_REVOKED');
        }
      },
      (error: unknown) => telemetry.log.warn('link.tokens.failed', { sockets: devices.length }, error),
    );
  };
  /** L5 */
  const visit = (sessions: readonly LinkSession[]): void => {
    const now = clock.monotonic();
    const alive: { deviceId: string; place: Place; session: LinkSession }[] = [];
    for (const session of sessions) {
      if (session.device === undefined) continue;
      if (now - session.seenAt > heartbeatMs * 2.5) {
        end(session, LINK_CLOSE.heartbeat, 'HEARTBEAT');
        continue;
      }
      say(session, PING);
      alive.push({ deviceId: session.device.id, place: place(session), session });
    }
    if (alive.length === 0) return;
    presence.renew(alive).then(
      (lost) => {
        for (const index of lost) {
          const session = alive[index]?.session;
          if (session !== undefined) supplant(session);
        }
      },
      (error: unknown) => telemetry.log.warn('link.renew.failed', { sockets: alive.length }, error),
    );
    if (Math.floor(now / heartbeatMs) % TOKEN_ROUNDS === 0) recheck(alive.flatMap(({ session }) => session.device ?? []));
  };
  const wheel = createWheel<LinkSession>(clock, { roundMs: heartbeatMs, slots: SLOTS }, visit);

  return {
    of: (deviceId) => byDevice.get(deviceId),
    get size() {
      return byDevice.size;
    },
    say,
    end,
    async join(sessions) {
      for (const session of sessions) {
        const older = byDevice.get(session.device.id);
        if (older !== undefined) supplant(older);
        byDevice.set(session.device.id, session);
        wheel.add(session);
      }
      const claims = sessions.map((session) => ({ deviceId: session.device.id, place: place(session), ring: session.node === null }));
      const before = await presence.claim(claims);
      sessions.forEach((session, index) => {
        const was = before[index] ?? null;
        const deviceId = session.device.id;
        if (was !== null && was.gateway !== gateway) {
          outgoing.publish(gatewayChannel(was.gateway), { kind: 'link.close', deviceId, reason: 'REPLACED', socket: was.socket });
        }
        if (byDevice.get(deviceId) !== session) {
          // it went while it was being written: what it wrote must not stand
          if (!byDevice.has(deviceId)) quietly('drop', presence.drop(deviceId, place(session)));
        } else if (session.node !== null) {
          outgoing.publish(nodeChannel(session.node), { kind: 'link.up', deviceId, gateway, socket: session.id });
        }
      });
    },
    replaced(deviceId, socket) {
      const session = byDevice.get(deviceId);
      if (session !== undefined && (socket === undefined || session.id === socket)) supplant(session);
    },
    leave(session) {
      const { device, node } = session;
      if (!forget(session) || device === undefined) return;
      quietly('drop', presence.drop(device.id, place(session)));
      if (node !== null)
        outgoing.publish(nodeChannel(node), { kind: 'link.down', deviceId: device.id, socket: session.id, reason: 'CLOSED' });
    },
    stray(deviceId) {
      quietly(
        'drop',
        presence.dropIf(deviceId, (at) => at.gateway === gateway && byDevice.get(deviceId)?.id !== at.socket),
      );
    },
    stop: () => wheel.stop(),
  };
}
