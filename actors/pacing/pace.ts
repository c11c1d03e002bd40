import type { Dice } from '../../ops/lifecycle/index.ts';

/**
 * The pause after one send, in ms: drawn evenly from [min, max] so that a device never beats like a machine; 0 when pacing is off
 * (load tests and chaos only). The ledger enforces it through the ownership row, so a new owner inherits it.
 */
export function drawPaceMs(pace: { readonly minMs: number; readonly maxMs: number }, mode: 'on' | 'off', dice: Dice): number {
  if (mode === 'off') return 0;
  return pace.minMs + Math.floor(dice.next() * (pace.maxMs - pace.minMs + 1));
}
