import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { Viewer } from '../../schema/graphql/index.ts';
import type { Socket, UpgradeInfo, UpgradeVerdict, WebSocketBehaviour } from '../server/index.ts';
import { CLOSE } from './close-codes.ts';
import { type Connection, createOperations } from './operations.ts';
import { isDenied, type OperationEngine } from './port.ts';
import { createSession, SESSION_LIMITS, type SessionEffect, type SessionLimits } from './session.ts';

/**
 * GraphQL over WebSocket: runs the effects of each session and shares executions among them.
 * Owns: open connections and their keys. Does not own: the protocol (session.ts), what runs (operations.ts), what is owed (group.ts).
 * Called by gateway/gateway.ts through the server's behaviour.
 * I1 Keys are looked at again every `recheckMs`: a revoked or expired one closes its sockets with 4403.
 */
export interface Hub {
  readonly behaviour: WebSocketBehaviour<Connection>;
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
  readonly limits?: Partial<SessionLimits>;
  /** closes a reader that takes nothing for this long; default 15 000 */
  readonly stallMs?: number;
}

const SUBPROTOCOL = 'graphql-transport-ws';
const MAX_MESSAGE_BYTES = 128 * 1024;

export function originAllowed(info: Pick<UpgradeInfo, 'origin' | 'headers'>, allowed: readonly string[]): boolean {
  if (info.origin === undefined) return true;
  if (allowed.includes(info.origin)) return true;
  try {
    return new URL(info.origin).host === info.headers['host'];
  } catch {
    return false;
  }
}

export function createHub(deps: HubDeps, options: HubOptions): Hub {
  const { engine, clock, telemetry } = deps;
  const limits = { ...SESSION_LIMITS, ...options.limits };
  const connections = new Map<Connection, Socket>();
  const fault = (socket: Socket, connection: Connection): void =>
    apply(socket, connection, connection.session.denied(CLOSE.internal, 'Internal server error'));
  const { start, groups } = createOperations(deps, { tickMs: options.tickMs, fault });
  telemetry.gauge('groups', groups);
  telemetry.gauge('operations', () => [...connections.keys()].reduce((sum, connection) => sum + connection.running.size, 0));

  /** A key with other rights or another tenant: what runs starts over under it. */
  const restart = (socket: Socket, connection: Connection): void => {
    for (const [serial, { id, request, stop, group }] of [...connection.running]) {
      if (group === undefined) continue;
      stop();
      start(socket, connection, serial, id, request);
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
    Object.assign(connection, { viewer: answer, authorization, tenant });
    if (effect.first) apply(socket, connection, connection.session.admitted());
    else if (before !== undefined && rightsOf(before) !== rightsOf(answer)) restart(socket, connection);
  };
  const apply = (socket: Socket, connection: Connection, effects: readonly SessionEffect[]): void => {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send':
          socket.send(effect.text);
          break;
        case 'close':
          if (effect.code === CLOSE.abuse) telemetry.count('limit.rejected', 1, { limit: 'ws-messages' });
          socket.close(effect.code, effect.reason);
          break;
        case 'authenticate':
          if (effect.first) connection.cancelInit();
          authenticate(socket, connection, effect).catch((error: unknown) => {
            telemetry.log.error('hub.authenticate', {}, error);
            apply(socket, connection, connection.session.denied(CLOSE.internal, 'Internal server error'));
          });
          break;
        case 'start':
          start(socket, connection, effect.serial, effect.id, effect.request);
          break;
        case 'stop': {
          const running = connection.running.get(effect.serial);
          connection.running.delete(effect.serial);
          running?.stop();
          break;
        }
      }
    }
  };

  /** I1; one look per key, however many sockets it has open. */
  const recheck = async (): Promise<void> => {
    const asked = new Map<string, ReturnType<OperationEngine['authenticate']>>();
    for (const [connection, socket] of connections) {
      const { authorization, tenant } = connection;
      if (connection.viewer === undefined) continue;
      const key = `${authorization ?? ''}\n${tenant ?? ''}`;
      const answer = asked.get(key) ?? engine.authenticate({ authorization, tenant, remote: socket.remote });
      asked.set(key, answer);
      const verdict = await answer;
      if (isDenied(verdict) && verdict.kind === 'refused' && connection.authorization === authorization) {
        apply(socket, connection, connection.session.denied(CLOSE.forbidden, 'Forbidden'));
      }
    }
  };
  const recheckLater = (): (() => void) =>
    clock.after(
      options.recheckMs ?? 5_000,
      () => {
        recheck()
          .catch((error: unknown) => telemetry.log.warn('hub.recheck', {}, error))
          .finally(() => {
            if (!closed) cancelRecheck = recheckLater();
          });
      },
      { background: true },
    );
  let closed = false;
  let cancelRecheck = recheckLater();

  const upgrade = (info: UpgradeInfo): UpgradeVerdict<Connection> => {
    if (!originAllowed(info, options.allowedOrigins)) {
      telemetry.count('limit.rejected', 1, { limit: 'origin' });
      return { accept: false, status: 403, message: 'this Origin may not open sockets here: see ALLOWED_ORIGINS' };
    }
    const spoken = info.protocols.includes(SUBPROTOCOL);
    const state: Connection = {
      session: createSession(limits),
      spoken,
      running: new Map(),
      viewer: undefined,
      authorization: undefined,
      tenant: undefined,
      cancelInit: () => undefined,
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
        connection.cancelInit = clock.after(
          options.initTimeoutMs ?? 3_000,
          () => apply(socket, connection, connection.session.initTimeout()),
          { background: true },
        );
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
      close(_socket, connection) {
        connection.cancelInit();
        connections.delete(connection);
        connection.session.denied(CLOSE.restart, 'closed');
        for (const running of connection.running.values()) running.stop();
        connection.running.clear();
      },
    },
    close() {
      closed = true;
      cancelRecheck();
    },
  };
}

function rightsOf(viewer: Viewer): string {
  return `${viewer.tenantId} ${[...viewer.scopes].sort().join('+')} ${viewer.installation}`;
}
