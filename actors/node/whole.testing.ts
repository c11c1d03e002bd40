import { connectPostgres, connectRedis, redisReady, type Sql } from '../../ops/connect/index.ts';
import { type Clock, seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { ledgerNow } from '../../schema/sql/index.ts';
import { createOwnership, createOwnershipLedger, type Ownership } from '../lease/index.ts';
import { createEnqueuer } from '../mailbox/index.ts';
import { ledgerStatements } from './bind.ts';
import { createNodeBus } from './bus.ts';
import { createHost, type Host, type HostOptions } from './host.ts';
import { createLedgerClock } from './ledger-clock.ts';
import { createSubscriptions } from './subscriptions.ts';
import { OPTIONS, type ScriptedTransport } from './world.testing.ts';

/** A whole node in this process, leases and actors, as actors/main.ts wires it; only its transport is scripted. For integration tests. */
export interface WholeNode {
  readonly id: string;
  readonly host: Host;
  readonly ownership: Ownership;
  readonly sql: Sql;
  close(): Promise<void>;
}

export interface WholeOptions {
  readonly redisUrl: string;
  readonly databaseUrl: string;
  readonly transport: ScriptedTransport;
  /** the machine's, as the node sees it */
  readonly clock?: Clock;
  readonly ttlMs?: number;
  readonly renewMs?: number;
  readonly scanMs?: number;
  readonly marginMs?: number;
  readonly capacity?: number;
  readonly options?: Partial<HostOptions>;
  /** false: leases only, no actors */
  readonly actors?: boolean;
  /** hears of no handover */
  readonly deaf?: boolean;
}

export async function startWhole(id: string, given: WholeOptions): Promise<WholeNode> {
  const { redisUrl, databaseUrl, transport, clock = systemClock, ttlMs = 1500, actors = true } = given;
  const telemetry = createTelemetry({ service: 'test', instance: id, level: 'error', samplePercent: 0, write: () => {} });
  const sql = connectPostgres(databaseUrl, { applicationName: id, max: 8 });
  const lease = connectRedis(redisUrl, { role: 'lease', name: `${id}-lease` });
  const mailbox = connectRedis(redisUrl, { role: 'mailbox', name: `${id}-mailbox` });
  const general = connectRedis(redisUrl, { role: 'general', name: `${id}-general` });
  const subscriber = connectRedis(redisUrl, { role: 'subscriber', name: `${id}-subscriber` });
  const clients = [lease, mailbox, general, subscriber];
  await Promise.all(clients.map((client) => redisReady(client)));
  const subscriptions = createSubscriptions(subscriber, telemetry.log);
  const bus = await createNodeBus({ publisher: general, subscriptions, log: telemetry.log }, id);
  const ledgerClock = createLedgerClock({ clock, log: telemetry.log, ledgerNow: () => ledgerNow(sql) });
  await ledgerClock.measure();
  const enqueuer = createEnqueuer({ redis: mailbox, telemetry }, { window: OPTIONS.window });
  const host = createHost(
    {
      redis: mailbox,
      subscriptions,
      statements: ledgerStatements(sql, ledgerClock, { aheadDays: 2, retentionDays: 90, keysDays: 7, inboundDays: 90 }),
      live: { device() {}, messages() {}, resend() {} },
      enqueue: (entries) => enqueuer.enqueue(entries),
      transports: { simulator: async () => transport },
      clock: ledgerClock,
      dice: seededDice(3),
      telemetry,
    },
    { ...OPTIONS, pacing: 'on', nodeId: id, retry: { budget: 20, baseMs: 10, capMs: 40 }, ...given.options },
  );
  const ownership = createOwnership(
    {
      redis: lease,
      lockMasters: [lease],
      bus: given.deaf === true ? { ...bus, on: (kind, handler) => (kind === 'lease.transfer' ? () => {} : bus.on(kind, handler)) } : bus,
      ledger: createOwnershipLedger(sql),
      listener: actors ? host : { granted() {}, settle: async () => {}, engaged: () => null },
      clock,
      dice: seededDice(5),
      telemetry,
      fatal() {},
    },
    {
      nodeId: id,
      version: '1.0.0',
      host: 'test',
      capacity: given.capacity ?? 10_000,
      ttlMs,
      renewMs: given.renewMs ?? ttlMs / 3,
      scanMs: given.scanMs ?? 150,
      marginMs: given.marginMs ?? 200,
    },
  );
  host.bind(ownership);
  if (actors) host.start();
  await ownership.start();
  return {
    id,
    host,
    ownership,
    sql,
    async close() {
      await ownership.stop();
      await host.close();
      for (const client of clients) client.disconnect();
      await sql.end({ timeout: 1 });
    },
  };
}
