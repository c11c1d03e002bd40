import { PARTITIONS } from '../../schema/domain/index.ts';
import type { Core } from './core.ts';
import type { Held } from './holdings.ts';
import { type RenewOutcome, renew } from './renew.ts';

/**
 * The renewal wheel: each partition with devices of ours is renewed once per interval, spread over it; one tick serves all that are due, in few round trips.
 * Owns: when each partition is due and since when it waits, and the watch on the two clocks. Called by ownership's tick loop.
 *
 * I1 A partition has one renewal under way at most.
 * I2 A renewal without an answer is tried again after a quarter of the interval; the deadline stands where it was, and the renewal is late.
 * I3 When the wall clock has moved further than the monotonic one (the machine slept), everything is renewed at once; until it is,
 *    `canAct` is false where the wall clock says that the lease has ended.
 */
export interface RenewalWheel {
  /** ends what is past its deadline, starts the renewals that are due; does not wait for them, so that slow servers delay no ending */
  tick(): void;
  /** renews the partition with the next tick */
  soon(partition: number): void;
  /** ms by which the latest renewal is late: due and not done, or without an answer; 0 = none is */
  lateMs(): number;
}

/** Leases in one round trip: some milliseconds of the server. */
const MOST_AT_ONCE = 2000;

export function createRenewalWheel(core: Core): RenewalWheel {
  const { deps, options, holdings, generations } = core;
  const { clock, telemetry } = deps;
  const dueAt = new Map<number, number>();
  /** when the partition's renewal should have been done: stays where it is until a renewal is answered */
  const expectedAt = new Map<number, number>();
  const underway = new Set<number>();
  let last = { monotonic: clock.monotonic(), wall: clock.wall() };

  const watchClocks = (): void => {
    const now = { monotonic: clock.monotonic(), wall: clock.wall() };
    const jump = now.wall - last.wall - (now.monotonic - last.monotonic);
    last = now;
    if (Math.abs(jump) < options.marginMs / 2) return;
    telemetry.log.warn('lease.clock.jump', { ms: Math.round(jump) });
    dueAt.clear();
    for (const partition of holdings.partitions()) dueAt.set(partition, now.monotonic);
  };

  const due = (now: number): number[] => {
    const partitions: number[] = [];
    for (const partition of holdings.partitions()) {
      const at = dueAt.get(partition);
      // the first renewal of a partition falls on its own place in the interval
      if (at === undefined) {
        const first = now + (options.renewMs * partition) / PARTITIONS;
        dueAt.set(partition, first);
        expectedAt.set(partition, first);
      } else if (at <= now && !underway.has(partition)) partitions.push(partition);
    }
    for (const partition of dueAt.keys()) {
      if (holdings.countIn(partition) > 0) continue;
      dueAt.delete(partition);
      expectedAt.delete(partition);
    }
    return partitions;
  };

  /** takes in what came of one partition's renewal; resolves with what has ended by it */
  const take = (partition: number, generation: string, held: readonly Held[], outcome: RenewOutcome): Held[] => {
    const ended: Held[] = [];
    if ('lost' in outcome) {
      core.partitionLost(partition, outcome.lost, generation);
      return ended;
    }
    let unknown = false;
    outcome.renewals.forEach((renewal, i) => {
      const one = held[i];
      // it may have been lost, or lost and granted anew, while the call was under way
      if (one === undefined || holdings.get(renewal.deviceId)?.token !== one.token) return;
      if (renewal.verdict === 'kept') holdings.extend(renewal.deviceId, one.token, renewal);
      else if (renewal.verdict === 'unknown') unknown = true;
      else {
        if (renewal.verdict === 'fenced') telemetry.count('fenced', 1, { where: 'renew' });
        const lost = holdings.lose(renewal.deviceId, renewal.verdict === 'fenced' ? 'FENCED' : 'RENEW_LOST');
        if (lost !== undefined) ended.push(lost);
      }
    });
    const now = clock.monotonic();
    dueAt.set(partition, now + (unknown ? options.renewMs / 4 : options.renewMs));
    if (!unknown) expectedAt.set(partition, now + options.renewMs);
    return ended;
  };

  const renewAll = async (partitions: readonly number[]): Promise<void> => {
    const groups = partitions.flatMap((partition) => {
      const held = holdings.inPartition(partition);
      const generation = generations.get(partition);
      // no generation: the partition is being rebuilt, and what was held in it has ended
      if (held.length === 0 || generation === undefined) return [];
      const items = held.map(({ device: { deviceId, epoch }, token }) => ({ deviceId, token, epoch }));
      return [{ partition, generation, held, items }];
    });
    if (groups.length === 0) return;
    const outcomes = await renew({ redis: deps.redis, locks: core.locks, ttlMs: options.ttlMs }, groups);
    const ended = outcomes.flatMap((outcome, i) => {
      const group = groups[i];
      return group === undefined ? [] : take(group.partition, group.generation, group.held, outcome);
    });
    // not waited for: what is gone must not keep the rest from its next renewal
    if (ended.length > 0) void core.letGo(ended, false);
  };

  /** so many devices that one round trip stays short: a large fleet's tick goes out in several */
  const rounds = (partitions: readonly number[]): number[][] => {
    const parts: number[][] = [];
    let size = Number.POSITIVE_INFINITY;
    for (const partition of partitions) {
      const count = holdings.countIn(partition);
      if (size + count > MOST_AT_ONCE) {
        parts.push([]);
        size = 0;
      }
      parts.at(-1)?.push(partition);
      size += count;
    }
    return parts;
  };

  return {
    tick() {
      watchClocks();
      const expired = holdings.expire();
      if (expired.length > 0) void core.letGo(expired, false);
      const start = clock.monotonic();
      const partitions = due(start);
      if (partitions.length === 0) return;
      for (const partition of partitions) underway.add(partition);
      for (const round of rounds(partitions)) {
        renewAll(round)
          .then(
            () => telemetry.record('lease.renew.duration', (clock.monotonic() - start) / 1000),
            (error: unknown) => telemetry.log.error('lease.renew.failed', {}, error),
          )
          .finally(() => {
            for (const partition of round) underway.delete(partition);
          });
      }
    },
    soon: (partition) => void dueAt.set(partition, 0),
    lateMs() {
      let earliest = Number.POSITIVE_INFINITY;
      for (const [partition, at] of expectedAt) if (at < earliest && holdings.countIn(partition) > 0) earliest = at;
      return Math.max(0, clock.monotonic() - earliest);
    },
  };
}
