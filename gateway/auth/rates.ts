import type { Clock } from '../../ops/lifecycle/index.ts';
import type { ShareLimits, Shares } from './shares.ts';

/**
 * Limits of what one key, one tenant and one address may ask per second: token buckets, `perSecond` refilled, twice that at once.
 * Owns the buckets of this gateway; at most `KEPT` of each kind are kept, the longest unused goes first. 0 = no limit. With `shares` the limits of
 * keys and tenants hold for all gateways together as well.
 */
export interface Rates {
  /** takes one from each bucket; null, or which one is empty and when to ask again. Nothing is taken when one is empty. */
  take(of: { readonly key: string; readonly tenant: string; readonly address?: string | undefined }): RateRefusal | null;
}
export interface RateRefusal {
  readonly limit: 'rate_key' | 'rate_tenant' | 'rate_address';
  readonly retryAfterMs: number;
}
export interface RateOptions {
  readonly perKey: number;
  readonly perTenant: number;
  readonly perAddress: number;
}

export interface RateShares {
  readonly key: Shares;
  readonly tenant: Shares;
}

const KEPT = 20_000;
const BURST_S = 2;

/** The shared bucket of such a limit: a tenth of a second is taken ahead (guess: ten round trips a second for each busy name and gateway). */
export function shareLimits(perSecond: number): ShareLimits {
  return { perSecond, most: perSecond * BURST_S, ahead: Math.ceil(perSecond / 10) };
}

interface Bucket {
  tokens: number;
  at: number;
}

function createBuckets(clock: Pick<Clock, 'monotonic'>, perSecond: number, shares?: Shares) {
  const buckets = new Map<string, Bucket>();
  return {
    /** ms until there is one; 0 = there is */
    wait(name: string): number {
      if (perSecond === 0) return 0;
      const now = clock.monotonic();
      const known = buckets.get(name);
      const tokens =
        known === undefined ? perSecond * BURST_S : Math.min(perSecond * BURST_S, known.tokens + ((now - known.at) / 1000) * perSecond);
      buckets.delete(name);
      buckets.set(name, { tokens, at: now });
      if (buckets.size > KEPT) {
        const oldest = buckets.keys().next().value;
        if (oldest !== undefined) buckets.delete(oldest);
      }
      if (tokens < 1) return Math.ceil(((1 - tokens) / perSecond) * 1000);
      return shares === undefined ? 0 : shares.wait(name);
    },
    take(name: string): void {
      const bucket = buckets.get(name);
      if (bucket !== undefined) bucket.tokens -= 1;
      shares?.take(name);
    },
  };
}

export function createRates(clock: Pick<Clock, 'monotonic'>, options: RateOptions, shares?: RateShares): Rates {
  const keys = createBuckets(clock, options.perKey, shares?.key);
  const tenants = createBuckets(clock, options.perTenant, shares?.tenant);
  const addresses = createBuckets(clock, options.perAddress);
  return {
    take({ key, tenant, address }) {
      const asked = [
        { limit: 'rate_key', buckets: keys, name: key },
        { limit: 'rate_tenant', buckets: tenants, name: tenant },
        ...(address === undefined ? [] : [{ limit: 'rate_address', buckets: addresses, name: address } as const]),
      ] as const;
      for (const { limit, buckets, name } of asked) {
        const retryAfterMs = buckets.wait(name);
        if (retryAfterMs > 0) return { limit, retryAfterMs };
      }
      for (const { buckets, name } of asked) buckets.take(name);
      return null;
    },
  };
}
