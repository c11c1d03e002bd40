import type { Clock } from '../../ops/lifecycle/index.ts';

/**
 * From which moment on to ask a table for its changes, where a row becomes visible up to `overlapMs` after its time of change.
 * Owns: the newest change seen, and since when. Called by whoever polls, one question at a time: `since`, ask, `answered`.
 *
 * I1 Questions overlap by `overlapMs` until one has been asked that long after the newest change was seen: by then everything up to it is
 *    visible and read. From there on only what is newer is asked for, so that a fleet changed at one stroke is not read for ever.
 */
export interface ChangeCursor {
  /** wall ms, by the table's clock: ask for what changed at or after it */
  since(): number;
  /** the times of change in the answer to the last question */
  answered(changedAt: Iterable<number>): void;
  /** forgets what was seen: changes count from here (wall ms) */
  restart(fromMs: number): void;
}

export function createChangeCursor(clock: Pick<Clock, 'monotonic'>, overlapMs: number): ChangeCursor {
  let latest = 0;
  let seenAt = 0;
  let askedAt = 0;
  let settled = false;
  return {
    since() {
      askedAt = clock.monotonic();
      return Math.max(0, settled ? latest + 1 : latest - overlapMs);
    },
    answered(changedAt) {
      let newest = latest;
      for (const at of changedAt) newest = Math.max(newest, at);
      if (newest > latest) {
        latest = newest;
        seenAt = clock.monotonic();
        settled = false;
      } else if (askedAt - seenAt >= overlapMs) settled = true;
    },
    restart(fromMs) {
      latest = fromMs;
      seenAt = clock.monotonic();
      settled = false;
    },
  };
}
