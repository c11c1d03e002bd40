/** Time as a dependency: only this folder touches Date.now, performance.now and timers (STYLE: clock and dice are dependencies). */
export interface Clock {
  /** wall time, ms since 1970; may step */
  wall(): number;
  /** monotonic time, ms; never steps back, goes on while the process is stopped */
  monotonic(): number;
  /** runs `task` once after `ms`; the returned function cancels it. The timer does not keep the process alive when `background` is true. */
  after(ms: number, task: () => void, options?: { readonly background?: boolean }): () => void;
  /** resolves after `ms`, rejects with the signal's reason when aborted */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, task, options) {
    const timer = setTimeout(task, ms);
    if (options?.background === true) timer.unref();
    return () => clearTimeout(timer);
  },
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  },
};

/** Chance as a dependency. */
export interface Dice {
  /** evenly in [0, 1) */
  next(): number;
}

export const systemDice: Dice = { next: () => Math.random() };

/** A seeded dice (mulberry32): the same seed gives the same throws. */
export function seededDice(seed: number): Dice {
  let state = seed >>> 0;
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = state;
      t = Math.imul(t ^ (t >>> 15), t | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    },
  };
}
