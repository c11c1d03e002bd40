/** How long leases last in one world, ms. */
export interface Timing {
  readonly ttlMs: number;
  readonly renewMs: number;
  readonly marginMs: number;
  /** longest wait for one try to take a lease, as actors/lease/ownership.ts derives it */
  readonly acquireMs: number;
}

const timing = (ttlMs: number, renewMs: number, marginMs: number): Timing => ({
  ttlMs,
  renewMs,
  marginMs,
  acquireMs: Math.min(1000, Math.floor(ttlMs / 4)),
});
/** The product's defaults. */
const USUAL = timing(6000, 2000, 500);
/** As short as it may be configured with these renewals: here a try for a lease ends before the client's own time-out, with the defaults at the same time. */
const HURRIED = timing(2400, 800, 200);

/** Every fifth world is a hurried one. */
export const timingOf = (seed: number): Timing => (seed % 5 === 2 ? HURRIED : USUAL);

export const SCAN_MS = 500;
export const WINDOW = 50;
