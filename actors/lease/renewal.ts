import { PARTITIONS } from '../../schema/domain/index.ts';
import type { Core } from './core.ts';
import type { Held } from './holdings.ts';
import { eachLimited } from './pool.ts';
import { renew } from './renew.ts';

/**
 * The renewal wheel: each partition with devices of ours is renewed once per interval, spread over it; one tick serves all that are due.
 * Owns: when each partition is due, and the watch on the two clocks. Called by ownership's tick loop.
 *
 * I1 A partition has one renewal under way at most.
 * I2 A renewal without an answer is tried again after a quarter of the interval; the deadline stands where it was.
 * I3 When the wall clock has moved further than the monotonic one (the machine slept), everything is renewed at once; until it is,
 *    `canAct` is false where the wall clock says that the lease has ended.
 */
export interface RenewalWheel {
  /** ends what is past its deadline, starts the renewals that are due; does not wait for them, so that slow servers delay no ending */
  tick(): void;
  /** renews the partition with the next tick */
  soon(partition: number): void;
}

export function createRenewalWheel(core: Core): RenewalWheel {
  const { deps, options, holdings, generations } = core;
  const { clock, telemetry } = deps;
  const dueAt = new Map<number, number>();
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
      if (at === undefined) dueAt.set(partition, now + (options.renewMs * partition) / PARTITIONS);
      else if (at <= now && !underway.has(partition)) partitions.push(partition);
    }
    for (const partition of dueAt.keys()) if (holdings.inPartition(partition).length === 0) dueAt.delete(partition);
    return partitions;
  };

  const renewPartition = async (partition: number): Promise<void> => {
    try {
      const held = holdings.inPartition(partition);
      const generation = generations.get(partition);
      // no generation: the partition is being rebuilt, and what was held in it has ended
      if (held.length === 0 || generation === undefined) return;
      const items = held.map((one) => ({ deviceId: one.device.deviceId, token: one.token, epoch: one.device.epoch }));
      const outcome = await renew({ redis: deps.redis, locks: core.locks, ttlMs: options.ttlMs }, partition, generation, items);
      if ('lost' in outcome) return core.partitionLost(partition, outcome.lost, generation);
      let unknown = false;
      const ended: Held[] = [];
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
      dueAt.set(partition, clock.monotonic() + (unknown ? options.renewMs / 4 : options.renewMs));
      if (ended.length > 0) await core.letGo(ended, false);
    } finally {
      underway.delete(partition);
    }
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
      eachLimited(partitions, 32, renewPartition).then(
        () => telemetry.record('lease.renew.duration', (clock.monotonic() - start) / 1000),
        (error: unknown) => {
          for (const partition of partitions) underway.delete(partition);
          telemetry.log.error('lease.renew.failed', {}, error);
        },
      );
    },
    soon: (partition) => void dueAt.set(partition, 0),
  };
}
