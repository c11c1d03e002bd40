import type { Clock, Dice } from '../../ops/lifecycle/index.ts';
import type { Log } from '../../ops/telemetry/index.ts';

/**
 * Sweeps: a task run again and again with a jitter of a quarter, never twice at once; a failure is logged and the next round tries again.
 * The result stops all of them and resolves when none is running.
 */
export function createSweeps(deps: { readonly clock: Clock; readonly dice: Dice; readonly log: Log }): {
  every(name: string, ms: number, task: () => Promise<void>): { soon(): void };
  stop(): Promise<void>;
} {
  let stopped = false;
  const cancels = new Map<string, () => void>();
  const running = new Map<string, Promise<void>>();
  return {
    every(name, ms, task) {
      const arm = (wait: number): void => {
        if (stopped) return;
        cancels.set(
          name,
          deps.clock.after(wait, () => {
            const round = task()
              .catch((error: unknown) => deps.log.warn('sweep.failed', { sweep: name }, error))
              .finally(() => {
                running.delete(name);
                arm(ms * (0.75 + deps.dice.next() / 2));
              });
            running.set(name, round);
          }),
        );
      };
      arm(ms * deps.dice.next());
      return {
        soon() {
          if (running.has(name)) return;
          cancels.get(name)?.();
          arm(1);
        },
      };
    },
    async stop() {
      stopped = true;
      for (const cancel of cancels.values()) cancel();
      await Promise.all(running.values());
    },
  };
}
