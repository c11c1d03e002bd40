import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';

/**
 * When many devices of the node are refused alike (405: this client's version, 503: the service is away), it is not the devices: then one
 * tries at a time, and the others wait until one of them came through.
 * Owns: who was refused when, and the one probe. Called by device-connection.ts around every connect.
 *
 * F1. Closed until `devices` different devices were refused within `windowMs`, and nobody came through since.
 * F2. Open: one connect at a time, the next not before `probeMs` after the last began. A login closes it for all.
 */
export interface FleetBreaker {
  /** resolves when this device may connect; false when `abandoned` says so meanwhile */
  pass(abandoned: () => boolean): Promise<boolean>;
  refused(deviceId: string, code: number): void;
  cameThrough(): void;
  readonly open: boolean;
}

export interface FleetBreakerOptions {
  readonly devices: number;
  readonly windowMs: number;
  readonly probeMs: number;
}

const CODES: ReadonlySet<number> = new Set([405, 503]);

export function createFleetBreaker(clock: Clock, log: Log, options: FleetBreakerOptions): FleetBreaker {
  const refusedAt = new Map<string, number>();
  let open = false;
  let nextProbe = 0;
  return {
    async pass(abandoned) {
      while (open && !abandoned()) {
        const wait = nextProbe - clock.monotonic();
        if (wait <= 0) {
          nextProbe = clock.monotonic() + options.probeMs;
          return true;
        }
        // short naps: a login of another device lets everybody go
        await clock.sleep(Math.min(wait, options.probeMs / 10, 500));
      }
      return !abandoned();
    },
    refused(deviceId, code) {
      if (!CODES.has(code)) return;
      const now = clock.monotonic();
      refusedAt.set(deviceId, now);
      for (const [id, at] of refusedAt) if (now - at > options.windowMs) refusedAt.delete(id);
      if (open || refusedAt.size < options.devices) return;
      open = true;
      nextProbe = now + options.probeMs;
      log.error('whatsapp.fleet.breaker', { code, devices: refusedAt.size });
    },
    cameThrough() {
      refusedAt.clear();
      if (open) log.info('whatsapp.fleet.breaker.closed');
      open = false;
    },
    get open() {
      return open;
    },
  };
}
