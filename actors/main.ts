import { type Config, ConfigError, loadConfig } from '../ops/config/index.ts';
import { connectPostgres, connectRedis, type Redis, type RedisRole, redisReady, type Sql } from '../ops/connect/index.ts';
import { createLifetime, endOnSignals, keepHeapSmall, systemClock, systemDice } from '../ops/lifecycle/index.ts';
import { createTelemetry, type Telemetry } from '../ops/telemetry/index.ts';
import { FlotillaError } from '../schema/domain/index.ts';
import { ledgerNow, noteDeviceStates, redriveChunk, webhookDeviceTenants } from '../schema/sql/index.ts';
import { startCampaigns } from './campaigns/index.ts';
import { createDeviceNews } from './device-news/index.ts';
import { createOwnership, createOwnershipLedger } from './lease/index.ts';
import { createLive } from './live/index.ts';
import { createControlLane, createEnqueuer } from './mailbox/index.ts';
import {
  createHost,
  createLedgerClock,
  createNodeBus,
  createSubscriptions,
  type HostOptions,
  type LedgerClock,
  ledgerStatements,
  type NodeBus,
  startNodeHttp,
  type TransportLoaders,
} from './node/index.ts';
import { createRedriver } from './redrive/index.ts';
import type { SealedStore } from './sessions/index.ts';

/** Reported to the node registry; raised with each release. */
const VERSION = '0.1.0';
const REQUIRED = ['DATABASE_URL', 'REDIS_URL'] as const;
type NodeConfig = Config<(typeof REQUIRED)[number]>;
/** beyond DRAIN_MS: closing pools, last live records */
const CLOSING_MS = 4000;

/** One node: owns devices and runs their actors until SIGTERM. */
async function main(): Promise<void> {
  const config = readConfig();
  const lifetime = createLifetime();
  const telemetry = createTelemetry({
    service: 'node',
    instance: config.NODE_ID,
    level: config.LOG_LEVEL,
    otlpEndpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT,
    samplePercent: config.TRACE_SAMPLE_PERCENT,
  });
  const { log } = telemetry;
  lifetime.add('telemetry', () => telemetry.shutdown());
  lifetime.add('heap', keepHeapSmall({ clock: systemClock }));
  endOnSignals(lifetime, {
    deadlineMs: config.DRAIN_MS + CLOSING_MS,
    report: (message, error) => (error === undefined ? log.info('ending', { message }) : log.error('ending', { message }, error)),
  });

  const sql = connectPostgres(config.DATABASE_URL, { applicationName: `flotilla-${config.NODE_ID}`, max: 10, plans: 'once', log });
  lifetime.add('postgres', () => sql.end({ timeout: 2 }));
  const redis = (url: string, role: RedisRole, name: string): Redis => {
    const client = connectRedis(url, { role, name: `${config.NODE_ID}-${name}`, log });
    lifetime.add(`redis ${name}`, () => client.disconnect());
    return client;
  };
  const lease = redis(config.REDIS_URL, 'lease', 'lease');
  const mailbox = redis(config.REDIS_URL, 'mailbox', 'mailbox');
  const general = redis(config.REDIS_URL, 'general', 'general');
  const subscriber = redis(config.REDIS_URL, 'subscriber', 'subscriber');
  const masters = config.LOCK_REDIS_URLS.map((url, index) => redis(url, 'lease', `lock-${index}`));

  let started = false;
  const http = await startNodeHttp(
    {
      telemetry,
      clock: systemClock,
      checks: {
        postgres: async () => (await sql.unsafe('select 1')).length === 1,
        redis: async () => (await mailbox.ping()) === 'PONG',
        ownership: async () => started && !lifetime.signal.aborted,
      },
    },
    { host: config.METRICS_HOST, port: config.METRICS_PORT },
  );
  lifetime.add('http', () => http.close());
  await storesUp(sql, [lease, mailbox, general, subscriber, ...masters], telemetry);

  const sealed = await sessionsFit(config, sql, general);

  const clock = createLedgerClock({ clock: systemClock, log, ledgerNow: () => ledgerNow(sql) });
  lifetime.add('clock', await keepTime(clock));
  const subscriptions = createSubscriptions(subscriber, log);
  const bus = await createNodeBus({ publisher: general, subscriptions, log }, config.NODE_ID);
  const live = createLive({ redis: mailbox, clock, telemetry }, { tickMs: config.LIVE_TICK_MS });
  lifetime.add('live', () => live.close());
  const news = createDeviceNews({
    tenants: () => webhookDeviceTenants(sql),
    write: (notes) => noteDeviceStates(sql, notes),
    clock,
    telemetry,
  });
  news.start();
  lifetime.add('device news', () => news.close());
  const enqueuer = createEnqueuer({ redis: mailbox, telemetry }, { window: config.MAILBOX_WINDOW });
  const enqueue = (entries: Parameters<typeof enqueuer.enqueue>[0]): Promise<void> => enqueuer.enqueue(entries);
  const ways = transportsOf(config, {
    sql,
    sealed,
    general,
    bus,
    telemetry,
    subscribe: (channel, handler) => subscriptions.on(channel, handler),
  });
  const host = createHost(
    {
      redis: mailbox,
      subscriptions,
      statements: ledgerStatements(sql, clock, {
        aheadDays: config.LEDGER_AHEAD_DAYS,
        retentionDays: config.LEDGER_RETENTION_DAYS,
        keysDays: config.IDEMPOTENCY_RETENTION_DAYS,
        inboundDays: config.INBOUND_RETENTION_DAYS,
        webhookDays: config.WEBHOOK_RETENTION_DAYS,
      }),
      live: {
        ...live,
        device(tenantId, record) {
          live.device(tenantId, record);
          news.note(tenantId, record);
        },
        messages(tenantId, events) {
          live.messages(tenantId, events);
          campaigns.events(events);
        },
      },
      enqueue,
      transports: ways.loaders,
      linkMoved: ways.linkMoved,
      clock,
      dice: systemDice,
      telemetry,
    },
    hostOptions(config),
  );
  const campaigns = startCampaigns(
    {
      sql,
      slots: host.actors,
      enqueue,
      subscribe: (channel, handler) => subscriptions.on(channel, handler),
      publish: (channel, text) => general.publish(channel, text),
      clock,
      telemetry,
    },
    { enrolPerSecond: config.ENROL_PER_SECOND },
  );
  const redriver = createRedriver({
    chunk: () => redriveChunk(sql),
    enqueue,
    publish: (tenantId, events) => live.messages(tenantId, events),
    clock,
    telemetry,
  });
  redriver.start();
  lifetime.add('host', () => host.close());
  lifetime.add('redriver', () => redriver.close());
  lifetime.add('campaigns', () => campaigns.close());
  const ownership = createOwnership(
    {
      redis: lease,
      lockMasters: masters.length === 0 ? [lease] : masters,
      bus,
      ledger: createOwnershipLedger(sql),
      listener: host,
      clock: systemClock,
      dice: systemDice,
      telemetry,
      fatal: (error) => {
        // ends the process with code 1 through endOnSignals
        setImmediate(() => {
          throw error;
        });
      },
    },
    {
      nodeId: config.NODE_ID,
      version: VERSION,
      host: `${config.METRICS_HOST}:${http.port}`,
      capacity: config.NODE_CAPACITY,
      ttlMs: config.LEASE_TTL_MS,
      renewMs: config.LEASE_RENEW_MS,
      scanMs: config.LEASE_SCAN_MS,
      marginMs: config.LEASE_MARGIN_MS,
    },
  );
  host.bind(ownership);
  host.start();
  lifetime.add('ownership', () => ownership.drain(config.DRAIN_MS));
  await ownership.start();
  started = true;
  log.info('ready', { metricsPort: http.port, node: config.NODE_ID });
}

function readConfig(): NodeConfig {
  const config = loadConfig(process.env, REQUIRED);
  if (config.NODE_ID === '') throw new ConfigError(['NODE_ID: is not set; a name for this node, unique among nodes']);
  return config;
}

function hostOptions(config: NodeConfig): HostOptions {
  return {
    nodeId: config.NODE_ID,
    window: config.MAILBOX_WINDOW,
    retry: { budget: config.RETRY_BUDGET, baseMs: config.RETRY_BASE_MS, capMs: config.RETRY_CAP_MS },
    pacing: config.PACING,
    sendTimeoutMs: config.SEND_TIMEOUT_MS,
    unknownWaitMs: config.UNKNOWN_WAIT_MS,
    sweepMs: config.SWEEP_MS,
    refillSweepMs: config.REFILL_SWEEP_MS,
  };
}

/** Measures at once and every half minute. The result stops it. */
async function keepTime(clock: LedgerClock): Promise<() => void> {
  let cancel = (): void => {};
  const again = async (): Promise<void> => {
    await clock.measure();
    cancel = systemClock.after(30_000, () => void again(), { background: true });
  };
  await again();
  return () => cancel();
}

/** Waits until every store answers; `/ready` says meanwhile which one does not. */
async function storesUp(sql: Sql, clients: readonly Redis[], telemetry: Telemetry): Promise<void> {
  for (;;) {
    try {
      await sql.unsafe('select 1');
      await Promise.all(clients.map((client) => redisReady(client)));
      return;
    } catch (error) {
      telemetry.log.warn('waiting.for.stores', {}, error);
      await systemClock.sleep(500);
    }
  }
}

type Subscribe = (channel: string, handler: (text: string) => void) => Promise<void>;

/**
 * Where sessions are kept. Refuses to start with a key ring that does not open the stored ones (every device would be quarantined), or on a store that
 * does not keep them.
 */
async function sessionsFit(config: NodeConfig, sql: Sql, general: Redis): Promise<SealedStore> {
  const { checkKeyRing, loadKeyRing, openSealedStore } = await import('./sessions/index.ts');
  const sealed = await openSealedStore(config, { sql, redis: () => general });
  const held = await sealed.sealing();
  if (held.length > 0) await checkKeyRing({ sealing: async () => held }, loadKeyRing(config));
  return sealed;
}

/** Each transport is imported when the first device of its kind is granted: Baileys is heavy. */
function transportsOf(
  config: NodeConfig,
  deps: {
    readonly sql: Sql;
    readonly sealed: SealedStore;
    readonly general: Redis;
    readonly bus: NodeBus;
    readonly telemetry: Telemetry;
    readonly subscribe: Subscribe;
  },
): { readonly loaders: TransportLoaders; linkMoved(deviceId: string): void } {
  const { telemetry } = deps;
  const clock = systemClock;
  let look: (deviceId: string) => void = () => {};
  const url = config.SIMULATOR_URL;
  return {
    linkMoved: (deviceId) => look(deviceId),
    loaders: {
      ...(url === undefined
        ? {}
        : {
            simulator: async () => {
              const { createSimulatorTransport } = await import('./transports/simulator/index.ts');
              return createSimulatorTransport({ url, clock, telemetry, dice: systemDice });
            },
          }),
      link: async () => {
        const { createLinkTransport } = await import('./transports/link/index.ts');
        const { bus, general } = deps;
        const transport = createLinkTransport({
          bus,
          get: (key) => general.get(key),
          control: createControlLane(general),
          clock,
          telemetry,
        });
        look = (deviceId) => transport.look(deviceId);
        return transport;
      },
      whatsapp: async () => {
        const { createSessionStore, loadKeyRing } = await import('./sessions/index.ts');
        const { createWhatsappTransport } = await import('./transports/whatsapp/index.ts');
        const sessions = createSessionStore({ sealed: deps.sealed, ring: loadKeyRing(config) });
        const { sql, general: redis, subscribe } = deps;
        return createWhatsappTransport({ sql, redis, fleet: redis, subscribe, sessions, clock, dice: systemDice, telemetry, config });
      },
    },
  };
}

main().catch((error: unknown) => {
  process.stderr.write(
    `${error instanceof ConfigError || (error instanceof FlotillaError && error.policy === 'terminal') ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
  );
  process.exit(1);
});
