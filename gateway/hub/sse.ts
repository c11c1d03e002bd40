import { Buffer } from 'node:buffer';
import type { GraphQLError } from 'graphql';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { isLiveSource, type LivePosition, type Viewer } from '../../schema/graphql/index.ts';
import type { HttpAnswer, HttpRequest } from '../server/index.ts';
import { createEventQueue, type EventQueue } from './event-queue.ts';
import type { Group, Member, MemberOwner } from './group.ts';
import type { Operations } from './operations.ts';
import type { OperationEngine, OperationRequest } from './port.ts';

/**
 * Subscriptions as server-sent events: one operation per request, members of the same groups as WebSocket operations.
 * Source: graphql-sse, PROTOCOL.md, "distinct connections mode"; `Last-Event-ID` and `id:` lines as in the HTML standard.
 * Owns: the open streams and their queues. Does not own: groups, sockets (gateway/server pulls the queue no faster than the client reads).
 * I1 At most `MAX_BYTES` are held for a reader; one that takes nothing for `stallMs` is cut off and may resume by Last-Event-ID.
 * I2 Everything that is no subscription on a live feed is left to the general way (null).
 */
export interface EventStreams {
  open(request: HttpRequest, viewer: Viewer): Promise<HttpAnswer | null>;
  /** heartbeats and stalled readers */
  attend(): void;
  /** ends the streams of keys that are refused */
  recheck(refused: (authorization: string | undefined, tenant: string | undefined, remote: string) => Promise<boolean>): Promise<void>;
  count(): number;
  close(): void;
}
export interface EventStreamsDeps {
  readonly engine: OperationEngine;
  readonly operations: Operations;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

interface Stream {
  readonly queue: EventQueue;
  readonly authorization: string | undefined;
  readonly tenant: string | undefined;
  readonly remote: string;
}

const COMPLETE = Buffer.from('event: complete\ndata:\n\n');
const isFields = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The request's operation; null when it is not one plain JSON operation (the general way says what is wrong with it). */
async function requestOf(request: HttpRequest): Promise<OperationRequest | null> {
  let given: unknown;
  try {
    if (request.method === 'GET') {
      const query = new URLSearchParams(request.query);
      given = {
        query: query.get('query'),
        operationName: query.get('operationName'),
        variables: JSON.parse(query.get('variables') ?? 'null'),
      };
    } else given = JSON.parse((await request.body()).toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
  if (!isFields(given) || typeof given['query'] !== 'string') return null;
  const { query, operationName, variables } = given;
  if (operationName !== undefined && operationName !== null && typeof operationName !== 'string') return null;
  if (variables !== undefined && variables !== null && !isFields(variables)) return null;
  return { query, operationName: operationName ?? null, variables: variables ?? null };
}

/** Where a reader that comes back says it stands. */
function lastEventId(request: HttpRequest): LivePosition | null {
  const [, epoch, seq] = /^([\w-]{1,64}):(\d{1,15})$/.exec(request.headers['last-event-id'] ?? '') ?? [];
  return epoch === undefined ? null : { epoch, seq: Number(seq) };
}

export function createEventStreams(
  deps: EventStreamsDeps,
  options: { readonly heartbeatMs: number; readonly stallMs: number },
): EventStreams {
  const { engine, operations, clock } = deps;
  const open = new Set<Stream>();
  const owner: MemberOwner = {
    fail(member, errors: readonly GraphQLError[]) {
      member.socket.send(Buffer.from(`event: next\ndata: ${JSON.stringify({ errors })}\n\n`));
      member.socket.close(1000, 'ended');
    },
  };

  return {
    async open(request, viewer) {
      if (!/\btext\/event-stream\b/.test(request.headers['accept'] ?? '')) return null;
      const asked = await requestOf(request);
      if (asked === null) return null;
      const operation = engine.prepare(asked, viewer);
      if ('errors' in operation || operation.kind !== 'subscription') return null;
      const source = await engine.subscribe(operation, viewer);
      if (!isLiveSource(source)) return null;
      let group: Group | undefined;
      let member: Member | undefined;
      const queue = createEventQueue({
        clock,
        remote: request.remote,
        last: COMPLETE,
        drained: () => group?.wake(),
        closed() {
          if (member !== undefined) group?.leave(member);
          open.delete(stream);
        },
      });
      const stream: Stream = {
        queue,
        authorization: request.headers['authorization'],
        tenant: request.headers['x-flotilla-tenant'],
        remote: request.remote,
      };
      if (!request.signal.aborted) {
        request.signal.addEventListener('abort', () => queue.cut(), { once: true });
        group = operations.groupOf(operation, viewer, asked, source);
        const since = source.since ?? lastEventId(request);
        const place = since === null ? null : { position: since, version: undefined };
        member = { owner, id: '', serial: 0, socket: queue.socket, head: undefined, place, greeting: undefined };
        open.add(stream);
        group.join(member);
      } else queue.cut();
      return {
        status: 200,
        headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no' },
        body: queue.chunks(),
        cut: queue.stalled,
      };
    },
    attend() {
      for (const { queue } of open) queue.attend(options.heartbeatMs, options.stallMs);
    },
    async recheck(refused) {
      for (const { queue, authorization, tenant, remote } of [...open]) {
        if (await refused(authorization, tenant, remote)) queue.socket.close(4403, 'Forbidden');
      }
    },
    count: () => open.size,
    close() {
      for (const { queue } of [...open]) queue.cut();
    },
  };
}
