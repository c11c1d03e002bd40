import type { Fleet } from './fleet.ts';
import type { Link } from './network.ts';
import type { World } from './world-parts.ts';

/** What goes wrong in a world: drawn from its seed, each at its time, all of it healed before the quiet time. */
export interface FaultPlan {
  readonly count: number;
  readonly fromMs: number;
  readonly untilMs: number;
  readonly killsOnly: boolean;
  /** names of faults; undefined = all */
  readonly only: readonly string[] | undefined;
}
export interface Fault {
  readonly at: number;
  readonly name: string;
}

/** `until`: when this fault is over; `end`: when all faults are */
type Strike = (world: World, fleet: Fleet, until: number, end: number) => void;

const pick = <T>(world: World, list: readonly T[]): T => list[Math.floor(world.dice.next() * list.length)] as T;

/** Links of a node (or of all, or the gateway) to a store. */
function linksTo(world: World, fleet: Fleet, store: string): Link[] {
  const who = world.dice.next();
  const from = who < 0.25 ? [...fleet.ids, 'gateway'] : who < 0.35 ? ['gateway'] : [pick(world, fleet.ids)];
  return from.map((one) => world.network.link(`${one}>${store}`));
}

/** Links of a node (or of all) to one lock master, or to as many as decide. */
function linksToMasters(world: World, fleet: Fleet): Link[] {
  const { lockMasters, network } = world;
  const many = network.chance(0.5) ? 1 : (lockMasters.length + 1) / 2;
  const first = Math.floor(network.between(0, lockMasters.length));
  const servers = Array.from({ length: many }, (_, index) => lockMasters[(first + index) % lockMasters.length]?.name);
  const from = network.chance(0.5) ? fleet.ids : [pick(world, fleet.ids)];
  return from.flatMap((id) => servers.map((server) => network.link(`${id}>${server}`)));
}

/** Puts links into a state until the time is over; subscribers find their connections again. */
function during(world: World, fleet: Fleet, links: readonly Link[], state: Partial<Link>, until: number): void {
  const { scheduler, network } = world;
  for (const link of links) {
    Object.assign(link, state, { until });
    scheduler.at(until, scheduler.world, 'world', 'heal', () => {
      if (link.until !== until) return;
      network.heal(link);
      for (const id of fleet.ids) if (network.link(`${id}>redis`) === link) fleet.get(id).reconnected();
    });
  }
}

/** The main Redis starts again with other contents: everyone's connection breaks for a moment. */
function restartRedis(world: World, fleet: Fleet, change: () => void): void {
  change();
  const links = [...fleet.ids, 'gateway'].map((id) => world.network.link(`${id}>redis`));
  during(world, fleet, links, { mode: 'reset' }, world.scheduler.now() + world.network.between(100, 900));
}

const STRIKES: Readonly<Record<string, { readonly weight: number; readonly clean?: boolean; readonly strike: Strike }>> = {
  kill: {
    weight: 4,
    clean: true,
    strike: (world, fleet) => fleet.kill(pick(world, fleet.ids), world.network.between(2000, 12_000)),
  },
  drain: { weight: 2, strike: (world, fleet) => fleet.drain(pick(world, fleet.ids), world.network.between(500, 5000)) },
  pause: {
    weight: 4,
    strike: (world, fleet, until) => {
      const { network, scheduler } = world;
      const { ttlMs } = world.timing;
      const ms = network.chance(0.4) ? network.between(200, ttlMs) : network.between(ttlMs - 1000, 2 * ttlMs);
      fleet.pause(pick(world, fleet.ids), Math.min(ms, until - scheduler.now()));
    },
  },
  'struck in a statement': {
    weight: 5,
    strike: (world, fleet, _until, end) => {
      const { ambush, network, scheduler } = world;
      const { ttlMs } = world.timing;
      // between read and bump, between bump and fence, between intent and send, between result and ack
      ambush.what = pick(world, ['owners', 'bump', 'intent', 'intent', 'result', 'adopt']);
      ambush.strike = (party) => {
        const id = fleet.idOf(party);
        const left = end - scheduler.now();
        if (id === undefined || left < 1000) return;
        fleet.disturbed();
        if (network.chance(0.3)) fleet.kill(id, network.between(1000, 9000));
        else fleet.pause(id, Math.min(left, network.between(ttlMs - 500, 2 * ttlMs)));
      };
      // somebody has to claim for a claim to be struck
      if (network.chance(0.5)) fleet.kill(pick(world, fleet.ids), network.between(500, 3000));
    },
  },
  'redis cut': {
    weight: 3,
    strike: (world, fleet, until) =>
      during(world, fleet, linksTo(world, fleet, 'redis'), { mode: world.network.chance(0.5) ? 'reset' : 'stall' }, until),
  },
  'postgres cut': {
    weight: 3,
    strike: (world, fleet, until) =>
      during(world, fleet, linksTo(world, fleet, 'postgres'), { mode: world.network.chance(0.5) ? 'reset' : 'stall' }, until),
  },
  'redis lossy': {
    weight: 2,
    strike: (world, fleet, until) => {
      const { network } = world;
      const state = { loss: network.between(0.02, 0.3), delayMs: network.between(0, 400), reorder: network.chance(0.5) };
      during(world, fleet, linksTo(world, fleet, 'redis'), state, until);
    },
  },
  'postgres lossy': {
    weight: 2,
    strike: (world, fleet, until) => {
      const { network } = world;
      const state = { loss: network.between(0.02, 0.3), ghosts: network.between(0, 0.2), delayMs: network.between(0, 500) };
      during(world, fleet, linksTo(world, fleet, 'postgres'), state, until);
    },
  },
  'bells lost': {
    weight: 1,
    strike: (world, _fleet, until) => {
      world.pubsub.loss = world.network.chance(0.5) ? 1 : 0.5;
      world.scheduler.at(until, world.scheduler.world, 'world', 'heal', () => {
        world.pubsub.loss = 0;
      });
    },
  },
  'phones poor': {
    weight: 2,
    strike: (world, _fleet, until) => {
      const { trouble } = world.phones;
      Object.assign(trouble, { lost: 0.08, unanswered: 0.08, slowMs: world.network.between(0, 100) });
      world.scheduler.at(until, world.scheduler.world, 'world', 'heal', () => {
        Object.assign(trouble, { lost: 0, unanswered: 0, slowMs: 0 });
      });
    },
  },
  'clock of a node': {
    weight: 2,
    strike: (world, fleet) => {
      const id = pick(world, fleet.ids);
      const step = pick(world, [-3_600_000, -3000, -400, 400, 3000, 3_600_000]);
      world.wallOffsets.set(id, (world.wallOffsets.get(id) ?? 0) + step);
      fleet.get(id).party.wallOffset += step;
    },
  },
  'clock of Redis': {
    weight: 1,
    strike: (world) => {
      const ms = pick(world, [-5000, -1000, 1000, 5000]);
      world.redis.wallOffset += ms;
      if (ms < 0 || world.lockMasters.length > 0) return;
      world.step.at = world.scheduler.now();
      world.step.taken.clear();
    },
  },
  flushall: { weight: 2, strike: (world) => world.redis.flush() },
  'redis restarted empty': { weight: 1, strike: (world, fleet) => restartRedis(world, fleet, () => world.redis.restore(new Map())) },
  'redis rolled back': {
    weight: 2,
    strike: (world, fleet, until) => {
      const dump = world.redis.dump();
      const { scheduler, network } = world;
      const at = Math.min(scheduler.now() + network.between(200, 6000), Math.max(until, scheduler.now() + 200));
      scheduler.at(at, scheduler.world, 'world', 'rollback', () => {
        fleet.disturbed();
        restartRedis(world, fleet, () => world.redis.restore(dump));
      });
    },
  },
  'lock master': {
    weight: 2,
    strike: (world, fleet, until) => {
      const { network } = world;
      if (world.lockMasters.length === 0) return world.redis.flush();
      if (network.chance(0.3)) return pick(world, world.lockMasters).flush();
      const links = linksToMasters(world, fleet);
      if (network.chance(0.5)) during(world, fleet, links, { mode: network.chance(0.5) ? 'reset' : 'stall' }, until);
      else during(world, fleet, links, { delayMs: network.between(300, 2000), loss: 0.2, reorder: true }, until);
    },
  },
};

const KILLS_APART_MS = 10_000;

export const FAULT_NAMES: readonly string[] = Object.keys(STRIKES);

export function planFaults(world: World, fleet: Fleet, plan: FaultPlan): Fault[] {
  // where there are several lock masters, trouble with them is what such a world is for
  const weightOf = (name: string): number =>
    (STRIKES[name]?.weight ?? 0) * (name === 'lock master' && world.lockMasters.length > 0 ? 4 : 1);
  const chosen = FAULT_NAMES.filter((name) => plan.only === undefined || plan.only.includes(name));
  const names = chosen.flatMap((name) => Array.from({ length: weightOf(name) }, () => name));
  let faults: Fault[] = Array.from({ length: plan.count }, () => ({
    at: world.network.between(plan.fromMs, plan.untilMs - 3000),
    name: pick(world, names),
  }));
  if (plan.killsOnly) {
    faults = Array.from({ length: Math.floor((plan.untilMs - plan.fromMs) / KILLS_APART_MS) }, (_, index) => ({
      at: plan.fromMs + index * KILLS_APART_MS + world.network.between(0, 1000),
      name: 'kill',
    }));
  }
  faults.sort((a, b) => a.at - b.at);
  for (const { at, name } of faults) {
    world.scheduler.at(at, world.scheduler.world, 'world', name, () => {
      const entry = STRIKES[name];
      const clean = entry?.clean === true;
      const lasts = world.network.chance(0.5) ? world.network.between(200, 2000) : world.network.between(2000, 9000);
      const until = Math.min(at + lasts, plan.untilMs);
      // with a short lease a fault that lasts may have begun long before the death that it makes slow
      if (!clean) fleet.disturbed(until);
      entry?.strike(world, fleet, until, plan.untilMs);
      if (!clean) {
        world.scheduler.at(until, world.scheduler.world, 'world', 'over', () => fleet.disturbed());
      }
    });
  }
  return faults;
}
