import type { Arrival } from '../../transports/simulator/index.ts';
import { quantile } from './quantile.ts';

/** How long devices were without effect after their owner was struck, from the phones' file. */
export interface Takeover {
  readonly devices: number;
  /** devices that nobody else served after the fault */
  readonly missing: number;
  /** ms from the fault to the first arrival under a higher epoch; null when there is none */
  readonly medianMs: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

export interface TakeoverWatch {
  arrival(arrival: Arrival): void;
  result(): Takeover;
  /** ms of each device that was served again, in no order */
  times(): readonly number[];
}

/**
 * Feed it the arrivals in file order.
 * @param owned the devices of the struck node with the epoch it had them under @param at wall ms of the fault
 */
export function watchTakeover(owned: ReadonlyMap<string, number>, at: number): TakeoverWatch {
  const first = new Map<string, number>();
  return {
    arrival({ device, epoch, at: arrivedAt }) {
      const before = owned.get(device);
      if (before === undefined || epoch <= before || first.has(device)) return;
      first.set(device, arrivedAt - at);
    },
    result() {
      const times = [...first.values()].sort((a, b) => a - b);
      return {
        devices: owned.size,
        missing: owned.size - times.length,
        medianMs: times[Math.floor(times.length / 2)] ?? null,
        p99Ms: quantile(times, 0.99),
        maxMs: times.at(-1) ?? null,
      };
    },
    times: () => [...first.values()],
  };
}
