import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { Viewer } from '../../schema/graphql/index.ts';
import { createCrowd, originAllowed } from '../auth/index.ts';
import type { HttpAnswer, HttpRequest, Socket, UpgradeInfo, UpgradeVerdict, WebSocketBehaviour } from '../server/index.ts';
import { CLOSE } from './close-codes.ts';
import { rightsOf } from './group-key.ts';
import { type Connection, createOperations, speak, stop } from './operations.ts';
import { isDenied, type OperationEngine } from './port.ts';
import { createSession, SESSION_LIMITS, type SessionEffect, type SessionLimits } from './session.ts';
import { createEventStreams } from './sse.ts';

/**
 * GraphQL over WebSocket: runs the effects of each session and shares executions among them.
 * Owns: open connections and their keys. Does not own: the protocol (session.ts), what runs (operations.ts), what is owed (group.ts).
 * Called by gateway/gateway.ts through the server's behaviour; gateway/graphql hands over event streams.
 * I1 Keys are looked at again every `recheckMs`: a revoked or expired one closes its sockets with 4403 and ends its
 *    event streams; when one was revoked, at once.
 * I2 Every `heartbeatMs` each connection is told in a `ping` where its operations stand: browsers do not see the protocol's own pings,
 *    and a client can see that it has all there is.
 * I3 One address, key or tenant has only so many sockets: more are refused with 429 at the upgrade, or closed with 1013 once the key is known.
 */
export interface Hub {
  readonly behaviour: WebSocketBehaviour<Connection>;
  /** answers a subscription asked for as an event stream (graphql-sse, distinct connections); null for all else */
  eventStream(request: HttpRequest, viewer: Viewer): Promise<HttpAnswer | null>;
  /** a key was revoked: who holds it open is looked at now */
  revoked(keyId: string): void;
  close(): void;
}
export interface HubDeps {
  readonly engine: OperationEngine;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}
export interface HubOptions {
  readonly tickMs: number;
  /** other Origins that may open sockets; the gateway's own always may, and clients that send none (no browsers) */
  readonly allowedOrigins: readonly string[];
  readonly initTimeoutMs?: number;
  readonly recheckMs?: number;
  /** between two heartbeats of a connection; default 15 000 */
  readonly heartbeatMs?: number;
  readonly limits?: Partial<SessionLimits>;
  /** sockets open at once; 0 = no limit */
  readonly sockets?: { readonly perAddress: number; readonly perKey: number; readonly perTenant: number };
  /** closes a reader that takes nothing for this long; default 15 000 */
  readonly stallMs?: number;
}

const SUBPROTOCOL = 'graphql-transport-ws';
const MAX_MESSAGE_BYTES = 128 * 1024;
const NOTHING = (): void => {};
/** a timer that comes so much later than asked for shows that the loop was held up */
const STOOD_STILL_MS = 250;

export function createHub(deps: HubDeps, options: HubOptions): Hub {
  const { engine, clock, telemetry } = deps;
  const limits = { ...SESSION_LIMITS, ...options.limits };
  const connections = new Map<Connection, Socket>();
  const crowds = {
    address: createCrowd(options.sockets?.perAddress ?? 0),
    key: createCrowd(options.sockets?.perKey ?? 0),
    tenant: createCrowd(options.sockets?.perTenant ?? 0),
  };
  const fault = (socket: Socket, connection: Connection): void =>
    apply(socket, connection, connection.session.denied(CLOSE.internal, 'Internal server error'));
  const operations = createOperations(deps, { tickMs: options.tickMs, fault });
  const { start, groups } = operations;
  const heartbeatMs = options.heartbeatMs ?? 15_000;
  const streams = createEventStreams({ ...deps, operations }, { heartbeatMs, stallMs: options.stallMs ?? 15_000 });
  telemetry.gauge('groups', groups);
  telemetry.gauge('operations', () => [...connections.keys()].reduce((sum, connection) => sum + connection.running.size, streams.count()));

  /** I3: counts a connection under its key and tenant, and no longer under those it had */
  const admit = (connection: Connection, viewer: Viewer): boolean => {
    const { seat } = connection;
    if (seat?.key === viewer.keyId && seat.tenant === viewer.tenantId) return true;
    if (!crowds.key.enter(viewer.keyId)) return false;
    if (!crowds.tenant.enter(viewer.tenantId)) {
      crowds.key.leave(viewer.keyId);
      return false;
    }
    leave(connection);
    connection.seat = { key: viewer.keyId, tenant: viewer.tenantId };
    return true;
  };
  const leave = (connection: Connection): void => {
    if (connection.seat === undefined) return;
    crowds.key.leave(connection.seat.key);
    crowds.tenant.leave(connection.seat.tenant);
    connection.seat = undefined;
  };
  /** A key with other rights or another tenant: what runs starts over under it. */
  const restart = (socket: Socket, connection: Connection): void => {
    for (const [serial, running] of [...connection.running]) {
      if (running.group === undefined) continue;
      stop(running);
      start(socket, connection, running, serial);
    }
  };
  const authenticate = async (
    socket: Socket,
    connection: Connection,
    effect: SessionEffect & { readonly kind: 'authenticate' },
  ): Promise<void> => {
    const { authorization, tenant } = effect;
    const answer = await engine.authenticate({ authorization, tenant, remote: socket.remote });
    if (isDenied(answer)) {
      const code = answer.kind === 'unavailable' ? CLOSE.tryLater : CLOSE.forbidden;
      apply(socket, connection, connection.session.denied(code, answer.kind === 'unavailable' ? 'Try again later' : 'Forbidden'));
      return;
    }
    const before = connection.viewer;
    if (!admit(connection, answer)) {
      telemetry.count('limit.rejected', 1, { limit: 'sockets_key' });
      apply(socket, connection, connection.session.denied(CLOSE.tryLater, 'Too many sockets of this key or tenant'));
      return;
    }
    Object.assign(connection, { viewer: answer, authorization, tenant });
    if (effect.first) apply(socket, connection, connection.session.admitted());
    else if (before !== undefined && rightsOf(before) !== rightsOf(answer)) restart(socket, connection);
  };
  const apply = (socket: Socket, connection: Connection, effects: readonly SessionEffect[]): void => {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send':
          speak(socket, effect.text);
          break;
        case 'close':
          if (effect.code === CLOSE.abuse) telemetry.count('limit.rejected', 1, { limit: 'ws-messages' });
          socket.close(effect.code, effect.reason);
          break;
        case 'authenticate':
          if (effect.first) {
            connection.cancelInit();
            connection.cancelInit = NOTHING;
          }
          authenticate(socket, connection, effect).catch((error: unknown) => {
            telemetry.log.error('hub.authenticate', {}, error);
            apply(socket, connection, connection.session.denied(CLOSE.internal, 'Internal server error'));
          });
          break;
        case 'start':
          start(
            socket,
            connection,
            { id: effect.id, request: effect.request, group: undefined, member: undefined, end: undefined },
            effect.serial,
          );
          break;
        case 'stop': {
          const running = connection.running.get(effect.serial);
          connection.running.delete(effect.serial);
          if (running !== undefined) stop(running);
          break;
        }
      }
    }
  };

  /** I1; one look per key, and one wait, however many sockets it has open. */
  const recheck = async (only?: string): Promise<void> => {
    const nameOf = (authorization: string | undefined, tenant: string | undefined): string => `${authorization ?? ''}\n${tenant ?? ''}`;
    const asked = new Map<string, Promise<boolean>>();
    const refused = (authorization: string | undefined, tenant: string | undefined, remote: string): Promise<boolean> => {
      const name = nameOf(authorization, tenant);
      const known = asked.get(name);
      if (known !== undefined) return known;
      const made = engine
        .authenticate({ authorization, tenant, remote })
        .then((verdict) => isDenied(verdict) && verdict.kind === 'refused');
      asked.set(name, made);
      return made;
    };
    const holders = new Map<string, [Connection, Socket][]>();
    for (const [connection, socket] of connections) {
      if (connection.viewer === undefined || (only !== undefined && connection.viewer.keyId !== only)) continue;
      const name = nameOf(connection.authorization, connection.tenant);
      const held = holders.get(name);
      if (held === undefined) holders.set(name, [[connection, socket]]);
      else held.push([connection, socket]);
    }
    for (const [name, held] of holders) {
      const [first] = held;
      if (first === undefined || !(await refused(first[0].authorization, first[0].tenant, first[1].remote))) continue;
      for (const [connection, socket] of held) {
        // a socket that has shown another key meanwhile
        if (nameOf(connection.authorization, connection.tenant) !== name) continue;
        apply(socket, connection, connection.session.denied(CLOSE.forbidden, 'Forbidden'));
      }
    }
    await streams.recheck(refused);
  };
  /** Every connection once per `heartbeatMs`, a slice of them at each beat. */
  const SLICES = 15;
  let beat = 0;
  const heartbeat = async (): Promise<void> => {
    beat = (beat + 1) % SLICES;
    let index = 0;
    for (const [connection, socket] of connections) {
      index += 1;
      if (index % SLICES !== beat || !connection.session.acknowledged || socket.full()) continue;
      const live: [string, unknown][] = [];
      for (const { id, member } of connection.running.values()) {
        if (member !== undefined && member.place !== null) live.push([id, member.place.position]);
      }
      speak(socket, JSON.stringify({ type: 'ping', payload: { live: Object.fromEntries(live) } }));
    }
    streams.attend();
  };
  const every = (ms: number, event: string, task: () => Promise<void>): (() => void) => {
    let cancel = (): void => {};
    const later = (): void => {
      cancel = clock.after(
        ms,
        () => {
          task()
            .catch((error: unknown) => telemetry.log.warn(event, {}, error))
            .finally(() => {
              if (!closed) later();
            });
        },
        { background: true },
      );
    };
    later();
    return () => cancel();
  };
  /** A gateway that stood still has not read yet what came in time: it reads first and judges then. */
  const awaitInit = (socket: Socket, connection: Connection, waitMs: number): void => {
    const due = clock.monotonic() + waitMs;
    connection.cancelInit = clock.after(
      waitMs,
      () => {
        if (clock.monotonic() - due > STOOD_STILL_MS) awaitInit(socket, connection, STOOD_STILL_MS);
        else apply(socket, connection, connection.session.initTimeout());
      },
      { background: true },
    );
  };
  let closed = false;
  const loops = [
    every(options.recheckMs ?? 1_000, 'hub.recheck', () => recheck()),
    every(heartbeatMs / SLICES, 'hub.heartbeat', heartbeat),
  ];

  const upgrade = (info: UpgradeInfo): UpgradeVerdict<Connection> => {
    if (!originAllowed(info, options.allowedOrigins)) {
      telemetry.count('limit.rejected', 1, { limit: 'origin' });
      return { accept: false, status: 403, message: 'this Origin may not open sockets here: see ALLOWED_ORIGINS' };
    }
    if (!crowds.address.enter(info.remote)) {
      telemetry.count('limit.rejected', 1, { limit: 'sockets_address' });
      return { accept: false, status: 429, message: 'too many sockets from this address', headers: { 'retry-after': '5' } };
    }
    const spoken = info.protocols.includes(SUBPROTOCOL);
    const state: Connection = {
      session: createSession(limits),
      spoken,
      running: new Map(),
      viewer: undefined,
      authorization: undefined,
      tenant: undefined,
      owner: undefined,
      seat: undefined,
      cancelInit: NOTHING,
    };
    return { accept: true, protocol: spoken ? SUBPROTOCOL : undefined, state };
  };
  return {
    behaviour: {
      kind: 'graphql',
      maxPayloadBytes: MAX_MESSAGE_BYTES,
      ...(options.stallMs === undefined ? {} : { stallMs: options.stallMs }),
      upgrade,
      open(socket, connection) {
        if (!connection.spoken) {
          socket.close(CLOSE.subprotocol, 'Subprotocol not acceptable');
          return;
        }
        connections.set(connection, socket);
        awaitInit(socket, connection, options.initTimeoutMs ?? 3_000);
      },
      message(socket, connection, data, binary) {
        const { session } = connection;
        const effects = binary
          ? session.denied(CLOSE.badRequest, 'Only text messages')
          : session.receive(data.toString('utf8'), clock.monotonic());
        apply(socket, connection, effects);
      },
      drain(_socket, connection) {
        for (const { group } of connection.running.values()) group?.wake();
      },
      close(socket, connection) {
        crowds.address.leave(socket.remote);
        leave(connection);
        connection.cancelInit();
        connections.delete(connection);
        connection.session.denied(CLOSE.restart, 'closed');
        for (const running of connection.running.values()) stop(running);
        connection.running.clear();
      },
    },
    eventStream: streams.open,
    revoked: (keyId) => void recheck(keyId).catch((error: unknown) => telemetry.log.warn('hub.recheck', {}, error)),
    close() {
      closed = true;
      for (const cancel of loops) cancel();
      streams.close();
      operations.close();
    },
  };
}
