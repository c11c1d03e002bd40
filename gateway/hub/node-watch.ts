import type { Redis } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { NODES_KEY } from '../../schema/domain/index.ts';

/**
 * Which nodes have a heartbeat, looked at once a second for as long as somebody watches.
 * Owns: the last two looks. A node counts as silent only when both missed it, so that a Redis that was just emptied, or a heartbeat
 * that was a moment late, does not turn a wall grey.
 */
export interface NodeWatch {
  silent(node: string): boolean;
  /** calls back when some node fell silent or spoke again */
  watch(listener: () => void): () => void;
  close(): void;
}

const LOOK_MS = 1_000;

export function createNodeWatch(redis: Redis, clock: Clock): NodeWatch {
  const listeners = new Set<() => void>();
  let before: ReadonlySet<string> | undefined;
  let now: ReadonlySet<string> | undefined;
  let cancel: (() => void) | undefined;
  let running = false;

  const look = async (): Promise<void> => {
    const [seconds] = await redis.time();
    const found = await redis.zrangebyscore(NODES_KEY, Number(seconds) * 1000, '+inf');
    const had = known();
    before = now;
    now = new Set(found);
    const has = known();
    if (had.size !== has.size || [...has].some((node) => !had.has(node))) for (const listener of listeners) listener();
  };
  const known = (): ReadonlySet<string> => new Set([...(before ?? []), ...(now ?? [])]);
  const loop = (): void => {
    running = true;
    look()
      .catch(() => undefined)
      .finally(() => {
        running = listeners.size > 0;
        if (running) cancel = clock.after(LOOK_MS, loop, { background: true });
      });
  };
  return {
    // nothing is said of nodes before two looks have been taken
    silent: (node) => before !== undefined && now !== undefined && !before.has(node) && !now.has(node),
    watch(listener) {
      listeners.add(listener);
      if (!running) loop();
      return () => void listeners.delete(listener);
    },
    close() {
      listeners.clear();
      cancel?.();
    },
  };
}
