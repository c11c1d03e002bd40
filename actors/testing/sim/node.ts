import { seededDice } from '../../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../../ops/telemetry/index.ts';
import { createOwnership, type OwnedDevice, type Ownership } from '../../lease/index.ts';
import { createEnqueuer } from '../../mailbox/index.ts';
import { createHost, createNodeBus, createSubscriptions, type Host } from '../../node/index.ts';
import { createLedgerClient, STATEMENT_MS } from './ledger-client.ts';
import { createLockWatch } from './lock-watch.ts';
import { createRedisClient } from './redis-client.ts';
import { clockOf, type Party } from './scheduler.ts';
import { SCAN_MS, WINDOW } from './timing.ts';
import type { World } from './world-parts.ts';

/** One process of the product's node, wired as actors/main.ts wires it, on simulated clients. */
export interface SimNode {
  readonly id: string;
  readonly party: Party;
  readonly ownership: () => Ownership | undefined;
  readonly host: () => Host | undefined;
  /** the node runs and has joined */
  readonly ready: () => boolean;
  /** when that was; until then, never */
  readonly readyAt: () => number;
  /** SIGTERM: hands over and ends */
  end(): void;
  reconnected(): void;
}

export interface NodeHooks {
  granted(devices: readonly OwnedDevice[]): void;
  /** the process ended by itself */
  ended(why: string): void;
}

const DRAIN_MS = 8000;

export function startSimNode(world: World, id: string, incarnation: number, telemetry: Telemetry, hooks: NodeHooks): SimNode {
  const { scheduler, network } = world;
  const { ttlMs, renewMs, marginMs, acquireMs } = world.timing;
  const party = scheduler.party(`${id}#${incarnation}`);
  party.wallOffset = world.wallOffsets.get(id) ?? 0;
  const clock = clockOf(scheduler, party);
  const dice = seededDice(world.seed * 31 + party.index * 7919);
  const onMain = { scheduler, network, server: world.redis, link: network.link(`${id}>redis`), party };
  const locks = createLockWatch({
    scheduler,
    party,
    masters: world.lockMasters.length === 0 ? [world.redis] : world.lockMasters,
    timeoutMs: acquireMs,
    claimMs: acquireMs + STATEMENT_MS + ttlMs,
    violation: world.violation,
  });
  const lease = createRedisClient({ ...onMain, locks }, 'lease');
  const mailbox = createRedisClient(onMain, 'mailbox');
  const general = createRedisClient(onMain, 'general');
  const masters = world.lockMasters.map((server) =>
    createRedisClient({ scheduler, network, server, link: network.link(`${id}>${server.name}`), party, locks }, 'lease'),
  );
  const subscriber = world.pubsub.subscriber(onMain);
  const ledger = createLedgerClient({
    network,
    link: network.link(`${id}>postgres`),
    party,
    tables: world.tables,
    audit: world.audit,
    ambush: world.ambush,
    wall: scheduler.wall,
  });
  let host: Host | undefined;
  let ownership: Ownership | undefined;
  let readyAt = Number.POSITIVE_INFINITY;

  const start = async (): Promise<void> => {
    const subscriptions = createSubscriptions(subscriber, telemetry.log);
    const bus = await createNodeBus({ publisher: general, subscriptions, log: telemetry.log }, id);
    const enqueuer = createEnqueuer({ redis: mailbox, telemetry }, { window: WINDOW });
    const made = createHost(
      {
        redis: mailbox,
        subscriptions,
        statements: ledger.statements,
        live: { device: () => {}, messages: (_tenant, events) => world.news(events), resend: () => {} },
        enqueue: (entries) => enqueuer.enqueue(entries),
        transports: {
          simulator: async () => world.phones.transport(party, id, 'simulator'),
          whatsapp: async () => world.phones.transport(party, id, 'whatsapp'),
        },
        clock,
        dice,
        telemetry,
      },
      {
        nodeId: id,
        window: WINDOW,
        retry: { budget: 8, baseMs: 100, capMs: 1000 },
        pacing: 'on',
        sendTimeoutMs: 1500,
        unknownWaitMs: 3000,
        sweepMs: 1000,
        refillSweepMs: 5000,
      },
    );
    host = made;
    const owner = createOwnership(
      {
        redis: lease,
        lockMasters: masters.length === 0 ? [lease] : masters,
        bus,
        ledger: ledger.ownership,
        listener: {
          granted(devices) {
            hooks.granted(devices);
            made.granted(devices);
          },
          settle: (deviceId) => made.settle(deviceId),
          engaged: (deviceId) => made.engaged(deviceId),
        },
        clock,
        dice,
        telemetry,
        fatal: (error) => hooks.ended(error.message),
      },
      { nodeId: id, version: '1.0.0', host: id, capacity: 1000, ttlMs, renewMs, scanMs: SCAN_MS, marginMs },
    );
    ownership = owner;
    made.bind(owner);
    made.start();
    await owner.start();
    readyAt = scheduler.now();
  };
  const as = (what: string, task: () => Promise<void>): void => {
    scheduler.at(scheduler.now(), party, 'world', what, () => {
      task().catch((error: unknown) => hooks.ended(error instanceof Error ? error.message : String(error)));
    });
  };
  as('start', start);
  return {
    id,
    party,
    ownership: () => ownership,
    host: () => host,
    ready: () => readyAt <= scheduler.now(),
    readyAt: () => readyAt,
    end: () =>
      as('drain', async () => {
        await ownership?.drain(DRAIN_MS);
        await host?.close();
        hooks.ended('drained');
      }),
    reconnected: () => subscriber.reconnected(),
  };
}
