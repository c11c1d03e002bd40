import uws from 'uWebSockets.js';
import { createHash } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import Fastify from 'fastify';
import { buildSchema, createSourceEventStream, execute, type GraphQLSchema, parse, validate } from 'graphql';
import { makeBehavior } from 'graphql-ws/use/uWebSockets';
import { useServer } from 'graphql-ws/use/ws';
import mercurius from 'mercurius';
import { WebSocketServer } from 'ws';
import { createHub, type OperationEngine } from '../../../gateway/hub/index.ts';
import { createServer, type Socket } from '../../../gateway/server/index.ts';
import { seededDice, systemClock } from '../../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../../ops/telemetry/index.ts';
import { type LiveFeed, type LivePosition, SCOPES } from '../../../schema/graphql/index.ts';

/**
 * The servers that are compared: the same schema, document and payload, each in a process of its own. Peers run as their documentation
 * starts them, with compression off. The raw loop knows no GraphQL: it sends one prepared buffer to each socket.
 */
export interface Arm {
  readonly port: number;
  /** one change for every subscription */
  publish(at: number): void;
  /** bytes taken for readers and not yet given to the kernel; left out where an arm does not show them */
  held?(): number;
}
export interface ArmOptions {
  readonly payloadBytes: number;
  /** our own tick; 0 = at once */
  readonly tickMs: number;
}

const SDL = `
  type Query { ok: Boolean! }
  type Tick { at: Float! group: Int! rows: [Row!]! }
  type Row { id: Int! name: String! state: String! }
  type Subscription { tick(group: Int!): Tick! }
`;
interface Row {
  readonly id: number;
  readonly name: string;
  readonly state: string;
}

/** Ten rows that make up about `bytes` of JSON. */
function rowsOf(bytes: number): Row[] {
  const pad = 'x'.repeat(Math.max(1, Math.floor(bytes / 10) - 50));
  return Array.from({ length: bytes < 500 ? 1 : 10 }, (_, id) => ({ id, name: pad, state: 'ONLINE' }));
}

/** no heartbeats while the bench runs: they would count as frames */
const HEARTBEAT_MS = 86_400_000;

type Listener = (at: number) => void;
/** A plain async iterable of published ticks, as applications write it: a queue for each subscriber. */
function createTopic(): { publish(at: number): void; listen(group: number): AsyncGenerator<{ tick: unknown }> } & {
  rows: Row[];
  on(listener: Listener): () => void;
} {
  const listeners = new Set<Listener>();
  const topic = {
    rows: [] as Row[],
    publish(at: number) {
      for (const listener of [...listeners]) listener(at);
    },
    on(listener: Listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async *listen(group: number) {
      const queue: number[] = [];
      let wake = (): void => {};
      const off = topic.on((at) => {
        queue.push(at);
        wake();
      });
      try {
        for (;;) {
          for (let at = queue.shift(); at !== undefined; at = queue.shift()) yield { tick: { at, group, rows: topic.rows } };
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        off();
      }
    },
  };
  return topic;
}

function executable(topic: ReturnType<typeof createTopic>): GraphQLSchema {
  const schema = buildSchema(SDL);
  const field = schema.getSubscriptionType()?.getFields()['tick'];
  if (field === undefined) throw new Error('no subscription field');
  field.subscribe = (_root: unknown, args: unknown) => topic.listen((args as { group: number }).group);
  return schema;
}

async function ours({ payloadBytes, tickMs }: ArmOptions): Promise<Arm> {
  const telemetry = createTelemetry({
    service: 'test',
    instance: 'ours',
    level: 'error',
    samplePercent: 0,
    otlpEndpoint: undefined,
    write() {},
  });
  const schema = buildSchema(SDL);
  const rows = rowsOf(payloadBytes);
  const listeners = new Set<() => void>();
  let top: LivePosition = { epoch: 'e', seq: 0 };
  const ticks: (LivePosition & { readonly at: number })[] = [];
  const feed: LiveFeed<LivePosition> = {
    // every tick is a frame, as with the peers: state would be merged when the machine is slow
    kind: 'events',
    ready: () => Promise.resolve(),
    top: () => top,
    version: () => 0,
    snapshot: () => undefined,
    range: (from) => ({ kind: 'updates', updates: ticks.slice(from.seq - top.seq + ticks.length) }),
    watch(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const documents = new Map<string, ReturnType<typeof parse>>();
  const argsOf = (operation: { document: ReturnType<typeof parse>; variables: Readonly<Record<string, unknown>> }) => ({
    schema,
    document: operation.document,
    variableValues: operation.variables,
  });
  const source = { feed, since: null, async *[Symbol.asyncIterator]() {} };
  const engine: OperationEngine = {
    authenticate: async () => ({ tenantId: 't', keyId: 'k', keyName: 'k', scopes: new Set(SCOPES), installation: false }),
    prepare({ query, operationName, variables }) {
      let document = documents.get(query);
      if (document === undefined) {
        document = parse(query);
        const errors = validate(schema, document);
        if (errors.length > 0) return { errors };
        documents.set(query, document);
      }
      const documentHash = createHash('sha256').update(query).digest('base64url');
      return { kind: 'subscription', document, documentHash, operationName, variables: variables ?? {} };
    },
    execute: async (operation) => execute(argsOf(operation)),
    executeAll: (operation, _viewer, values) =>
      Promise.all(
        values.map((value) => {
          const tick = value as { readonly at: number };
          const group = (operation.variables as { group?: number }).group ?? 0;
          return execute({ ...argsOf(operation), rootValue: { tick: { at: tick.at, group, rows } } });
        }),
      ),
    subscribe: async (operation) =>
      (await createSourceEventStream({ ...argsOf(operation), rootValue: { tick: () => source } })) as AsyncIterable<unknown>,
  };
  const server = createServer({ clock: systemClock, dice: seededDice(1), telemetry });
  const hub = createHub(
    { engine, clock: systemClock, telemetry },
    { tickMs, heartbeatMs: HEARTBEAT_MS, allowedOrigins: [], limits: { operations: 10_000, messagesBurst: 20_000 } },
  );
  const open = new Set<Socket>();
  const { behaviour } = hub;
  server.websocket('/graphql', {
    ...behaviour,
    // a stalled reader is to be there for as long as it is measured
    stallMs: HEARTBEAT_MS,
    idleTimeoutS: 0,
    open(socket, state) {
      open.add(socket);
      behaviour.open(socket, state);
    },
    close(socket, state, code) {
      open.delete(socket);
      behaviour.close(socket, state, code);
    },
  });
  const { port } = await server.listen('127.0.0.1', 0);
  return {
    port,
    held: () => [...open].reduce((sum, socket) => sum + socket.bufferedBytes(), 0),
    publish(now) {
      top = { epoch: 'e', seq: top.seq + 1 };
      ticks.push({ ...top, at: now });
      if (ticks.length > 1_000) ticks.shift();
      for (const listener of listeners) listener();
    },
  };
}

async function graphqlWs({ payloadBytes }: ArmOptions): Promise<Arm> {
  const topic = createTopic();
  topic.rows = rowsOf(payloadBytes);
  const http = createHttpServer();
  const sockets = new WebSocketServer({ server: http, path: '/graphql', perMessageDeflate: false });
  useServer({ schema: executable(topic) }, sockets);
  const held = (): number => [...sockets.clients].reduce((sum, socket) => sum + socket.bufferedAmount, 0);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const address = http.address();
  return { port: typeof address === 'object' && address !== null ? address.port : 0, publish: topic.publish, held };
}

function listenUws(app: ReturnType<typeof uws.App>): Promise<number> {
  return new Promise((resolve, reject) => {
    app.listen('127.0.0.1', 0, (socket) =>
      socket === false ? reject(new Error('cannot listen')) : resolve(uws.us_socket_local_port(socket as never)),
    );
  });
}

async function graphqlWsOnUws({ payloadBytes }: ArmOptions): Promise<Arm> {
  const topic = createTopic();
  topic.rows = rowsOf(payloadBytes);
  const app = uws.App();
  app.ws('/graphql', makeBehavior({ schema: executable(topic) }, { maxBackpressure: 1024 * 1024 }) as never);
  return { port: await listenUws(app), publish: topic.publish };
}

async function mercuriusArm({ payloadBytes }: ArmOptions): Promise<Arm> {
  const topic = createTopic();
  topic.rows = rowsOf(payloadBytes);
  const app = Fastify();
  await app.register(mercurius, { schema: executable(topic), subscription: { wsDefaultSubprotocol: 'graphql-transport-ws' } });
  await app.listen({ port: 0, host: '127.0.0.1' });
  const address = app.server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : 0, publish: topic.publish };
}

/** The bound: nothing but one send of a prepared buffer for each socket. */
async function raw({ payloadBytes }: ArmOptions): Promise<Arm> {
  const app = uws.App();
  const open = new Set<uws.WebSocket<unknown>>();
  app.ws('/graphql', {
    maxBackpressure: 1024 * 1024,
    message(ws, data) {
      const { type } = JSON.parse(Buffer.from(data).toString()) as { type: string };
      if (type === 'connection_init') ws.send('{"type":"connection_ack"}');
      else if (type === 'subscribe') open.add(ws);
    },
    close: (ws) => void open.delete(ws),
  });
  const port = await listenUws(app);
  const rows = rowsOf(payloadBytes);
  return {
    port,
    publish(at) {
      const frame = Buffer.from(JSON.stringify({ id: '1', type: 'next', payload: { data: { tick: { at, group: 0, rows } } } }));
      for (const ws of open) ws.send(frame, false);
    },
  };
}

/** The same by topics: one publish, and uWS walks over the sockets itself. It does not say who got a frame. */
async function rawPublish({ payloadBytes }: ArmOptions): Promise<Arm> {
  const app = uws.App();
  app.ws('/graphql', {
    maxBackpressure: 1024 * 1024,
    message(ws, data) {
      const { type } = JSON.parse(Buffer.from(data).toString()) as { type: string };
      if (type === 'connection_init') ws.send('{"type":"connection_ack"}');
      else if (type === 'subscribe') ws.subscribe('t');
    },
  });
  const port = await listenUws(app);
  const rows = rowsOf(payloadBytes);
  return {
    port,
    publish(at) {
      app.publish('t', Buffer.from(JSON.stringify({ id: '1', type: 'next', payload: { data: { tick: { at, group: 0, rows } } } })), false);
    },
  };
}

export const ARMS: Readonly<Record<string, (options: ArmOptions) => Promise<Arm>>> = {
  ours,
  'graphql-ws + ws': graphqlWs,
  'graphql-ws on uWS': graphqlWsOnUws,
  mercurius: mercuriusArm,
  'raw uWS': raw,
  'raw uWS publish': rawPublish,
};
