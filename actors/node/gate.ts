import type { Clock, Dice } from '../../ops/lifecycle/index.ts';
import type { Log } from '../../ops/telemetry/index.ts';
import { backoffMs } from '../retry/index.ts';

/**
 * Whether one store answers. When it does not, everyone waits here and one probe asks, with backoff and jitter: thousands of actors
 * never poll a store that is down.
 * I1 While shut exactly one probe loop runs. I2 Everyone waiting goes on with the first probe that is answered.
 */
export interface Gate {
  readonly open: boolean;
  /** resolves when the store answers; rejects when the gate is closed for good */
  up(): Promise<void>;
  /** the store did not answer */
  failed(error: unknown): void;
  /** for good: whoever waits is rejected */
  close(): void;
}

export function createGate(
  deps: { readonly clock: Clock; readonly dice: Dice; readonly log: Log },
  options: { readonly name: string; probe(): Promise<unknown>; readonly baseMs?: number; readonly capMs?: number },
): Gate {
  let open = true;
  let closed = false;
  let waiting: { resolve(): void; reject(error: Error): void }[] = [];
  let cancel: (() => void) | undefined;
  const pause = { baseMs: options.baseMs ?? 100, capMs: options.capMs ?? 2000 };

  const probe = (attempt: number): void => {
    cancel = deps.clock.after(50 + backoffMs(attempt, pause, deps.dice), () => {
      options.probe().then(
        () => {
          if (closed) return;
          open = true;
          deps.log.info('store.up', { store: options.name });
          const all = waiting;
          waiting = [];
          for (const one of all) one.resolve();
        },
        () => {
          if (!closed) probe(attempt + 1);
        },
      );
    });
  };
  return {
    get open() {
      return open;
    },
    up() {
      if (closed) return Promise.reject(new Error(`${options.name}: the node is going down`));
      if (open) return Promise.resolve();
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
    failed(error) {
      if (!open || closed) return;
      open = false;
      deps.log.warn('store.down', { store: options.name }, error);
      probe(1);
    },
    close() {
      closed = true;
      cancel?.();
      const all = waiting;
      waiting = [];
      for (const one of all) one.reject(new Error(`${options.name}: the node is going down`));
    },
  };
}
