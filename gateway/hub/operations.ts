import type { ExecutionResult, GraphQLError } from 'graphql';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { isLiveSource, type LivePosition, type LiveSource, type Viewer } from '../../schema/graphql/index.ts';
import type { Socket } from '../server/index.ts';
import { headOf } from './frame.ts';
import { createGroup, type Group, type Member } from './group.ts';
import { groupKey } from './group-key.ts';
import type { OperationEngine, OperationRequest, PreparedOperation } from './port.ts';
import type { Session } from './session.ts';

/**
 * Runs operations and sends what comes of them; subscriptions on live feeds join a group.
 * Owns: the groups. Does not own: connections (hub.ts). Called by hub.ts.
 * I1 Whatever comes back late is sent only if that life of the id still runs (session I3).
 */
export interface Operations {
  start(socket: Socket, connection: Connection, serial: number, id: string, request: OperationRequest): void;
  /** how many there are */
  groups(): number;
}
export interface OperationsDeps {
  readonly engine: OperationEngine;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}
export interface Running {
  readonly id: string;
  readonly request: OperationRequest;
  stop(): void;
  readonly group?: Group;
}
export interface Connection {
  readonly session: Session;
  readonly spoken: boolean;
  readonly running: Map<number, Running>;
  viewer: Viewer | undefined;
  authorization: string | undefined;
  tenant: string | undefined;
  cancelInit: () => void;
}

interface Job {
  readonly operation: PreparedOperation;
  readonly viewer: Viewer;
  readonly request: OperationRequest;
}

export function createOperations(
  deps: OperationsDeps,
  options: { readonly tickMs: number; readonly fault: (socket: Socket, connection: Connection) => void },
): Operations {
  const { engine, clock, telemetry } = deps;
  const groups = new Map<string, Group>();

  const say = (socket: Socket, message: unknown): void => void socket.send(JSON.stringify(message));
  const end = (connection: Connection, serial: number, id: string): void => {
    connection.running.delete(serial);
    connection.session.finished(id, serial);
  };
  const failed = (socket: Socket, connection: Connection, serial: number, id: string, errors: readonly GraphQLError[]): void => {
    if (!connection.session.live(id, serial)) return;
    end(connection, serial, id);
    say(socket, { id, type: 'error', payload: errors });
  };
  const answered = (socket: Socket, connection: Connection, serial: number, id: string, result: ExecutionResult): void => {
    if (!connection.session.live(id, serial)) return;
    end(connection, serial, id);
    socket.cork(() => {
      say(socket, { id, type: 'next', payload: result });
      say(socket, { id, type: 'complete' });
    });
  };
  const joinGroup = (
    socket: Socket,
    connection: Connection,
    serial: number,
    id: string,
    job: Job,
    source: LiveSource<LivePosition>,
  ): void => {
    const key = groupKey(job.operation, job.viewer);
    let group = groups.get(key);
    if (group === undefined) {
      const onEmpty = (): void => {
        if (groups.get(key) === made) groups.delete(key);
      };
      const made = createGroup({ engine, clock, telemetry, tickMs: options.tickMs, onEmpty }, source.feed, job.operation, job.viewer);
      group = made;
      groups.set(key, made);
    }
    const joined = group;
    const member: Member = {
      head: headOf(id),
      socket,
      position: source.since,
      version: undefined,
      live: () => connection.session.live(id, serial),
      fail(errors) {
        joined.leave(member);
        failed(socket, connection, serial, id, errors);
      },
    };
    connection.running.set(serial, { id, request: job.request, group: joined, stop: () => joined.leave(member) });
    joined.join(member);
  };
  /** A source that is no live feed: one execution per event and operation, waiting for the reader. */
  const iterate = async (
    socket: Socket,
    connection: Connection,
    serial: number,
    id: string,
    job: Job,
    source: AsyncIterable<unknown>,
  ): Promise<void> => {
    const iterator = source[Symbol.asyncIterator]();
    connection.running.set(serial, { id, request: job.request, stop: () => void iterator.return?.() });
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      const result = await engine.execute(job.operation, job.viewer, next.value);
      if (!connection.session.live(id, serial)) return;
      say(socket, { id, type: 'next', payload: result });
      while (socket.full() && !socket.closed) await clock.sleep(50);
    }
    if (!connection.session.live(id, serial)) return;
    end(connection, serial, id);
    say(socket, { id, type: 'complete' });
  };
  const run = async (socket: Socket, connection: Connection, serial: number, id: string, request: OperationRequest): Promise<void> => {
    const { viewer } = connection;
    if (viewer === undefined) throw new Error('an operation was started before the key was checked');
    const operation = engine.prepare(request, viewer);
    if ('errors' in operation) {
      failed(socket, connection, serial, id, operation.errors);
      return;
    }
    const job: Job = { operation, viewer, request };
    if (operation.kind !== 'subscription') {
      answered(socket, connection, serial, id, await engine.execute(operation, viewer));
      return;
    }
    const source = await engine.subscribe(operation, viewer);
    if (!(Symbol.asyncIterator in source)) answered(socket, connection, serial, id, source);
    else if (!connection.session.live(id, serial)) await source[Symbol.asyncIterator]().return?.();
    else if (isLiveSource(source)) joinGroup(socket, connection, serial, id, job, source);
    else await iterate(socket, connection, serial, id, job, source);
  };
  const start = (socket: Socket, connection: Connection, serial: number, id: string, request: OperationRequest): void => {
    connection.running.set(serial, { id, request, stop() {} });
    run(socket, connection, serial, id, request).catch((error: unknown) => {
      telemetry.log.error('hub.operation', {}, error);
      options.fault(socket, connection);
    });
  };
  return { start, groups: () => groups.size };
}
