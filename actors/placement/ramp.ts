/**
 * How many devices one scan may claim: small first, doubled while there is more to do, so that a cold start or a death is no stampede on
 * Postgres and Redis. Tuned to: 300 devices on 2 nodes owned in 2 s, 3,000 in 5 s (actors/lease/ownership.itest.ts).
 */
export interface Ramp {
  readonly budget: number;
}

export const RAMP_START = 200;
export const RAMP_CAP = 2000;

export const startRamp: Ramp = { budget: RAMP_START };

/** The next scan's ramp: `used` claims were tried in this one. */
export function nextRamp(ramp: Ramp, used: number): Ramp {
  if (used >= ramp.budget) return { budget: Math.min(RAMP_CAP, ramp.budget * 2) };
  if (used * 2 < ramp.budget) return { budget: Math.max(RAMP_START, Math.floor(ramp.budget / 2)) };
  return ramp;
}
