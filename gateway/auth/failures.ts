import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Shares } from './shares.ts';

/**
 * Counts failed attempts per address in a token bucket: `burst` at once, `perSecond` refilled. Owns the buckets of this gateway; at most
 * `maxAddresses` are kept, the longest unused goes first. With `shares` the same holds for all gateways together.
 */
export interface Failures {
  /** false: this address has failed too often; wait `retryAfterMs` */
  allowed(address: string): boolean;
  failed(address: string): void;
  readonly retryAfterMs: number;
}

export interface FailureOptions {
  readonly burst: number;
  readonly perSecond: number;
  readonly maxAddresses: number;
}
const DEFAULTS: FailureOptions = { burst: 100, perSecond: 1, maxAddresses: 10_000 };
/** The limits of the shared buckets: failures are paid for afterwards. */
export const FAILURE_SHARES = { perSecond: DEFAULTS.perSecond, most: DEFAULTS.burst, ahead: 0 } as const;

export function createFailures(clock: Pick<Clock, 'monotonic'>, given: Partial<FailureOptions> = {}, shares?: Shares): Failures {
  const options = { ...DEFAULTS, ...given };
  const buckets = new Map<string, { tokens: number; at: number }>();
  const tokensOf = (address: string): number => {
    const bucket = buckets.get(address);
    if (bucket === undefined) return options.burst;
    return Math.min(options.burst, bucket.tokens + ((clock.monotonic() - bucket.at) / 1000) * options.perSecond);
  };
  return {
    retryAfterMs: Math.ceil(1000 / options.perSecond),
    allowed: (address) => tokensOf(address) >= 1 && (shares === undefined || shares.wait(address) === 0),
    failed(address) {
      shares?.take(address);
      const tokens = Math.max(0, tokensOf(address) - 1);
      buckets.delete(address);
      buckets.set(address, { tokens, at: clock.monotonic() });
      if (buckets.size > options.maxAddresses) {
        const oldest = buckets.keys().next().value;
        if (oldest !== undefined) buckets.delete(oldest);
      }
    },
  };
}
