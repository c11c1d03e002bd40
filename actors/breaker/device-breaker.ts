import type { Dice } from '../../ops/lifecycle/index.ts';

/**
 * The breaker of one device: over half of a window of at least ten answers failed = open; after a pause one probe decides.
 * Pure: the actor holds the state. Times are the caller's clock, ms.
 */
export interface BreakerState {
  readonly phase: 'closed' | 'open' | 'half-open';
  /** the newest answers as bits, 1 = failed; the lowest bit is the newest */
  readonly bits: number;
  readonly size: number;
  /** open: no attempt before this */
  readonly until: number;
  /** openings in a row without a closing: the pause doubles with each */
  readonly openings: number;
}
export interface BreakerOptions {
  readonly window: number;
  readonly least: number;
  readonly rate: number;
  readonly pauseMs: number;
  readonly pauseCapMs: number;
}
export const BREAKER: BreakerOptions = Object.freeze({ window: 20, least: 10, rate: 0.5, pauseMs: 30_000, pauseCapMs: 600_000 });
export const CLOSED: BreakerState = Object.freeze({ phase: 'closed', bits: 0, size: 0, until: 0, openings: 0 });

/** Takes one answer in. `dice` spreads the pause over [0.75, 1.25) so that devices do not come back together. */
export function recordAnswer(
  state: BreakerState,
  healthy: boolean,
  now: number,
  dice: Dice,
  options: BreakerOptions = BREAKER,
): BreakerState {
  if (state.phase !== 'closed') return healthy ? CLOSED : open(state, now, dice, options);
  const bits = ((state.bits << 1) | (healthy ? 0 : 1)) & ((1 << options.window) - 1);
  const size = Math.min(options.window, state.size + 1);
  if (bits === 0 && size === state.size && state.bits === 0) return state;
  const next: BreakerState = { ...state, bits, size };
  return size >= options.least && ones(bits) > size * options.rate ? open(next, now, dice, options) : next;
}

/** Whether an attempt may be made now. An open breaker whose pause is over becomes half-open: the attempt is its probe. */
export function admit(state: BreakerState, now: number): { readonly state: BreakerState; readonly admitted: boolean } {
  if (state.phase !== 'open') return { state, admitted: true };
  if (now < state.until) return { state, admitted: false };
  return { state: { ...state, phase: 'half-open' }, admitted: true };
}

function open(state: BreakerState, now: number, dice: Dice, options: BreakerOptions): BreakerState {
  const pause = Math.min(options.pauseCapMs, options.pauseMs * 2 ** Math.min(20, state.openings)) * (0.75 + dice.next() / 2);
  return { phase: 'open', bits: 0, size: 0, until: now + Math.round(pause), openings: state.openings + 1 };
}

function ones(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
