import { randomBytes } from 'node:crypto';
import { parseKeyRing } from '../../actors/sessions/index.ts';
import { createProxySeal } from '../../actors/transports/whatsapp/index.ts';
import { type Clock, systemClock } from '../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../ops/testing/index.ts';
import type { MessageEventRecord } from '../../schema/domain/index.ts';
import { buildSchema, type GraphqlServices } from '../../schema/graphql/index.ts';
import { accept as commit, audit as writeAudit } from '../../schema/sql/index.ts';
import { type Accept, createAccept } from '../accept/index.ts';
import { createAuthenticator, DEFAULT_TENANT, ensureAccess, newSecret, sqlLookups } from '../auth/index.ts';
import type { HttpHandler } from '../server/index.ts';
import { createPost, createSecrets, createWebhookPort } from '../webhooks/index.ts';
import { createAudit } from './audit.ts';
import { createExecutor, type Executor } from './executor.ts';
import { createGraphqlHttp } from './http.ts';
import { createServices } from './services.ts';
import { noLive, testRequest, testTelemetry } from './testing.ts';

/** The API on a real ledger, for integration tests. Live state and mailboxes are recorded, not run. */
export interface ApiStack {
  readonly database: TestDatabase;
  readonly handler: HttpHandler;
  readonly executor: Executor;
  readonly services: GraphqlServices;
  readonly accept: Accept;
  readonly adminKey: string;
  readonly events: MessageEventRecord[];
  readonly enqueued: string[];
  /** sockets of link devices that were told to close */
  readonly closed: readonly string[];
  /** `host:port` of receivers of webhooks that may be asked though they are private: for the test to fill */
  readonly hosts: string[];
  /** log lines */
  readonly lines: readonly string[];
  /** statements of `accept` so far */
  statements(): number;
  /** posts an operation; `key` defaults to the admin key */
  ask(query: string, options?: AskOptions): Promise<Answer>;
  stop(): Promise<void>;
}
export interface AskOptions {
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly raw?: string;
}
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: the shape is what each test asks for
  readonly data: any;
  readonly errors: readonly { readonly message: string; readonly extensions: { readonly code: string; readonly retryAfterMs?: number } }[];
}

/** a busy machine is slow, not wrong: what a request may wait for in a test */
const PATIENCE_MS = 20_000;

export async function startApi(clock: Clock = systemClock): Promise<ApiStack> {
  const lines: string[] = [];
  const database = await createDatabase();
  const { sql } = database;
  const telemetry = testTelemetry(lines);
  const adminKey = newSecret();
  await ensureAccess(sql, adminKey, clock);
  const events: MessageEventRecord[] = [];
  const enqueued: string[] = [];
  const closed: string[] = [];
  let statements = 0;
  const publish = {
    messages: (_tenant: string, records: readonly MessageEventRecord[]) => void events.push(...records),
    removed: () => {},
  };
  const auth = createAuthenticator(
    { ...sqlLookups(sql), clock, telemetry },
    { defaultTenant: DEFAULT_TENANT, cacheMs: 200, waitMs: PATIENCE_MS },
  );
  const enqueuer = {
    enqueue: async (entries: readonly { readonly messageId: string }[]) => void enqueued.push(...entries.map((entry) => entry.messageId)),
    missed() {},
  };
  const accept = createAccept(
    {
      commit: (items) => {
        statements += 1;
        return commit(sql, items);
      },
      enqueuer,
      live: publish,
      clock,
      telemetry,
    },
    { waitMs: PATIENCE_MS },
  );
  const hosts: string[] = [];
  const secrets = createSecrets({ SESSION_KEYS: `t:${randomBytes(32).toString('base64')}`, DATA_DIR: '' });
  const post = createPost(clock, { allowed: hosts, timeoutMs: PATIENCE_MS });
  const audit = createAudit({ write: (entries) => writeAudit(sql, entries), clock, telemetry }, { flushMs: 10 });
  const services = createServices({
    proxies: createProxySeal(() => parseKeyRing(`t:${Buffer.alloc(32, 1).toString('base64')}`), []),
    sql,
    accept,
    live: noLive(),
    publish,
    bells: { publish: async () => 0 },
    enqueuer,
    audit: audit.note,
    waitMs: PATIENCE_MS,
    closeLink: (deviceId, reason) => void closed.push(`${deviceId} ${reason}`),
    clock,
    telemetry,
    forgetKey: (keyId) => auth.forget(keyId),
    webhooks: (guard) => createWebhookPort({ sql, guard, clock, secrets, post, allowed: hosts }),
  });
  const executor = createExecutor({ schema: buildSchema(), services, clock, telemetry });
  const handler = createGraphqlHttp({ executor, auth, clock, telemetry, waitMs: PATIENCE_MS });
  return {
    database,
    handler,
    executor,
    services,
    accept,
    adminKey,
    events,
    enqueued,
    closed,
    hosts,
    lines,
    statements: () => statements,
    async ask(query, options = {}) {
      const text = options.raw ?? JSON.stringify({ query, variables: options.variables });
      const request = testRequest({ text });
      const authorization = `Bearer ${options.key ?? adminKey}`;
      const answer = await handler({ ...request, headers: { ...request.headers, authorization, ...options.headers } });
      const json = JSON.parse(String(answer.body)) as { data?: unknown; errors?: Answer['errors'] };
      return { status: answer.status, headers: answer.headers ?? {}, data: json.data, errors: json.errors ?? [] };
    },
    async stop() {
      await accept.settled();
      await audit.close();
      await database.drop();
    },
  };
}
