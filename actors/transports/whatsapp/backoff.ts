import type { Dice } from '../../../ops/lifecycle/index.ts';

export interface BackoffOptions {
  readonly baseMs: number;
  readonly capMs: number;
}

/** Full jitter: evenly from 0 to base x 2^(failures - 1), capped; `slow` is drawn from half the cap to the cap. `failures` starts at 1. */
export function backoffMs(failures: number, slow: boolean, dice: Dice, options: BackoffOptions): number {
  if (slow) return options.capMs * (0.5 + dice.next() / 2);
  return dice.next() * Math.min(options.capMs, options.baseMs * 2 ** Math.min(30, failures - 1));
}
