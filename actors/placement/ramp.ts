/**
 * How many devices one scan may claim: small first, doubled while there is more to do, so that a cold start or a death is no stampede on
 * Postgres and Redis; halved while there is strain, so that a start that is slower than its leases claims less, not more.
 * Tuned to: 300 devices on 2 nodes owned in 2 s, 3,000 in 5 s (actors/lease/ownership.itest.ts). The shares are guesses: with the default times
 * claims stop when a renewal is 1 s late, and a lease ends when its renewal is 3.3 s late.
 */
export interface Ramp {
  readonly budget: number;
}

export const RAMP_START = 200;
export const RAMP_CAP = 2000;
/** what halving leaves */
export const RAMP_LEAST = 50;
/** shares of the renewal interval by which the latest renewal is late */
const SLOW = 0.25;
const STOP = 0.5;
/** a batch that takes longer leaves its leases too little time until they are renewed */
const LONG = 1;

export const startRamp: Ramp = { budget: RAMP_START };

/** What one scan did. */
export interface Claimed {
  readonly asked: number;
  readonly granted: number;
  /** of its slowest batch, from the first lease to the grants: share of the renewal interval */
  readonly took: number;
}

/** Renewal first: nothing is claimed while the latest renewal is late by this share of the interval. */
export function mayClaim(late: number): boolean {
  return late < STOP;
}

/** The next scan's ramp; `late` = share of the interval by which renewals are late. */
export function nextRamp(ramp: Ramp, { asked, granted, took }: Claimed, late: number): Ramp {
  // few of many won: leases and statements time out, or others are faster; in both cases more tries help nobody
  if (late >= SLOW || took > LONG || granted * 2 < asked) return { budget: Math.max(RAMP_LEAST, Math.floor(ramp.budget / 2)) };
  if (asked >= ramp.budget) return { budget: Math.min(RAMP_CAP, ramp.budget * 2) };
  // a dead node's leases end over seconds, some hundred at a time: what was learnt is kept while there is any
  if (asked === 0) return { budget: Math.max(RAMP_START, Math.floor(ramp.budget / 2)) };
  return ramp;
}
