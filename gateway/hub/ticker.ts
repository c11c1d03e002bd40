import type { Clock } from '../../ops/lifecycle/index.ts';

/**
 * One timer for all groups of a hub: whoever marks a task runs at the next tick with all others, once.
 * Owns: the marked tasks and the two timers. Called by group.ts. A task must not throw.
 */
export interface Ticker {
  /** with the next tick */
  mark(task: () => void): void;
  /** as soon as what is going on now has ended */
  soon(task: () => void): void;
  unmark(task: () => void): void;
}

export function createTicker(clock: Clock, tickMs: number): Ticker {
  const queue = (ms: number): { readonly tasks: Set<() => void>; add(task: () => void): void } => {
    let tasks = new Set<() => void>();
    let armed = false;
    const run = (): void => {
      armed = false;
      const due = tasks;
      tasks = new Set();
      for (const task of due) task();
    };
    return {
      get tasks() {
        return tasks;
      },
      add(task) {
        tasks.add(task);
        if (armed) return;
        armed = true;
        clock.after(ms, run, { background: true });
      },
    };
  };
  const now = queue(0);
  const later = tickMs === 0 ? now : queue(tickMs);
  return {
    mark(task) {
      if (!now.tasks.has(task)) later.add(task);
    },
    soon(task) {
      later.tasks.delete(task);
      now.add(task);
    },
    unmark(task) {
      now.tasks.delete(task);
      later.tasks.delete(task);
    },
  };
}
