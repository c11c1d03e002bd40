import type { Clock, Dice } from '../../ops/lifecycle/index.ts';

export interface Absent {
  readonly deviceId: string;
  /** this node's rank for the device */
  readonly rank: number;
}

/**
 * Who may try next: a node of rank k leaves a device without a lease to the better-ranked ones for k x 1.1 to 1.4 scans. A living one has looked
 * within 1.1; the rest is what claiming takes, so that not many are asked for twice. Longer, and a device whose first in rank has just died too
 * would be late (docs/ownership.md, the time budget).
 * Counted in time, not in scans: a node that scans more often because it takes devices over is not to be faster than one whose devices they are.
 * Owns: since when each device has been seen without a lease. Called once per scan.
 */
export interface Waiting {
  /** the devices to try now, best rank first; devices not named in `absent` are forgotten */
  due(absent: readonly Absent[]): Absent[];
  /** some of those last asked about are not due yet: the next look should come soon */
  readonly pending: boolean;
}

/** scans per rank */
const LEAST = 1.1;
const MOST = 1.4;

export function createWaiting(clock: Clock, dice: Dice, scanMs: number): Waiting {
  let since = new Map<string, { readonly at: number; readonly scans: number }>();
  let pending = false;
  return {
    due(absent) {
      const now = clock.monotonic();
      const next: typeof since = new Map();
      const ready: Absent[] = [];
      pending = false;
      for (const entry of absent) {
        if (entry.rank === Number.POSITIVE_INFINITY) continue;
        if (entry.rank === 0) {
          ready.push(entry);
          continue;
        }
        const seen = since.get(entry.deviceId) ?? { at: now, scans: LEAST + (MOST - LEAST) * dice.next() };
        next.set(entry.deviceId, seen);
        if (now - seen.at >= entry.rank * seen.scans * scanMs) ready.push(entry);
        else pending = true;
      }
      since = next;
      return ready.sort((a, b) => a.rank - b.rank);
    },
    get pending() {
      return pending;
    },
  };
}
