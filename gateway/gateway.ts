import { randomBytes } from 'node:crypto';
import { createLive } from '../actors/live/index.ts';
import { createEnqueuer } from '../actors/mailbox/index.ts';
import { createUploads } from '../actors/media/index.ts';
import { createOptOut } from '../actors/opt-out/index.ts';
import { loadKeyRing } from '../actors/sessions/index.ts';
import { createProxySeal, type ProxySeal } from '../actors/transports/whatsapp/index.ts';
import type { Config } from '../ops/config/index.ts';
import { connectPostgres, connectRedis, type Redis, type RedisRole, type Sql } from '../ops/connect/index.ts';
import type { Clock, Dice, Lifetime } from '../ops/lifecycle/index.ts';
import type { Telemetry } from '../ops/telemetry/index.ts';
import { type AuditPort, buildSchema, flowNow } from '../schema/graphql/index.ts';
import {
  accept as commit,
  liftOptOuts,
  linkHellos,
  loadOptWords,
  revokedLinks,
  storeInbound,
  suppress,
  audit as writeAudit,
} from '../schema/sql/index.ts';
import { ACCEPT_DEFAULTS, createAccept } from './accept/index.ts';
import {
  type Authenticator,
  createAuthenticator,
  createRates,
  createRevocations,
  createShares,
  DEFAULT_TENANT,
  ensureAccess,
  FAILURE_SHARES,
  type Rates,
  type Revocations,
  shareLimits,
  sharesFrom,
  sqlLookups,
} from './auth/index.ts';
import {
  createAudit,
  createDocuments,
  createExecutor,
  createGraphqlHttp,
  createServices,
  type Executor,
  endMessages,
  HTTP_BODY_BYTES,
  readTrustedDocuments,
} from './graphql/index.ts';
import { addHookRoutes } from './hooks/index.ts';
import { createEngine, createHub, createStreams } from './hub/index.ts';
import { addLeadRoutes } from './leads/index.ts';
import { asyncapiDocument, createLink, createLinkCloser, type Link } from './link/index.ts';
import { addMediaRoutes, createAskAgain } from './media/index.ts';
import { createPages } from './pages.ts';
import { PAIRING_SCRIPT_PATH, pairingPage, pairingScript } from './pairing-page.ts';
import { addReportRoutes } from './reports/index.ts';
import { createServer, type HttpHandler, type Server } from './server/index.ts';
import { createGuard, createSystemRoutes, createUpkeep, isAway } from './system/index.ts';
import { openWebhooks } from './webhooks/index.ts';

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
  /** for accepting only: its one statement is planned once */
  readonly accepting: Sql;
  readonly general: Redis;
  readonly mailbox: Redis;
  readonly subscriber: Redis;
}

function openClients({ config, id, telemetry, lifetime }: GatewayDeps): Clients {
  const sql = connectPostgres(config.DATABASE_URL, { applicationName: id, log: telemetry.log });
  lifetime.add('postgres', () => sql.end({ timeout: 2 }));
  const accepting = connectPostgres(config.DATABASE_URL, {
    applicationName: `${id}-accept`,
    max: ACCEPT_DEFAULTS.maxInFlight,
    plans: 'once',
    log: telemetry.log,
  });
  lifetime.add('postgres, accepting', () => accepting.end({ timeout: 2 }));
  const open = (role: RedisRole): Redis => {
    const redis = connectRedis(config.REDIS_URL, { role, name: `${id}-${role}`, log: telemetry.log });
    lifetime.add(`redis ${role}`, () => redis.disconnect());
    return redis;
  };
  return { sql, accepting, general: open('general'), mailbox: open('mailbox'), subscriber: open('subscriber') };
}

function openApi(
  deps: GatewayDeps,
  { sql, accepting, general, mailbox, subscriber }: Clients,
): { readonly executor: Executor; readonly auth: Authenticator; readonly revocations: Revocations; readonly audit: AuditPort } {
  const { clock, telemetry, lifetime, config } = deps;
  const shares = createShares({ clock, source: sharesFrom(general) }, 'auth', FAILURE_SHARES);
  const auth = createAuthenticator({ ...sqlLookups(sql), clock, telemetry, shares }, { defaultTenant: DEFAULT_TENANT });
  const revocations = createRevocations({
    publish: (channel, text) => general.publish(channel, text),
    subscribe: (channel, handler) => listenTo(subscriber, channel, handler),
    telemetry,
  });
  revocations.on((keyId) => auth.forget(keyId));
  const live = createLive({ redis: mailbox, clock, telemetry });
  lifetime.add('live', () => live.close());
  const enqueuer = createEnqueuer({ redis: mailbox, telemetry }, { window: config.MAILBOX_WINDOW });
  const audit = createAudit({ write: (entries) => writeAudit(sql, entries), clock, telemetry });
  lifetime.add('audit', () => audit.close());
  const upkeep = createUpkeep({
    sql,
    id: deps.id,
    endMessages: (deviceId) => endMessages({ sql, publish: live, clock }, deviceId),
    purgeUploads: () => createUploads({ sql }, config).purge(),
    clock,
    telemetry,
  });
  upkeep.start();
  lifetime.add('upkeep', () => upkeep.close());
  const accept = createAccept({ commit: (items) => commit(accepting, items), enqueuer, live, clock, telemetry });
  lifetime.add('accept', () => accept.settled());
  const streams = createStreams({
    redis: general,
    subscriber,
    totals: (tenantId) => services.fleet.totals(tenantId),
    progress: (tenantId, id) => flowNow(services, tenantId, id),
    clock,
    telemetry,
  });
  lifetime.add('live streams', () => streams.close());
  const services = createServices({
    sql,
    accept: upkeep.counted(accept),
    live: streams,
    publish: live,
    bells: general,
    enqueuer,
    audit: audit.note,
    closeLink: createLinkCloser(general, telemetry),
    clock,
    telemetry,
    forgetKey: (keyId) => revocations.announce(keyId),
    proxies: proxiesOf(config),
    webhooks: openWebhooks({ sql, config, clock, dice: deps.dice, telemetry, lifetime }),
  });
  const trusted = config.TRUSTED_DOCUMENTS_FILE === undefined ? [] : readTrustedDocuments(config.TRUSTED_DOCUMENTS_FILE);
  const documents = createDocuments({ mode: config.DOCUMENTS, trusted });
  const executor = createExecutor(
    { schema: buildSchema(), services, clock, telemetry },
    { documents, introspection: config.INTROSPECTION },
  );
  return { executor, auth, revocations, audit: audit.note };
}

/** a node gives the phone 20 s */
const AGAIN = { noticeMs: 3000, patienceMs: 30_000 };

/** The key ring is read at the first need: a gateway that has no proxies needs none. */
const proxiesOf = (config: GatewayDeps['config']): ProxySeal =>
  createProxySeal(() => loadKeyRing(config), config.WHATSAPP_PROXY_PRIVATE_HOSTS);

async function listenTo(subscriber: Redis, channel: string, handler: (text: string) => void): Promise<void> {
  subscriber.on('message', (from: string, text: string) => {
    if (from === channel) handler(text);
  });
  await subscriber.subscribe(channel);
}

/** What keys, tenants and addresses may ask: keys and tenants of all gateways together, addresses of this one. */
function openRates({ clock, config }: GatewayDeps, { general }: Clients): Rates {
  const deps = { clock, source: sharesFrom(general) };
  return createRates(
    clock,
    { perKey: config.RATE_PER_KEY, perTenant: config.RATE_PER_TENANT, perAddress: config.RATE_PER_ADDRESS },
    {
      key: createShares(deps, 'key', shareLimits(config.RATE_PER_KEY)),
      tenant: createShares(deps, 'tenant', shareLimits(config.RATE_PER_TENANT)),
    },
  );
}

/** Device sockets; their frames come over this gateway's own channel on the shared subscriber. */
function openLink({ clock, dice, telemetry, lifetime, id, config }: GatewayDeps, { sql, general, subscriber }: Clients): Link {
  const optOut = createOptOut(
    {
      loadOptWords: (ids) => loadOptWords(sql, ids),
      suppress: (items) => suppress(sql, items),
      liftOptOuts: (items) => liftOptOuts(sql, items),
    },
    clock,
  );
  const link = createLink(
    {
      hellos: (hashes) => linkHellos(sql, hashes),
      revoked: (devices) => revokedLinks(sql, devices),
      storeInbound: async (items) => {
        await optOut(items);
        await storeInbound(sql, items);
      },
      redis: general,
      subscribe: (channel, handler) => listenTo(subscriber, channel, handler),
      clock,
      dice,
      telemetry,
      failureShares: createShares({ clock, source: sharesFrom(general) }, 'link', FAILURE_SHARES),
    },
    {
      // two processes under one name would take each other's frames and sockets
      gateway: `${id}-${randomBytes(4).toString('hex')}`,
      heartbeatMs: config.LINK_HEARTBEAT_MS,
      framesPerSecond: config.LINK_FRAMES_PER_SECOND,
      hellosPerSecond: config.LINK_HELLOS_PER_SECOND,
    },
  );
  lifetime.add('link', () => link.stop());
  return link;
}

function tlsOf({
  TLS_CERT_FILE,
  TLS_KEY_FILE,
}: GatewayDeps['config']): { readonly certFile: string; readonly keyFile: string } | undefined {
  return TLS_CERT_FILE === undefined || TLS_KEY_FILE === undefined ? undefined : { certFile: TLS_CERT_FILE, keyFile: TLS_KEY_FILE };
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
  const { executor, auth, revocations, audit } = openApi(deps, clients);
  let phase: 'starting' | 'serving' | 'draining' = 'starting';
  const system = createSystemRoutes({
    sql: clients.sql,
    redis: clients.general,
    redisUrl: config.REDIS_URL,
    auth,
    clock,
    draining: () => phase === 'draining',
  });
  const json = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' };
  const ready: HttpHandler = async (request) => {
    const answer = await system.ready(request);
    // the dependencies answer, but the schema or the first tenant is not there yet
    return answer.status === 200 && phase === 'starting'
      ? { status: 503, headers: json, body: '{"ready":false,"schema":"missing"}' }
      : answer;
  };
  const link = openLink(deps, clients);
  const rates = openRates(deps, clients);
  const hub = createHub(
    { engine: createEngine(executor, auth, clock, rates), clock, telemetry },
    {
      tickMs: config.LIVE_TICK_MS,
      allowedOrigins: config.ALLOWED_ORIGINS,
      sockets: { perAddress: config.SOCKETS_PER_ADDRESS, perKey: config.SOCKETS_PER_KEY, perTenant: config.SOCKETS_PER_TENANT },
    },
  );
  lifetime.add('hub', () => hub.close());
  revocations.on((keyId) => hub.revoked(keyId));
  const server = createServer({ clock, dice, telemetry, tls: tlsOf(config) });
  server.websocket('/graphql', hub.behaviour);
  const graphql = createGraphqlHttp({
    executor,
    auth,
    clock,
    telemetry,
    rates,
    allowedOrigins: config.ALLOWED_ORIGINS,
    eventStream: hub.eventStream,
  });
  server.http('ANY', '/graphql', graphql, { bodyLimitBytes: HTTP_BODY_BYTES });
  const guard = createGuard(clock, 'the ledger');
  const plain = { sql: clients.sql, guard, auth, rates, audit, clock, telemetry, allowedOrigins: config.ALLOWED_ORIGINS };
  addLeadRoutes(server, plain);
  addReportRoutes(server, plain);
  const askAgain = createAskAgain({ redis: clients.general, clock }, AGAIN);
  addMediaRoutes(server, { ...plain, config, uploads: createUploads(plain, config), askAgain, proxies: proxiesOf(config) });
  addHookRoutes(server, { ...plain, bells: clients.general });
  server.websocket('/link', link.behaviour);
  server.http('GET', '/link/asyncapi.json', () => ({ status: 200, headers: json, body: JSON.stringify(asyncapiDocument()) }));
  server.http('GET', '/live', () => ({ status: 200, headers: json, body: '{"live":true}' }));
  server.http('GET', '/ready', ready);
  server.http('GET', '/api/system/redis-check', system.redisCheck);
  server.http('GET', '/metrics', async () => ({
    status: 200,
    headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' },
    body: await telemetry.metricsText(),
  }));
  server.http('GET', PAIRING_SCRIPT_PATH, pairingScript);
  server.http('GET', '/console/pair/*', pairingPage);
  server.http('GET', '/*', createPages());
  const { port } = await server.listen(config.HOST, config.PORT);
  lifetime.add('server', async () => {
    phase = 'draining';
    await server.drain({ windowMs: Math.floor(config.DRAIN_MS / 2), deadlineMs: Math.floor(config.DRAIN_MS * 0.75) });
  });
  const access = Promise.all([untilAccess(deps, clients.sql), link.start(), revocations.start()]).then(() => {
    if (phase === 'starting') phase = 'serving';
  });
  return { port, server, access };
}
