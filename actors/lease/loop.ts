import type { Clock } from '../../ops/lifecycle/index.ts';

export interface Loop {
  /** runs the task now (or once more after the run under way) */
  kick(): void;
  /** no more runs; resolves when the one under way has ended */
  stop(): Promise<void>;
}

/**
 * Runs a task again and again, one run at a time; `pauseMs` is asked after each run. A task that throws is reported and runs again.
 * Owns: its timer.
 */
export function startLoop(clock: Clock, pauseMs: () => number, task: () => Promise<void>, report: (error: unknown) => void): Loop {
  let cancel = (): void => {};
  let running: Promise<void> | undefined;
  let again = false;
  let stopped = false;
  const run = (): void => {
    if (stopped) return;
    cancel();
    running = task()
      .catch(report)
      .then(() => {
        running = undefined;
        if (stopped) return;
        if (again) {
          again = false;
          run();
        } else cancel = clock.after(pauseMs(), run);
      });
  };
  cancel = clock.after(pauseMs(), run);
  return {
    kick() {
      if (running === undefined) run();
      else again = true;
    },
    async stop() {
      stopped = true;
      cancel();
      await running;
    },
  };
}
