import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { partitionOf } from '../../schema/domain/index.ts';
import { withinDeadline } from './deadline.ts';
import type { GrantReason, LossCause, OwnedDevice } from './port.ts';
import type { Deadlines, Lease } from './redlock.ts';

/**
 * The devices this node owns, with token and deadlines. Synchronous; never talks to a server.
 * Owns: the table and the abort signals. Does not own: the leases in Redis (who loses a device here releases them, if they may still stand).
 * Called by claim, handover, the renewal loop and ownership.
 *
 * I1 A device is aborted first, then forgotten; once aborted `canAct` is false for ever (a new ownership is a new object).
 * I2 Only `extend` moves a deadline, and never backwards.
 * I3 `canAct` looks at both clocks: the monotonic one does not run while some machines sleep, the wall clock does.
 */
export interface Held extends Deadlines {
  readonly device: OwnedDevice;
  readonly token: string;
  /** monotonic ms */
  readonly grantedAt: number;
  /** being settled for a handover: not offered to another one */
  settling: boolean;
}

export interface Holdings {
  readonly owned: ReadonlyMap<string, OwnedDevice>;
  get(deviceId: string): Held | undefined;
  all(): IterableIterator<Held>;
  inPartition(partition: number): readonly Held[];
  /** how many devices of the partition are ours */
  countIn(partition: number): number;
  /** partitions with at least one device of ours */
  partitions(): IterableIterator<number>;
  grant(lease: Lease, epoch: number, reason: GrantReason, crashes: number): OwnedDevice;
  extend(deviceId: string, token: string, deadlines: Deadlines): void;
  /** ends an ownership; the result is what was held, to be released if it may still stand */
  lose(deviceId: string, cause: LossCause): Held | undefined;
  /** loses every device whose deadline less the margin has passed */
  expire(): Held[];
  /** true when this process held the device at exactly this epoch before: losing it was no crash */
  heldBefore(deviceId: string, epoch: number): boolean;
}

interface Entry extends Held {
  deadline: number;
  wallDeadline: number;
  readonly controller: AbortController;
}

export function createHoldings(deps: { readonly clock: Clock; readonly telemetry: Telemetry; readonly marginMs: number }): Holdings {
  const { clock, telemetry, marginMs } = deps;
  const entries = new Map<string, Entry>();
  const owned = new Map<string, OwnedDevice>();
  const partitions = new Map<number, Map<string, Entry>>();
  const before = new Map<string, number>();
  /** no entry's deadline is before this one: deadlines only move on (I2) */
  let soonest = Number.POSITIVE_INFINITY;

  const lose: Holdings['lose'] = (deviceId, cause) => {
    const entry = entries.get(deviceId);
    if (entry === undefined) return undefined;
    entry.controller.abort(cause);
    entries.delete(deviceId);
    owned.delete(deviceId);
    const group = partitions.get(entry.device.partition);
    group?.delete(deviceId);
    if (group?.size === 0) partitions.delete(entry.device.partition);
    // STUCK: whoever has it next, this node too, takes it over from an owner that did not end its turn
    if (cause !== 'STUCK') before.set(deviceId, entry.device.epoch);
    telemetry.count('lease.lost', 1, { cause });
    return entry;
  };

  return {
    owned,
    get: (deviceId) => entries.get(deviceId),
    all: () => entries.values(),
    inPartition: (partition) => [...(partitions.get(partition)?.values() ?? [])],
    countIn: (partition) => partitions.get(partition)?.size ?? 0,
    partitions: () => partitions.keys(),
    grant(lease, epoch, reason, crashes) {
      lose(lease.deviceId, 'FENCED');
      const controller = new AbortController();
      const { signal } = controller;
      const partition = partitionOf(lease.deviceId);
      const device: OwnedDevice = Object.freeze({
        deviceId: lease.deviceId,
        partition,
        epoch,
        reason,
        crashes,
        signal,
        canAct: () =>
          !signal.aborted &&
          withinDeadline(clock.monotonic(), entry.deadline, marginMs) &&
          withinDeadline(clock.wall(), entry.wallDeadline, marginMs),
      });
      const entry: Entry = {
        device,
        token: lease.token,
        deadline: lease.deadline,
        wallDeadline: lease.wallDeadline,
        grantedAt: clock.monotonic(),
        settling: false,
        controller,
      };
      soonest = Math.min(soonest, lease.deadline);
      entries.set(lease.deviceId, entry);
      owned.set(lease.deviceId, device);
      const group = partitions.get(partition);
      if (group === undefined) partitions.set(partition, new Map([[lease.deviceId, entry]]));
      else group.set(lease.deviceId, entry);
      before.delete(lease.deviceId);
      telemetry.count('lease.acquired', 1, { reason });
      return device;
    },
    extend(deviceId, token, deadlines) {
      const entry = entries.get(deviceId);
      if (entry === undefined || entry.token !== token || deadlines.deadline <= entry.deadline) return;
      entry.deadline = deadlines.deadline;
      entry.wallDeadline = deadlines.wallDeadline;
    },
    lose,
    expire() {
      const now = clock.monotonic();
      const lost: Held[] = [];
      if (withinDeadline(now, soonest, marginMs)) return lost;
      soonest = Number.POSITIVE_INFINITY;
      for (const entry of entries.values()) {
        if (withinDeadline(now, entry.deadline, marginMs)) soonest = Math.min(soonest, entry.deadline);
        else {
          lose(entry.device.deviceId, 'EXPIRED');
          lost.push(entry);
        }
      }
      return lost;
    },
    heldBefore: (deviceId, epoch) => before.get(deviceId) === epoch,
  };
}
