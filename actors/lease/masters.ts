import type { Redis } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { atMost } from './pool.ts';
import type { TakenLease } from './redlock.ts';
import { sinceScript } from './scripts.ts';

/**
 * Which lock masters can be believed. One that was started again, was failed over to, was emptied or whose clock was stepped forward may have
 * forgotten leases whose owners do not know of it and act until their own deadlines: for one TTL the absence of a lease there says nothing
 * (Redlock's delayed restart: redis.io, "Distributed locks with Redis", safety arguments).
 * Owns: what the masters said last. Does not own: the leases (redlock.ts), generations (of what else Redis holds). Called by claim and scan.
 *
 * I1 A lease taken from another owner counts only with the votes of a quorum that could be believed when asked after the lease was won.
 * I2 The mark of a master is as old as it, to the interval of the scans: whoever asks first after the event writes it.
 * I3 A master that does not answer is not believed by whoever asked.
 */
export interface Masters {
  /**
   * Asks all masters; resolves with those that can be believed (places in the list), as soon as `enough` of them have answered or all have. Never
   * throws.
   */
  look(enough?: (believed: ReadonlySet<number>) => boolean): Promise<ReadonlySet<number>>;
  /** as far as is known from the last looks: too few can be believed to take leases from other owners */
  young(): boolean;
  /** I1: enough of those who gave this lease are among them */
  sure(lease: Pick<TakenLease, 'voters'>, believed: ReadonlySet<number>): boolean;
}

interface Seen {
  /** monotonic ms from which it can be believed */
  from: number;
  /** its clock less ours was at most this when it last answered, at this time of ours */
  clock: { readonly most: number; readonly at: number } | undefined;
}

/** Share by which clocks may run apart, and the precision of the servers' clock, ms. */
const DRIFT_FACTOR = 0.01;
const PRECISION_MS = 2;

export function createMasters(
  servers: readonly Redis[],
  options: { readonly ttlMs: number; readonly timeoutMs: number },
  clock: Pick<Clock, 'monotonic' | 'after'>,
): Masters {
  const { ttlMs, timeoutMs } = options;
  const quorum = (servers.length + 1) / 2;
  const seen: Seen[] = servers.map(() => ({ from: Number.NEGATIVE_INFINITY, clock: undefined }));

  /** true when the master can be believed */
  const ask = async (server: Redis, one: Seen): Promise<boolean> => {
    const sent = clock.monotonic();
    let [age, now] = await sinceScript(server, false);
    let received = clock.monotonic();
    const before = one.clock;
    if (before !== undefined && now - received > before.most + PRECISION_MS + DRIFT_FACTOR * (received - before.at)) {
      // leases ended with the step, not with their time
      [age, now] = await sinceScript(server, true);
      received = clock.monotonic();
    }
    one.clock = { most: now - sent, at: received };
    one.from = received + (ttlMs - age) * (1 + DRIFT_FACTOR) + PRECISION_MS;
    return one.from <= received;
  };

  return {
    async look(enough = () => false) {
      const believed = new Set<number>();
      let satisfied = (): void => {};
      const early = new Promise<void>((resolve) => {
        satisfied = resolve;
      });
      const all = Promise.all(
        servers.map(async (server, place) => {
          if (!(await ask(server, seen[place] as Seen).catch(() => false))) return;
          believed.add(place);
          if (enough(believed)) satisfied();
        }),
      );
      await atMost(clock, Promise.race([all, early]), timeoutMs);
      // what comes later is not part of this answer
      return new Set(believed);
    },
    young() {
      const now = clock.monotonic();
      return seen.filter(({ from }) => from <= now).length < quorum;
    },
    sure: ({ voters }, believed) => [...voters].filter((place) => believed.has(place)).length >= quorum,
  };
}
