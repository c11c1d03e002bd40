import type { Arrival } from '../../transports/simulator/index.ts';
import { quantile } from './quantile.ts';

/** How messages flowed, from the phones' file: all times of first arrivals. */
export interface Flow {
  /** accepted to arrived, 99th percentile and longest, ms; null without arrivals */
  readonly latencyP99Ms: number | null;
  readonly latencyMaxMs: number | null;
  /** longest time without any arrival while messages were asked for */
  readonly stallMs: number;
  /** ms from `at` to the start of the first second with at least `wanted` arrivals; null = never */
  fullRateAfter(at: number, wanted: number): number | null;
}

export interface FlowWatch {
  arrival(arrival: Arrival): void;
  result(until: number): Flow;
}

/** The wall ms inside a UUIDv7: when the API took the message. */
export const acceptedAt = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

/** Feed it the arrivals in file order. */
export function watchFlow(): FlowWatch {
  const seen = new Set<string>();
  const times: number[] = [];
  const latencies: number[] = [];
  return {
    arrival({ id, at }) {
      if (seen.has(id)) return;
      seen.add(id);
      times.push(at);
      latencies.push(at - acceptedAt(id));
    },
    result(until) {
      const sorted = [...latencies].sort((a, b) => a - b);
      const order = [...times].sort((a, b) => a - b);
      let stallMs = 0;
      for (let n = 1; n < order.length; n++) {
        const from = order[n - 1] ?? 0;
        if (from < until) stallMs = Math.max(stallMs, (order[n] ?? 0) - from);
      }
      return {
        latencyP99Ms: quantile(sorted, 0.99),
        latencyMaxMs: sorted.at(-1) ?? null,
        stallMs,
        fullRateAfter(at, wanted) {
          let end = 0;
          for (let start = 0; start < order.length; start++) {
            const from = order[start] ?? 0;
            if (from < at) continue;
            while (end < order.length && (order[end] ?? 0) < from + 1000) end += 1;
            if (end - start >= wanted) return from - at;
          }
          return null;
        },
      };
    },
  };
}
