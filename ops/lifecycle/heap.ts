import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import type { Clock } from './clock.ts';

/** Below this share of its time a process has time to collect more often. Guess. */
const IDLE_BELOW = 0.6;
const LOOK_MS = 1000;
/** looks in a row that must find it busy: a start is no load. Guess. */
const LASTING = 5;
/**
 * How much a heap may grow beyond what was alive after the last collection before the next one: percent; 0 = as V8 likes, up to fourfold on a machine
 * with much memory. With 25 a gateway and two nodes under 60,000 messages a minute of simulated phones hold 480 MB, without 790 (bench `pinned`, one
 * run); a node that drains as fast as it can would take half as much CPU again (bench `drain`), so it is left alone then.
 */
const SPARING = 25;
const AS_IT_LIKES = 0;

export interface HeapDeps {
  readonly clock: Clock;
  /** share of time that the event loop worked since the last call */
  readonly busy?: () => number;
  /** @param percent of growth; see SPARING */
  readonly grow?: (percent: number) => void;
}

function loopBusy(): () => number {
  let last: EventLoopUtilization = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}

/** Keeps the heap of a process that has time small, and lets that of a busy one grow. @returns ends it */
export function keepHeapSmall({ clock, busy = loopBusy(), grow = growBy }: HeapDeps): () => void {
  let percent: number | undefined;
  let busyLooks = 0;
  let cancel = (): void => {};
  const look = (): void => {
    busyLooks = busy() < IDLE_BELOW ? 0 : busyLooks + 1;
    const wanted = busyLooks < LASTING ? SPARING : AS_IT_LIKES;
    if (wanted !== percent) grow(wanted);
    percent = wanted;
    cancel = clock.after(LOOK_MS, look, { background: true });
  };
  look();
  return () => cancel();
}

function growBy(percent: number): void {
  setFlagsFromString(`--heap-growing-percent=${percent}`);
}
