import { deviceKeys, PARTITIONS, partitionKeys, partitionOf } from '../../schema/domain/index.ts';
import { type Absent, createWaiting, type Directory, mayClaim, nextRamp, plan, type Ramp, rankOf, startRamp } from '../placement/index.ts';
import type { Claims } from './claim.ts';
import type { Core } from './core.ts';
import { namedBy, readReleased } from './let-go.ts';

/**
 * Looks for devices without a lease and claims those that should be here; looks at every partition's generation on the way.
 * Owns: the plan (which node each device should be on), the claim budget, who has waited how long. Called by ownership's scan loop.
 *
 * I1 One pipelined read per scan (what is ours costs one look at its partition's generation); a device that has a lease is never touched, whoever holds it.
 * I2 A missing generation is set by whoever sees it first; one that differs from the belief is a loss.
 * I3 While a generation is younger than one TTL, or too few lock masters can be believed (masters.ts), only the node named in Postgres claims, whatever the plan says.
 * I4 Renewals first: while they are late fewer devices are claimed, or none.
 */
export interface Scan {
  /** one scan; resolves with true when there is more to do and the next scan should come soon */
  run(): Promise<boolean>;
  /** the planned node of each device, for the living active nodes */
  targets(): ReadonlyMap<string, string>;
  /** the host gave these up: not claimed here for a while */
  rest(deviceIds: readonly string[]): void;
}

interface Reading {
  readonly redisNow: number;
  /** generations were made just now: their devices are looked at by the next scan */
  readonly made: boolean;
  readonly absent: readonly string[];
}

/** After the host gave a device up, others go first for this long. Guess. */
const REST_MS = 5000;

/** Shared by the partitions in which nothing is to be looked at; never written to. */
const NONE: string[] = [];
const NOTHING = { asked: 0, granted: 0, took: 0 };

export function createScan(core: Core, directory: Directory, claims: Claims, look: () => Promise<void>): Scan {
  const { deps, options, holdings, generations } = core;
  const waiting = createWaiting(deps.clock, deps.dice, options.scanMs);
  const resting = new Map<string, number>();
  let ramp: Ramp = startRamp;
  /** a node has died: its leases end within the renewal interval after the first of them, a few or many at a time (monotonic ms) */
  let dyingUntil = 0;
  let planned: Map<string, string> = new Map();
  let plannedFor = '';

  const active = () => core.members.filter((node) => node.state === 'ACTIVE');
  const targets = (): ReadonlyMap<string, string> => {
    const nodes = active();
    const key = `${directory.version} ${nodes.map((node) => `${node.id}/${node.capacity}/${node.version}`).join(' ')}`;
    if (key !== plannedFor) {
      planned = plan(directory.ids(), nodes, directory.pins);
      plannedFor = key;
    }
    return planned;
  };

  /** the server that says which leases are absent: a hint, the lease itself decides */
  const hints = () => core.locks.masters.find((master) => master.status === 'ready') ?? deps.redis;

  const read = async (): Promise<Reading> => {
    const asked: { readonly partition: number; readonly believed: string | undefined; readonly ids: string[] }[] = [];
    const now = deps.clock.monotonic();
    for (const [id, until] of resting) if (until <= now) resting.delete(id);
    const leases = hints().pipeline();
    let questions = 0;
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const all = directory.inPartition(partition);
      if (all.size === 0) continue;
      let ids = NONE;
      for (const id of all) {
        if (holdings.owned.has(id) || core.busy.has(id) || resting.has(id)) continue;
        if (ids === NONE) ids = [];
        ids.push(id);
      }
      asked.push({ partition, believed: generations.get(partition), ids });
      if (ids.length === 0) continue;
      leases.mget(...ids.map((id) => deviceKeys(id, partition).lease));
      questions++;
    }
    const first = deps.redis.pipeline().time();
    if (asked.length > 0) first.mget(...asked.map(({ partition }) => partitionKeys(partition).generation));
    const [general, held] = await Promise.all([first.exec(), questions === 0 ? null : leases.exec()]);
    const [time, stored] = (general ?? []).map(([error, value]) => {
      if (error !== null) throw error;
      return value;
    });
    const [seconds, micros] = time as [string, string];
    const values = (stored ?? []) as readonly (string | null)[];
    const absent: string[] = [];
    const missing: number[] = [];
    let reply = 0;
    asked.forEach(({ partition, believed, ids }, i) => {
      const stored = values[i] ?? null;
      const seen = generations.observe(partition, stored, believed);
      if (seen === 'missing') missing.push(partition);
      else if (seen === 'lost-missing') core.partitionLost(partition, 'MISSING', believed);
      else if (seen === 'lost-changed') core.partitionLost(partition, 'CHANGED', believed);
      if (ids.length === 0) return;
      const [error, tokens] = held?.[reply++] ?? [null, null];
      if (error !== null || !Array.isArray(tokens) || stored === null) return;
      ids.forEach((id, k) => {
        if (tokens[k] === null) absent.push(id);
      });
    });
    await Promise.all(missing.map((partition) => generations.establish(partition, '')));
    return { redisNow: Number(seconds) * 1000 + Number(micros) / 1000, made: missing.length > 0, absent };
  };

  return {
    targets,
    rest(deviceIds) {
      const until = deps.clock.monotonic() + REST_MS;
      for (const id of deviceIds) resting.set(id, until);
    },
    async run() {
      // not waited for: a master that hangs must not hold up the scan, and a claim asks for itself
      void core.masters.look();
      const { redisNow, made, absent } = await read();
      if (core.phase !== 'running') return false;
      // whose they should be now: a node may have begun to drain, or have died, since the last heartbeat was read
      if (absent.length > 0) await look();
      const nodes = active();
      if (absent.length === 0 || !nodes.some((node) => node.id === options.nodeId)) {
        waiting.due([]);
        if (deps.clock.monotonic() < dyingUntil) return true;
        ramp = nextRamp(ramp, NOTHING, core.renewalsLate());
        return made;
      }
      const aims = targets();
      const youngPartitions = new Map<number, boolean>();
      const young = (partition: number): boolean => {
        const known = youngPartitions.get(partition) ?? (core.masters.young() || generations.young(partition, redisNow));
        youngPartitions.set(partition, known);
        return known;
      };
      const named = await namedHere(core, absent, young);
      const ranked: Absent[] = [];
      for (const deviceId of absent) {
        const owner = named.get(deviceId);
        if (owner === 'other') continue;
        const rank = owner === 'me' ? 0 : rankOf(deviceId, options.nodeId, aims.get(deviceId), nodes);
        ranked.push({ deviceId, rank });
      }
      const room = Math.max(0, options.capacity - holdings.owned.size - core.busy.size);
      const due = waiting.due(ranked).slice(0, Math.min(ramp.budget, room));
      const held = due.length > 0 && !mayClaim(core.renewalsLate());
      if (held) deps.telemetry.count('claims.held');
      const claimed = held ? NOTHING : await claims.claim(idsOf(due), young);
      const full = claimed.asked >= ramp.budget;
      ramp = nextRamp(ramp, claimed, core.renewalsLate());
      const soon = !held && room > 0 && waiting.pending;
      const now = deps.clock.monotonic();
      if (claimed.granted > 0) dyingUntil = now + options.renewMs;
      return full || made || now < dyingUntil || soon;
    },
  };
}

const idsOf = (absent: readonly Absent[]): string[] => absent.map((entry) => entry.deviceId);

/** Most devices of young partitions looked up in Postgres by one scan. */
const NAMED_CAP = 5000;

/** For devices in young partitions: whom Postgres names, and Redis does not say has let go. */
async function namedHere(core: Core, absent: readonly string[], young: (partition: number) => boolean): Promise<Map<string, string>> {
  const named = new Map<string, string>();
  const asked = absent.filter((id) => young(partitionOf(id))).slice(0, NAMED_CAP);
  if (asked.length === 0) return named;
  const rows = await core.deps.ledger.owners(asked);
  const released = await readReleased(core.deps.redis, rows);
  for (const row of rows) named.set(row.deviceId, namedBy(row, released, core.options.nodeId));
  return named;
}
