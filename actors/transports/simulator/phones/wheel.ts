import type { Clock } from '../../../../ops/lifecycle/index.ts';

/**
 * Runs many short-lived tasks with one timer: thousands of acknowledgements a second would otherwise be a timer each. Owns the
 * tasks not yet run. Tasks of one step run in the order they were put in, `afterStep` once after each step.
 */
export interface Wheel {
  /** runs the task `ms` later, rounded up to the next step; 0 runs it at once */
  later(ms: number, task: () => void): void;
  stop(): void;
}

export function createWheel(clock: Clock, options: { readonly stepMs: number; readonly afterStep: () => void }): Wheel {
  const steps = new Map<number, (() => void)[]>();
  let cancel: (() => void) | undefined;
  let done = Math.floor(clock.monotonic() / options.stepMs);
  const turn = (): void => {
    cancel = undefined;
    const now = Math.floor(clock.monotonic() / options.stepMs);
    while (done < now && steps.size > 0) {
      done += 1;
      const tasks = steps.get(done);
      if (tasks === undefined) continue;
      steps.delete(done);
      for (const task of tasks) task();
    }
    done = now;
    options.afterStep();
    arm();
  };
  const arm = (): void => {
    if (cancel === undefined && steps.size > 0) cancel = clock.after(options.stepMs, turn);
  };
  return {
    later(ms, task) {
      if (ms <= 0) {
        task();
        return;
      }
      if (steps.size === 0) done = Math.floor(clock.monotonic() / options.stepMs);
      const step = Math.max(done + 1, Math.ceil((clock.monotonic() + ms) / options.stepMs));
      const tasks = steps.get(step);
      if (tasks === undefined) steps.set(step, [task]);
      else tasks.push(task);
      arm();
    },
    stop() {
      cancel?.();
      cancel = undefined;
      steps.clear();
    },
  };
}
