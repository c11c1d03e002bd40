import { createHash } from 'node:crypto';
import { seededDice } from '../../../ops/lifecycle/index.ts';
import { BELL, PROOF_STATES, partitionKeys, partitionOf, type TransportKind } from '../../../schema/domain/index.ts';
import { createAudit } from './audit.ts';
import { checkDepth, checkEnd, checkOwned, openMessages, unowned } from './checks.ts';
import { FAULT_NAMES, type Fault, planFaults } from './faults.ts';
import { createFleet } from './fleet.ts';
import { takeGlobals } from './globals.ts';
import { addDevice, changeDevice, createTables } from './ledger-rows.ts';
import { createNetwork } from './network.ts';
import { createPhones } from './phones.ts';
import { createPubSub } from './redis-client.ts';
import { createRedisServer } from './redis-server.ts';
import { createScheduler } from './scheduler.ts';
import { scriptNames } from './script-names.ts';
import { createTally } from './tally.ts';
import { timingOf } from './timing.ts';
import { idMaker, startTraffic } from './traffic.ts';
import type { World } from './world-parts.ts';

/** One world: the real host, actors, ownership and placement on simulated stores, from a seed to a verdict. */
export interface Settings {
  readonly nodes: number;
  readonly devices: number;
  readonly messages: number;
  readonly faults: number;
  /** names of the only faults there are; undefined = all, in their weights */
  readonly only?: readonly string[];
  /** traffic and faults end before this much of the world is left; then it is quiet */
  readonly seconds: number;
}
export const SETTINGS: Settings = { nodes: 3, devices: 50, messages: 2000, faults: 10, seconds: 60 };

export interface Outcome {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly simulatedMs: number;
  /** at most 20, in the order of their times */
  readonly violations: readonly string[];
  readonly faults: readonly Fault[];
  /** sums over the world; see main.ts for the names */
  readonly figures: Readonly<Record<string, number>>;
}

/** The settings of worlds with these faults alone, separated by |. @throws Error for a name that there is not */
export function settingsOf(faults: string | undefined): Settings {
  if (faults === undefined) return SETTINGS;
  const only = faults.split('|');
  const unknown = only.find((name) => !FAULT_NAMES.includes(name));
  if (unknown !== undefined) throw new Error(`--faults: no fault "${unknown}", expected some of ${FAULT_NAMES.join('|')}`);
  return { ...SETTINGS, only };
}

const QUIET_MS = 16_000;
/** messages that are still open after the quiet time get this long before they count as lost (breakers pause for 30 s) */
const PATIENCE_MS = 120_000;
const MOST_VIOLATIONS = 20;
const PARTITIONS_USED = 8;
/** this long after the last fault every device has an owner again */
const TAKEN_MS = 9000;
/** a planned move takes less */
const HANDOVER_MS = 1000;

export interface Watch {
  /** every event and log line */
  trace?(line: string): void;
}

/** Runs one world to its end, in one piece: nothing else of the process runs meanwhile. Call it from outside of promise reactions. */
export function runWorld(seed: number, settings: Settings = SETTINGS, watch: Watch = {}): Outcome {
  const { trace } = watch;
  const scheduler = createScheduler(
    trace === undefined
      ? undefined
      : (event) => trace(`${scheduler.now().toFixed(3).padStart(10)} ${event.party.name.padEnd(10)} ${event.kind} ${event.what}`),
  );
  const violations: string[] = [];
  const violation = (invariant: string, what: string): void => {
    const line = `${invariant} at ${(scheduler.now() / 1000).toFixed(3)} s: ${what}`;
    trace?.(`VIOLATION ${line}`);
    if (violations.length < MOST_VIOLATIONS) violations.push(line);
  };
  const release = takeGlobals(scheduler, seed, (error) => violation('I0', `unhandled rejection: ${String(error)}`));
  try {
    return run();
  } finally {
    release();
  }

  function run(): Outcome {
    const dice = seededDice(seed);
    const network = createNetwork(scheduler, seededDice(seed ^ 0x6e657477));
    const pubsub = createPubSub(scheduler, network);
    const audit = createAudit(violation);
    const names = scriptNames();
    const serverOf = (name: string) => {
      const server = createRedisServer(name, {
        wall: scheduler.wall,
        published: pubsub.published,
        audit: (sha, keys, args, execute) => audit.script(server, names.get(sha), keys, args, execute),
      });
      return server;
    };
    const tables = createTables();
    const tally = createTally(
      trace === undefined ? undefined : (line) => trace(`${scheduler.now().toFixed(3).padStart(10)} ${line}`),
      violation,
    );
    const timing = timingOf(seed);
    const step: World['step'] = { at: Number.NEGATIVE_INFINITY, taken: new Set() };
    const world: World = {
      seed,
      timing,
      dice,
      scheduler,
      network,
      redis: serverOf('redis'),
      lockMasters: Array.from({ length: lockMastersOf(seed) }, (_, index) => serverOf(`lock-${index + 1}`)),
      pubsub,
      tables,
      audit,
      phones: createPhones({ scheduler, network, tables, timing, step, violation }),
      wallOffsets: new Map(),
      step,
      ambush: { what: undefined, strike: () => {} },
      violation,
      news(events) {
        // H2: said only after its commit
        for (const { messageId, state } of events) {
          const row = tables.messages.get(messageId);
          if (PROOF_STATES.has(state) && (row === undefined || !PROOF_STATES.has(row.state)))
            violation('I4', `${messageId} was said to be ${state} before it was`);
        }
      },
    };
    const tenantId = '00000000-0000-7000-8000-000000000001';
    const devices = makeDevices(world, settings.devices, tenantId);
    const ids = Array.from({ length: settings.nodes }, (_, index) => `node-${index + 1}`);
    const fleet = createFleet(world, ids, tally.of);
    Object.assign(world.phones.trouble, { busy: 0.01, refused: 0.003 });
    const endMs = settings.seconds * 1000;
    const calmMs = endMs - QUIET_MS;
    const traffic = startTraffic(
      world,
      { messages: settings.messages, fromMs: 1000, untilMs: calmMs - 3000, devices, tenantId },
      tally.of('gateway'),
    );
    // every eighth world has kills alone, far apart: there the bound on takeovers is judged
    const faults = planFaults(world, fleet, {
      count: settings.faults,
      fromMs: 4000,
      untilMs: calmMs,
      killsOnly: settings.only === undefined && seed % 8 === 1,
      only: settings.only,
    });
    scheduler.at(calmMs + TAKEN_MS, scheduler.world, 'world', 'owned', () => {
      const before = unowned(world, fleet);
      scheduler.at(scheduler.now() + HANDOVER_MS, scheduler.world, 'world', 'owned', () => checkOwned(world, fleet, before));
    });
    for (let at = 2500; at < calmMs; at += 5000) scheduler.at(at, scheduler.world, 'world', 'depth', () => checkDepth(world));

    for (let at = calmMs; at < endMs + PATIENCE_MS; at += 2000)
      scheduler.at(at, scheduler.world, 'world', 'operator', () => operate(world));

    scheduler.runUntil(endMs);
    for (let more = 0; more < PATIENCE_MS && !scheduler.endless && openMessages(world) > 0; more += 5000)
      scheduler.runUntil(scheduler.now() + 5000);
    // devices are moved to where they should be in quiet times too: not judged in the middle of that
    for (let more = 0; more < 4 && !scheduler.endless && unowned(world, fleet).length > 0; more++)
      scheduler.runUntil(scheduler.now() + HANDOVER_MS / 2);
    if (scheduler.endless) violation('I0', `no end in sight after ${scheduler.delivered} events`);
    checkEnd(world, fleet);
    const figures: Record<string, number> = {
      ...tally.figures,
      ...audit.figures,
      ...fleet.figures,
      ...world.phones.figures,
      ...traffic.figures,
      messages: tables.messages.size,
      late: scheduler.now() > endMs ? 1 : 0,
    };
    return {
      seed,
      hash: scheduler.hash(),
      events: scheduler.delivered,
      simulatedMs: scheduler.now(),
      violations,
      faults,
      figures,
    };
  }
}

/** Every sixth world has three lock masters, every sixth five; in the rest the main Redis is the only one. */
const lockMastersOf = (seed: number): number => (seed % 6 === 3 ? 3 : seed % 6 === 0 ? 5 : 0);

/** The operator gives back what was quarantined or paused meanwhile, as releaseDevice and resumeDevice do. */
function operate(world: World): void {
  const { tables, scheduler, redis } = world;
  for (const row of tables.devices.values()) {
    const owner = tables.ownership.get(row.id);
    if ((!row.quarantined && !row.paused) || owner === undefined) continue;
    owner.crashes = 0;
    changeDevice(tables, row.id, { quarantined: false, quarantineReason: null, paused: false, pauseReason: null }, scheduler.wall());
    redis.run('PUBLISH', [partitionKeys(row.partition).bell, `${BELL.changed}${row.id}`]);
  }
}

/** Devices in few partitions, so that each node has several of each; a fifth of them may not repeat what is unknown. */
function makeDevices(world: World, count: number, tenantId: string): string[] {
  const nextId = idMaker(world);
  const ids: string[] = [];
  while (ids.length < count) {
    const id = nextId();
    if (partitionOf(id) % (256 / PARTITIONS_USED) !== 0) continue;
    const transport: TransportKind = ids.length % 5 === 4 ? 'whatsapp' : 'simulator';
    const at = world.scheduler.wall();
    addDevice(world.tables, {
      id,
      tenantId,
      partition: partitionOf(id),
      name: `device-${ids.length}`,
      phone: null,
      transport,
      paired: true,
      paused: false,
      pauseReason: null,
      quarantined: false,
      quarantineReason: null,
      paceMinMs: 20,
      paceMaxMs: 80,
      dailyCap: null,
      settings: {},
      createdAt: at,
      changedAt: at,
      deleted: false,
    });
    ids.push(id);
  }
  return ids;
}

/** runs a world from a fresh turn of the event loop */
export function runWorldSoon(seed: number, settings: Settings = SETTINGS, watch: Watch = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(runWorld(seed, settings, watch));
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** one text for many hashes: the same seeds give the same one */
export const digestOf = (hashes: readonly string[]): string => createHash('sha256').update(hashes.join()).digest('hex').slice(0, 16);
