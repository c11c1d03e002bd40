import { createLive } from '../actors/live/index.ts';
import { createEnqueuer } from '../actors/mailbox/index.ts';
import type { Config } from '../ops/config/index.ts';
import { connectPostgres, connectRedis, type Redis, type RedisRole, type Sql } from '../ops/connect/index.ts';
import type { Clock, Dice, Lifetime } from '../ops/lifecycle/index.ts';
import type { Telemetry } from '../ops/telemetry/index.ts';
import { buildSchema } from '../schema/graphql/index.ts';
import { accept as commit } from '../schema/sql/index.ts';
import { createAccept } from './accept/index.ts';
import { type Authenticator, createAuthenticator, DEFAULT_TENANT, ensureAccess, sqlLookups } from './auth/index.ts';
import { createExecutor, createGraphqlHttp, createServices, type Executor } from './graphql/index.ts';
import { createHealth } from './health.ts';
import { createEngine, createHub, createStreams } from './hub/index.ts';
import { createPages } from './pages.ts';
import { createServer, type Server } from './server/index.ts';
import { isAway } from './system/index.ts';

/**
 * One gateway, wired: the only place where ports meet what implements them.
 * Owns nothing but the order in which things start and end. Called by main.ts and by integration tests.
 */
export interface GatewayDeps {
  readonly config: Config<'DATABASE_URL' | 'REDIS_URL'>;
  /** the first admin key */
  readonly adminKey: string;
  readonly id: string;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly telemetry: Telemetry;
  /** everything opened here is released by its end */
  readonly lifetime: Lifetime;
}

interface Clients {
  readonly sql: Sql;
  readonly general: Redis;
  readonly mailbox: Redis;
  readonly subscriber: Redis;
}

function openClients({ config, id, telemetry, lifetime }: GatewayDeps): Clients {
  const sql = connectPostgres(config.DATABASE_URL, { applicationName: id, log: telemetry.log });
  lifetime.add('postgres', () => sql.end({ timeout: 2 }));
  const open = (role: RedisRole): Redis => {
    const redis = connectRedis(config.REDIS_URL, { role, name: `${id}-${role}`, log: telemetry.log });
    lifetime.add(`redis ${role}`, () => redis.disconnect());
    return redis;
  };
  return { sql, general: open('general'), mailbox: open('mailbox'), subscriber: open('subscriber') };
}

function openApi(
  deps: GatewayDeps,
  { sql, general, mailbox, subscriber }: Clients,
): { readonly executor: Executor; readonly auth: Authenticator } {
  const { clock, telemetry, lifetime, config } = deps;
  const auth = createAuthenticator({ ...sqlLookups(sql), clock, telemetry }, { defaultTenant: DEFAULT_TENANT });
  const live = createLive({ redis: mailbox, clock, telemetry });
  lifetime.add('live', () => live.close());
  const enqueuer = createEnqueuer({ redis: mailbox, telemetry }, { window: config.MAILBOX_WINDOW });
  const accept = createAccept({ commit: (items) => commit(sql, items), enqueuer, live, clock, telemetry });
  lifetime.add('accept', () => accept.settled());
  const streams = createStreams({ redis: general, subscriber, totals: (tenantId) => services.fleet.totals(tenantId), clock, telemetry });
  lifetime.add('live streams', () => streams.close());
  const services = createServices({
    sql,
    accept,
    live: streams,
    publish: live,
    bells: general,
    clock,
    telemetry,
    forgetKey: (keyId) => auth.forget(keyId),
  });
  return { executor: createExecutor({ schema: buildSchema(), services, telemetry }), auth };
}

/** Makes the default tenant and the admin key, as soon as Postgres is there and has the schema. */
async function untilAccess(deps: GatewayDeps, sql: Sql): Promise<void> {
  for (let said = false; ; said = true) {
    try {
      await ensureAccess(sql, deps.adminKey, deps.clock);
      return;
    } catch (error) {
      // 42P01: the migrations have not run yet
      if (!isAway(error) && (error as { code?: unknown }).code !== '42P01') throw error;
      if (!said) deps.telemetry.log.warn('gateway.waiting', { for: 'postgres' }, error);
      await deps.clock.sleep(500, deps.lifetime.signal);
    }
  }
}

/** Starts listening; `/ready` tells when it can serve. Rejects `access` when the ledger refuses the default tenant or the key. */
export async function startGateway(
  deps: GatewayDeps,
): Promise<{ readonly port: number; readonly server: Server; readonly access: Promise<void> }> {
  const { config, clock, dice, telemetry, lifetime } = deps;
  const clients = openClients(deps);
  const { executor, auth } = openApi(deps, clients);
  let starting: string | null = 'schema';
  const health = createHealth({ sql: clients.sql, redis: clients.general, clock, starting: () => starting });
  const hub = createHub(
    { engine: createEngine(executor, auth), clock, telemetry },
    { tickMs: config.LIVE_TICK_MS, allowedOrigins: config.ALLOWED_ORIGINS },
  );
  lifetime.add('hub', () => hub.close());
  const server = createServer({ clock, dice, telemetry });
  server.websocket('/graphql', hub.behaviour);
  server.http('ANY', '/graphql', createGraphqlHttp({ executor, auth, telemetry }));
  server.http('GET', '/live', health.live);
  server.http('GET', '/ready', health.ready);
  server.http('GET', '/metrics', async () => ({
    status: 200,
    headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' },
    body: await telemetry.metricsText(),
  }));
  server.http('GET', '/*', createPages());
  const { port } = await server.listen(config.HOST, config.PORT);
  lifetime.add('server', async () => {
    health.drain();
    await server.drain({ windowMs: Math.floor(config.DRAIN_MS / 2), deadlineMs: Math.floor(config.DRAIN_MS * 0.75) });
  });
  const access = untilAccess(deps, clients.sql).then(() => {
    starting = null;
  });
  return { port, server, access };
}
