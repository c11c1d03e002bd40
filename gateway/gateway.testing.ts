import { type Client, createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { loadConfig } from '../ops/config/index.ts';
import { createLifetime, systemClock, systemDice } from '../ops/lifecycle/index.ts';
import { createTelemetry, type Telemetry } from '../ops/telemetry/index.ts';
import { createDatabase, startRedis, type TestDatabase, type TestRedis } from '../ops/testing/index.ts';
import { startGateway } from './gateway.ts';

/** A whole gateway on a ledger and a Redis of its own, spoken to over the wire. For integration tests. */
export interface TestGateway {
  readonly database: TestDatabase;
  readonly redis: TestRedis;
  readonly telemetry: Telemetry;
  readonly port: number;
  /** http://127.0.0.1:port */
  readonly base: string;
  /** starts one more on the same ledger and Redis, with settings of its own; resolves with its port */
  another(id: string, env: Readonly<Record<string, string>>): Promise<number>;
  /** posts an operation; resolves with the whole answer: data, errors */
  ask(query: string, options?: AskOptions): Promise<Data>;
  /** makes an API key with one scope; resolves with its secret */
  keyOf(scope: string): Promise<string>;
  /** a stock graphql-ws client that does not come back by itself; open until hangUp */
  connect(options?: Pick<AskOptions, 'key' | 'tenant'>): Client;
  /** ends every client of `connect` */
  hangUp(): Promise<void>;
  /** ends clients, gateways, Redis and database */
  stop(): Promise<void>;
}

export interface AskOptions {
  /** default: the admin key */
  readonly key?: string;
  /** the id or name of the tenant that is meant */
  readonly tenant?: string | undefined;
  readonly variables?: object;
}

// biome-ignore lint/suspicious/noExplicitAny: shapes are what each test asks for
export type Data = any;

export const ADMIN_KEY = 'flk_an-admin-key-for-this-test';

/** Authorization and tenant, as each request carries them. */
export const headersOf = ({ key = ADMIN_KEY, tenant }: AskOptions = {}): Record<string, string> => ({
  authorization: `Bearer ${key}`,
  ...(tenant === undefined ? {} : { 'x-flotilla-tenant': tenant }),
});

/** Starts one; `env` are settings beside those that every test needs. */
export async function startTestGateway(env: Readonly<Record<string, string>> = {}): Promise<TestGateway> {
  const [database, redis] = await Promise.all([createDatabase(), startRedis()]);
  const telemetry = createTelemetry({ service: 'test', instance: 'gateway', level: 'error', samplePercent: 0, otlpEndpoint: undefined });
  const lifetime = createLifetime();
  const clients: Client[] = [];
  const another: TestGateway['another'] = async (id, settings) => {
    const own = createLifetime();
    lifetime.add(id, () => own.end());
    const needed = { DATABASE_URL: database.url, REDIS_URL: redis.url, PORT: '0', DRAIN_MS: '1000' };
    const config = loadConfig({ ...needed, ...settings }, ['DATABASE_URL', 'REDIS_URL']);
    const deps = { clock: systemClock, dice: systemDice, telemetry, lifetime: own };
    const { port, access } = await startGateway({ config, adminKey: ADMIN_KEY, id, ...deps });
    await access;
    return port;
  };
  const port = await another('gateway-1', env);
  const base = `http://127.0.0.1:${port}`;
  const ask: TestGateway['ask'] = async (query, options = {}) => {
    const headers = { ...headersOf(options), 'content-type': 'application/json' };
    const body = JSON.stringify({ query, variables: options.variables });
    return (await fetch(`${base}/graphql`, { method: 'POST', headers, body })).json();
  };
  const hangUp = async (): Promise<void> => {
    for (const client of clients.splice(0)) await client.dispose();
  };
  return {
    database,
    redis,
    telemetry,
    port,
    base,
    another,
    ask,
    keyOf: async (scope) =>
      (await ask(`mutation { createApiKey(input: {name: "${scope}", scopes: [${scope}]}) { secret errors { code } } }`)).data.createApiKey
        .secret,
    connect(options) {
      const url = `ws://127.0.0.1:${port}/graphql`;
      const client = createClient({ url, webSocketImpl: WebSocket, connectionParams: headersOf(options), retryAttempts: 0 });
      clients.push(client);
      return client;
    },
    hangUp,
    async stop() {
      await hangUp();
      await lifetime.end();
      await redis.stop();
      await database.drop();
    },
  };
}
