import type { Clock, Dice } from '../../ops/lifecycle/index.ts';

export interface Absent {
  readonly deviceId: string;
  /** this node's rank for the device */
  readonly rank: number;
}

/**
 * Who may try next: a node of rank k leaves a device without a lease to the better-ranked ones for k x 2 scans, give or take half.
 * Counted in time, not in scans: a node that scans more often because it takes devices over is not to be faster than one whose devices they are.
 * Owns: since when each device has been seen without a lease. Called once per scan.
 */
export interface Waiting {
  /** the devices to try now, best rank first; devices not named in `absent` are forgotten */
  due(absent: readonly Absent[]): Absent[];
}

const SCANS_PER_RANK = 2;

export function createWaiting(clock: Clock, dice: Dice, scanMs: number): Waiting {
  let since = new Map<string, { readonly at: number; readonly jitter: number }>();
  return {
    due(absent) {
      const now = clock.monotonic();
      const next: typeof since = new Map();
      const ready: Absent[] = [];
      for (const entry of absent) {
        if (entry.rank === Number.POSITIVE_INFINITY) continue;
        if (entry.rank === 0) {
          ready.push(entry);
          continue;
        }
        const seen = since.get(entry.deviceId) ?? { at: now, jitter: 0.5 + dice.next() };
        next.set(entry.deviceId, seen);
        if (now - seen.at >= entry.rank * SCANS_PER_RANK * scanMs * seen.jitter) ready.push(entry);
      }
      since = next;
      return ready.sort((a, b) => a.rank - b.rank);
    },
  };
}
