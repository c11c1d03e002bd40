/**
 * The breaker of all devices of one node: when many devices fail alike within a short time the fault is not theirs (the provider or
 * the network is down, or we are being told off), so all hold still and one device at a time probes.
 *
 * Owns: the last answer of each device of the running window. Called by every actor of the node.
 * I1 Opens when at least `leastDevices` devices answered within the window and more than `rate` of them failed last.
 * I2 While open nobody sends; after the pause exactly one device probes; its answer closes the breaker or opens it again.
 */
export interface FleetBreaker {
  /** 0 = this device may try now, else ms to wait before asking again */
  waitMs(deviceId: string, now: number): number;
  record(deviceId: string, healthy: boolean, now: number): void;
  readonly open: boolean;
}
export interface FleetBreakerOptions {
  readonly windowMs: number;
  readonly leastDevices: number;
  readonly rate: number;
  readonly pauseMs: number;
}
export const FLEET_BREAKER: FleetBreakerOptions = Object.freeze({ windowMs: 60_000, leastDevices: 20, rate: 0.8, pauseMs: 15_000 });

export function createFleetBreaker(onOpen: () => void, options: FleetBreakerOptions = FLEET_BREAKER): FleetBreaker {
  let answers = new Map<string, boolean>();
  let failed = 0;
  let windowFrom = Number.NEGATIVE_INFINITY;
  let until: number | undefined;
  let probe: { readonly deviceId: string; readonly from: number } | undefined;

  const clear = (now: number): void => {
    answers = new Map();
    failed = 0;
    windowFrom = now;
  };
  const openUp = (now: number): void => {
    until = now + options.pauseMs;
    probe = undefined;
    clear(now);
    onOpen();
  };
  return {
    get open() {
      return until !== undefined;
    },
    waitMs(deviceId, now) {
      if (until === undefined) return 0;
      if (now < until) return until - now;
      // a probe that never answers (its device was lost) gives its place up after one pause
      if (probe === undefined || now - probe.from > options.pauseMs) probe = { deviceId, from: now };
      return probe.deviceId === deviceId ? 0 : Math.max(1, Math.ceil(options.pauseMs / 10));
    },
    record(deviceId, healthy, now) {
      if (until !== undefined) {
        if (probe?.deviceId !== deviceId) return;
        if (healthy) {
          until = undefined;
          probe = undefined;
          clear(now);
        } else {
          openUp(now);
        }
        return;
      }
      if (now - windowFrom > options.windowMs) clear(now);
      const before = answers.get(deviceId);
      if (before === healthy) return;
      answers.set(deviceId, healthy);
      if (!healthy) failed += 1;
      else if (before === false) failed -= 1;
      if (answers.size >= options.leastDevices && failed > answers.size * options.rate) openUp(now);
    },
  };
}
