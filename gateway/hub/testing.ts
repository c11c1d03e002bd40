import { createHash } from 'node:crypto';
import { buildSchema, createSourceEventStream, execute, parse, validate } from 'graphql';
import WebSocket from 'ws';
import { createLifetime, type Lifetime, seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { type LiveFeed, type LivePosition, SCOPES, type Viewer } from '../../schema/graphql/index.ts';
import { createServer, type Server } from '../server/index.ts';
import { createHub, type HubOptions } from './hub.ts';
import type { OperationEngine, PreparedOperation } from './port.ts';

/** A hub on a real server with a schema and feeds of the test's own: no Redis, no Postgres. */

export const testViewer: Viewer = { tenantId: 't', keyId: 'k', keyName: 'k', scopes: new Set(SCOPES), installation: false };

interface Tick extends LivePosition {
  readonly from: number;
  readonly value: number;
}

/** A feed one can push into. It remembers the last `keep` updates. */
export function createTestFeed(kind: LiveFeed<Tick>['kind'], keep = 1_000): LiveFeed<Tick> & { push(value: number, times?: number): void } {
  const updates: Tick[] = [];
  const listeners = new Set<() => void>();
  let top: LivePosition = { epoch: 'e', seq: 0 };
  let value = 0;
  return {
    kind,
    ready: () => Promise.resolve(),
    top: () => top,
    version: () => 0,
    snapshot: () => (kind === 'state' ? { ...top, from: top.seq, value } : undefined),
    range(from) {
      const oldest = updates[0]?.from ?? top.seq;
      if (from.epoch !== top.epoch || from.seq > top.seq || from.seq < oldest) return { kind: 'gap' };
      const missed = updates.filter((update) => update.seq > from.seq);
      if (kind !== 'state' || missed.length === 0) return { kind: 'updates', updates: missed };
      return { kind: 'updates', updates: [{ ...top, from: from.seq, value }] };
    },
    watch(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    push(next, times = 1) {
      for (let count = 0; count < times; count++) {
        value = next + count;
        updates.push({ epoch: 'e', from: top.seq, seq: top.seq + 1, value });
        top = { epoch: 'e', seq: top.seq + 1 };
      }
      updates.splice(0, Math.max(0, updates.length - keep));
      for (const listener of listeners) listener();
    },
  };
}

const SDL = `
  type Query { hello: String! slow: String! fail: String! }
  type Mutation { add(n: Int!): Int! }
  input LivePosition { epoch: String! seq: Float! }
  type Tick { epoch: String! from: Float! seq: Float! value: Int! pad: String! }
  type Subscription { state(since: LivePosition, n: Int): Tick! events(since: LivePosition): Tick! telemetry: Tick! count(to: Int!): Int! broken: Int! }
`;

export interface TestHub {
  readonly port: number;
  readonly server: Server;
  readonly state: ReturnType<typeof createTestFeed>;
  readonly events: ReturnType<typeof createTestFeed>;
  readonly telemetry: ReturnType<typeof createTestFeed>;
  readonly lifetime: Lifetime;
  /** operations that run now, over sockets and as event streams */
  operations(): number;
  /** executions of subscription events so far */
  executions(): number;
  readonly keys: Map<string, Viewer>;
  /** what was shown as a key, each time the hub has its answer */
  readonly checked: readonly (string | undefined)[];
  releaseSlow(): void;
}

export async function startTestHub(options: Partial<HubOptions> & { pad?: number; keep?: number } = {}): Promise<TestHub> {
  const lifetime = createLifetime();
  const telemetry = createTelemetry({
    service: 'test',
    instance: 'hub',
    level: 'error',
    samplePercent: 0,
    otlpEndpoint: undefined,
    write() {},
  });
  const schema = buildSchema(SDL);
  const state = createTestFeed('state', options.keep);
  const events = createTestFeed('events', options.keep);
  const figures = createTestFeed('telemetry', options.keep);
  const keys = new Map<string, Viewer>([['good', testViewer]]);
  const checked: (string | undefined)[] = [];
  const pad = 'x'.repeat(options.pad ?? 0);
  let executions = 0;
  let release = (): void => {};
  const slow = new Promise<string>((resolve) => {
    release = () => resolve('at last');
  });
  const source = (feed: LiveFeed<Tick>, since: LivePosition | undefined): unknown => ({
    feed,
    since: since ?? null,
    async *[Symbol.asyncIterator]() {},
  });
  const root = {
    hello: 'world',
    slow: () => slow,
    fail: () => {
      throw new Error('failed');
    },
    add: ({ n }: { n: number }) => n + 1,
    state: ({ since }: { since?: LivePosition }) => source(state, since),
    events: ({ since }: { since?: LivePosition }) => source(events, since),
    telemetry: () => source(figures, undefined),
    async *count({ to }: { to: number }) {
      for (let count = 1; count <= to; count++) yield { count };
    },
    broken: () => {
      throw new Error('no source');
    },
  };
  const argsOf = (operation: PreparedOperation) => ({
    schema,
    document: operation.document,
    variableValues: operation.variables,
    operationName: operation.operationName,
  });
  const one = async (operation: PreparedOperation, value: unknown): Promise<Awaited<ReturnType<typeof execute>>> => {
    executions += 1;
    const tick = value as Record<string, unknown>;
    const rootValue = 'count' in tick ? tick : { state: { ...tick, pad }, events: { ...tick, pad }, telemetry: { ...tick, pad } };
    return execute({ ...argsOf(operation), rootValue });
  };
  const engine: OperationEngine = {
    async authenticate({ authorization }) {
      await systemClock.sleep(1);
      checked.push(authorization);
      if (authorization === 'explode') throw new Error('planted');
      if (authorization === 'later') return { kind: 'unavailable', message: 'later' };
      return keys.get(authorization ?? '') ?? { kind: 'refused', message: 'no' };
    },
    prepare({ query, operationName, variables }) {
      try {
        const document = parse(query);
        const errors = validate(schema, document);
        if (errors.length > 0) return { errors };
        const definition = document.definitions[0];
        const kind = definition?.kind === 'OperationDefinition' ? definition.operation : 'query';
        const documentHash = createHash('sha1').update(query).digest('hex');
        return { kind, document, documentHash, operationName, variables: variables ?? {} };
      } catch (error) {
        return { errors: [error as never] };
      }
    },
    async execute(operation, _viewer, value) {
      return value === undefined ? execute({ ...argsOf(operation), rootValue: root }) : one(operation, value);
    },
    executeAll: (operation, _viewer, values) => Promise.all(values.map((value) => one(operation, value))),
    async subscribe(operation) {
      return (await createSourceEventStream({ ...argsOf(operation), rootValue: root })) as AsyncIterable<unknown>;
    },
  };
  const server = createServer({ clock: systemClock, dice: seededDice(1), telemetry });
  lifetime.add('server', () => server.drain({ windowMs: 0, deadlineMs: 100 }));
  let operations = (): number => 0;
  const gauge: typeof telemetry.gauge = (name, read, labels) => {
    if (name === 'operations') operations = read;
    return telemetry.gauge(name, read, labels);
  };
  const hub = createHub({ engine, clock: systemClock, telemetry: { ...telemetry, gauge } }, { tickMs: 5, allowedOrigins: [], ...options });
  lifetime.add('hub', () => hub.close());
  // a reader that a test stalls answers no ping, and is not to be taken for dead
  server.websocket('/graphql', { ...hub.behaviour, idleTimeoutS: 900 });
  server.http('ANY', '/graphql', async (request) => {
    const viewer = keys.get(request.headers['authorization'] ?? '');
    if (viewer === undefined) return { status: 401 };
    return (await hub.eventStream(request, viewer)) ?? { status: 400, body: 'no live subscription' };
  });
  const { port } = await server.listen('127.0.0.1', 0);
  return {
    port,
    server,
    state,
    events,
    telemetry: figures,
    lifetime,
    keys,
    checked,
    operations: () => operations(),
    executions: () => executions,
    releaseSlow: release,
  };
}

type Message = Readonly<Record<string, unknown>>;

export interface TestSocket {
  readonly ws: WebSocket;
  readonly messages: Message[];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  send(message: unknown): void;
  /** the next message not yet taken */
  next(): Promise<Message>;
}

/** A stock `ws` client. */
export async function dial(
  port: number,
  options: { readonly protocol?: string | null; readonly key?: string | null; readonly headers?: Record<string, string> } = {},
): Promise<TestSocket> {
  const protocol = options.protocol === undefined ? 'graphql-transport-ws' : options.protocol;
  const url = `ws://127.0.0.1:${port}/graphql`;
  const ws = new WebSocket(url, protocol === null ? [] : [protocol], { headers: options.headers ?? {} });
  const messages: Message[] = [];
  let taken = 0;
  let wake = (): void => {};
  ws.on('message', (data) => {
    messages.push(JSON.parse(String(data)) as Message);
    wake();
  });
  ws.on('error', () => {});
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.on('close', (code, reason) => resolve({ code, reason: String(reason) }));
  });
  await new Promise<void>((resolve, reject) => {
    ws.once('open', resolve);
    ws.once('error', reject);
  });
  const socket: TestSocket = {
    ws,
    messages,
    closed,
    send: (message) => ws.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message)),
    async next() {
      while (messages.length <= taken) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      taken += 1;
      return messages[taken - 1] ?? {};
    },
  };
  if (options.key !== null && protocol === 'graphql-transport-ws') {
    socket.send({ type: 'connection_init', payload: { authorization: options.key ?? 'good' } });
    await socket.next();
  }
  return socket;
}
