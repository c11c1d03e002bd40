import type { ExecutionResult, GraphQLError } from 'graphql';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { isLiveSource, type LivePosition, type LiveSource, type Viewer } from '../../schema/graphql/index.ts';
import type { Socket } from '../server/index.ts';
import { CLOSE } from './close-codes.ts';
import { createHeads } from './frame.ts';
import { createGroup, type Group, type Member, type MemberOwner } from './group.ts';
import { groupKey, rightsOf } from './group-key.ts';
import type { OperationEngine, OperationRequest, PreparedOperation } from './port.ts';
import type { Session } from './session.ts';
import { createTicker } from './ticker.ts';

/**
 * Runs operations and sends what comes of them; subscriptions on live feeds join a group.
 * Owns: the groups. Does not own: connections (hub.ts), event streams (sse.ts). Called by both.
 * I1 Whatever comes back late is sent only if that life of the id still runs (session I3).
 * I2 What runs under a key's rights is what the connection has: rights that change while an operation is prepared start it over.
 * I3 An answer that the socket's buffer refuses is never just missing: the socket is closed with 4503.
 */
export interface Operations {
  start(socket: Socket, connection: Connection, running: Running, serial: number): void;
  /** the group for an operation on a live feed; made when there is none */
  groupOf(operation: PreparedOperation, viewer: Viewer, request: OperationRequest, source: LiveSource<LivePosition>): Group;
  /** how many there are */
  groups(): number;
  close(): void;
}
export interface OperationsDeps {
  readonly engine: OperationEngine;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}
/** One operation of a connection; `group` and `member` once it shares, `end` once it iterates alone. */
export interface Running {
  readonly id: string;
  request: OperationRequest;
  group: Group | undefined;
  member: Member | undefined;
  end: (() => void) | undefined;
}
export interface Connection {
  readonly session: Session;
  readonly spoken: boolean;
  readonly running: Map<number, Running>;
  viewer: Viewer | undefined;
  authorization: string | undefined;
  tenant: string | undefined;
  owner: MemberOwner | undefined;
  /** under which key and tenant it is counted */
  seat: { readonly key: string; readonly tenant: string } | undefined;
  cancelInit: () => void;
}

/** Nothing of it is sent any more. */
export function stop(running: Running): void {
  if (running.member !== undefined) running.group?.leave(running.member);
  running.end?.();
  running.group = undefined;
  running.member = undefined;
  running.end = undefined;
}

/** I3. */
export function speak(socket: Socket, text: string): void {
  if (socket.send(text) === 'dropped') socket.close(CLOSE.stalled, 'the reader is too slow');
}

interface Job {
  readonly operation: PreparedOperation;
  readonly viewer: Viewer;
  readonly running: Running;
}

export function createOperations(
  deps: OperationsDeps,
  options: { readonly tickMs: number; readonly fault: (socket: Socket, connection: Connection) => void },
): Operations {
  const { engine, clock, telemetry } = deps;
  const groups = new Map<string, Group>();
  const ticker = createTicker(clock, options.tickMs);
  const headOf = createHeads();

  const end = (connection: Connection, serial: number, id: string): void => {
    connection.running.delete(serial);
    connection.session.finished(id, serial);
  };
  const failed = (socket: Socket, connection: Connection, serial: number, id: string, errors: readonly GraphQLError[]): void => {
    if (!connection.session.live(id, serial)) return;
    end(connection, serial, id);
    speak(socket, JSON.stringify({ id, type: 'error', payload: errors }));
  };
  const answered = (socket: Socket, connection: Connection, serial: number, id: string, result: ExecutionResult): void => {
    if (!connection.session.live(id, serial)) return;
    end(connection, serial, id);
    socket.cork(() => {
      speak(socket, JSON.stringify({ id, type: 'next', payload: result }));
      speak(socket, JSON.stringify({ id, type: 'complete' }));
    });
  };
  const groupOf: Operations['groupOf'] = (operation, viewer, request, source) => {
    const key = groupKey(operation, viewer);
    const known = groups.get(key);
    if (known !== undefined) return known;
    const onEmpty = (): void => {
      if (groups.get(key) === made) groups.delete(key);
    };
    const made = createGroup({ engine, clock, telemetry, ticker, onEmpty }, { feed: source.feed, operation, viewer, query: request.query });
    groups.set(key, made);
    return made;
  };
  const ownerOf = (connection: Connection): MemberOwner => {
    connection.owner ??= {
      fail(member, errors) {
        const running = connection.running.get(member.serial);
        if (running !== undefined) stop(running);
        failed(member.socket, connection, member.serial, member.id, errors);
      },
    };
    return connection.owner;
  };
  const joinGroup = (socket: Socket, connection: Connection, serial: number, job: Job, source: LiveSource<LivePosition>): void => {
    const { running, operation, viewer } = job;
    const { id, request } = running;
    const group = groupOf(operation, viewer, request, source);
    // the text of the query once for all, not once for each
    running.request = { query: group.query, operationName: request.operationName, variables: request.variables };
    running.group = group;
    running.member = {
      owner: ownerOf(connection),
      id,
      serial,
      socket,
      head: headOf(id),
      place: source.since === null ? null : { position: source.since, version: undefined },
      greeting: undefined,
    };
    group.join(running.member);
  };
  /** A source that is no live feed: one execution per event and operation, waiting for the reader. */
  const iterate = async (
    socket: Socket,
    connection: Connection,
    serial: number,
    { running, operation, viewer }: Job,
    source: AsyncIterable<unknown>,
  ): Promise<void> => {
    const { id } = running;
    const iterator = source[Symbol.asyncIterator]();
    running.end = () => void iterator.return?.();
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      const result = await engine.execute(operation, viewer, next.value);
      if (running.end === undefined || !connection.session.live(id, serial)) return;
      speak(socket, JSON.stringify({ id, type: 'next', payload: result }));
      while (socket.full() && !socket.closed) await clock.sleep(50);
    }
    if (running.end === undefined || !connection.session.live(id, serial)) return;
    end(connection, serial, id);
    speak(socket, JSON.stringify({ id, type: 'complete' }));
  };
  const run = async (socket: Socket, connection: Connection, serial: number, running: Running): Promise<void> => {
    const { viewer } = connection;
    const { id, request } = running;
    if (viewer === undefined) throw new Error('an operation was started before the key was checked');
    const operation = engine.prepare(request, viewer);
    if ('errors' in operation) {
      failed(socket, connection, serial, id, operation.errors);
      return;
    }
    const job: Job = { operation, viewer, running };
    if (operation.kind !== 'subscription') {
      answered(socket, connection, serial, id, await engine.execute(operation, viewer));
      return;
    }
    const source = await engine.subscribe(operation, viewer);
    const wanted = connection.session.live(id, serial);
    const rightsHold = connection.viewer !== undefined && rightsOf(connection.viewer) === rightsOf(viewer);
    if (Symbol.asyncIterator in source && !(wanted && rightsHold)) {
      // a generator that was never started is done with `return`; a live source has nothing to give back
      if (!isLiveSource(source)) await source[Symbol.asyncIterator]().return?.();
      if (wanted) await run(socket, connection, serial, running);
    } else if (!(Symbol.asyncIterator in source)) answered(socket, connection, serial, id, source);
    else if (isLiveSource(source)) joinGroup(socket, connection, serial, job, source);
    else await iterate(socket, connection, serial, job, source);
  };
  const start: Operations['start'] = (socket, connection, running, serial) => {
    connection.running.set(serial, running);
    run(socket, connection, serial, running).catch((error: unknown) => {
      telemetry.log.error('hub.operation', {}, error);
      options.fault(socket, connection);
    });
  };
  return {
    start,
    groupOf,
    groups: () => groups.size,
    close() {
      for (const group of [...groups.values()]) group.close();
    },
  };
}
