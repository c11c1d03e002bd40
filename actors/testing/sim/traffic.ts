import type { Telemetry } from '../../../ops/telemetry/index.ts';
import { LANES, type Lane } from '../../../schema/domain/index.ts';
import type { AcceptItem } from '../../../schema/sql/index.ts';
import { createEnqueuer } from '../../mailbox/index.ts';
import { createLedgerClient } from './ledger-client.ts';
import { cancelModel, redriveModel } from './ledger-lanes.ts';
import { createRedisClient } from './redis-client.ts';
import type { World } from './world-parts.ts';

/**
 * A gateway of the simulated world: accepts messages, tells mailboxes of them (or dies before it does), cancels and redrives some.
 * The plan of what is sent when comes from the seed.
 */
export interface TrafficPlan {
  readonly messages: number;
  readonly fromMs: number;
  readonly untilMs: number;
  readonly devices: readonly string[];
  readonly tenantId: string;
}
export interface Traffic {
  readonly figures: { accepted: number; answered: number; untold: number; cancelled: number; redriven: number };
}

/** ids that look like UUIDv7 and rise in time */
export function idMaker(world: World): () => string {
  let count = 0;
  const hex = (length: number): string =>
    Math.floor(world.dice.next() * 16 ** length)
      .toString(16)
      .padStart(length, '0');
  return () => {
    const time = Math.floor(world.scheduler.wall()).toString(16).padStart(12, '0');
    count += 1;
    return `${time.slice(0, 8)}-${time.slice(8)}-7${count.toString(16).padStart(3, '0').slice(-3)}-8${hex(3)}-${hex(4)}${count.toString(16).padStart(8, '0')}`;
  };
}

export function startTraffic(world: World, plan: TrafficPlan, telemetry: Telemetry): Traffic {
  const { scheduler, network, tables } = world;
  const party = scheduler.party('gateway');
  const redis = createRedisClient({ scheduler, network, server: world.redis, link: network.link('gateway>redis'), party }, 'mailbox');
  const enqueuer = createEnqueuer({ redis, telemetry });
  const ledger = createLedgerClient({
    network,
    link: network.link('gateway>postgres'),
    party,
    tables,
    audit: world.audit,
    ambush: world.ambush,
    wall: scheduler.wall,
  });
  const figures = { accepted: 0, answered: 0, untold: 0, cancelled: 0, redriven: 0 };
  const nextId = idMaker(world);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(world.dice.next() * list.length)] as T;

  const accept = async (items: readonly AcceptItem[], tell: boolean): Promise<void> => {
    const outcomes = await ledger.accept(items).catch(() => undefined);
    if (outcomes === undefined) return;
    figures.answered += outcomes.length;
    const entries = outcomes.flatMap((outcome, index) => {
      const item = items[index];
      if (outcome.kind !== 'accepted' || outcome.seq === null || item === undefined) return [];
      return [{ deviceId: item.deviceId, lane: item.lane, seq: outcome.seq, messageId: item.id, traceparent: null }];
    });
    if (tell) await enqueuer.enqueue(entries);
    else figures.untold += entries.length;
  };
  const itemOf = (deviceId: string, lane: Lane): AcceptItem => ({
    id: nextId(),
    tenantId: plan.tenantId,
    deviceId,
    lane,
    recipient: `+1555${String(Math.floor(world.dice.next() * 1000)).padStart(7, '0')}`,
    body: '',
    idempotencyKey: null,
    contentHash: new Uint8Array(0),
    scheduledAt: network.chance(0.02) ? scheduler.wall() + network.between(100, 6000) : null,
    traceparent: null,
  });
  const burst = (size: number): void => {
    const device = pick(plan.devices);
    const lane = pick(LANES);
    const spread = network.chance(0.3);
    const items = Array.from({ length: size }, () =>
      itemOf(spread ? pick(plan.devices) : device, network.chance(0.2) ? pick(LANES) : lane),
    );
    figures.accepted += size;
    void accept(items, !network.chance(0.03));
    if (!network.chance(0.15)) return;
    const victim = pick(items).id;
    const at = scheduler.now() + network.between(5, 2000);
    scheduler.at(at, scheduler.world, 'world', 'cancel', () => {
      if (cancelModel(tables, victim, scheduler.wall())) figures.cancelled += 1;
    });
  };
  for (let left = plan.messages; left > 0; ) {
    const kind = world.dice.next();
    const size = Math.min(
      left,
      kind < 0.5 ? 1 + Math.floor(world.dice.next() * 3) : kind < 0.97 ? 5 + Math.floor(world.dice.next() * 20) : 80,
    );
    left -= size;
    const at = plan.fromMs + world.dice.next() * (plan.untilMs - plan.fromMs);
    scheduler.at(at, party, 'world', 'burst', () => burst(size));
  }
  scheduler.at(plan.untilMs + 2000, scheduler.world, 'world', 'redrive', () => {
    const ids = [...tables.letters.keys()].filter((id) => tables.messages.get(id)?.cause !== 'OUTCOME_UNKNOWN');
    figures.redriven += redriveModel(tables, ids, scheduler.wall()).length;
  });
  return { figures };
}
