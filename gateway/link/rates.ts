import type { Clock } from '../../ops/lifecycle/index.ts';

/**
 * What one device may do, whatever sockets it uses: token buckets of its frames and of its connects. Owns the buckets of the devices used
 * last; one that is forgotten starts full again.
 */
export interface DeviceRate {
  /** false: too many frames */
  frame(): boolean;
  /** 0: it may connect; else ms after which it may */
  connect(): number;
}
export interface DeviceRates {
  of(deviceId: string): DeviceRate;
}

export interface RateOptions {
  readonly framesPerSecond: number;
  /** devices remembered */
  readonly most?: number;
}

/** frames saved up: after an outage a device repeats all that was not confirmed */
const FRAME_SECONDS = 10;
/** connects at once; then one every two seconds: two devices that share a token would replace each other without end */
const CONNECTS = 10;
const CONNECTS_PER_SECOND = 0.5;

interface Bucket {
  tokens: number;
  at: number;
}

/** ms until a token is there; 0 = one was taken */
function take(bucket: Bucket, now: number, perSecond: number, most: number): number {
  bucket.tokens = Math.min(most, bucket.tokens + ((now - bucket.at) / 1000) * perSecond);
  bucket.at = now;
  if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) / perSecond) * 1000);
  bucket.tokens -= 1;
  return 0;
}

export function createDeviceRates(clock: Pick<Clock, 'monotonic'>, options: RateOptions): DeviceRates {
  const { framesPerSecond, most = 50_000 } = options;
  const known = new Map<string, DeviceRate>();
  const create = (): DeviceRate => {
    const now = clock.monotonic();
    const frames: Bucket = { tokens: framesPerSecond * FRAME_SECONDS, at: now };
    const connects: Bucket = { tokens: CONNECTS, at: now };
    return {
      frame: () => take(frames, clock.monotonic(), framesPerSecond, framesPerSecond * FRAME_SECONDS) === 0,
      connect: () => take(connects, clock.monotonic(), CONNECTS_PER_SECOND, CONNECTS),
    };
  };
  return {
    of(deviceId) {
      const rate = known.get(deviceId) ?? create();
      known.delete(deviceId);
      known.set(deviceId, rate);
      const oldest = known.size > most ? known.keys().next().value : undefined;
      if (oldest !== undefined) known.delete(oldest);
      return rate;
    },
  };
}
