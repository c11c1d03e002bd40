import type { Arrival } from '../../transports/simulator/index.ts';
import { acceptedAt } from './flow.ts';

/**
 * How long each device kept a message waiting that was accepted in a window of time: what a person at the phone notices of a handover.
 * Feed it the arrivals in file order; repeats do not count.
 */
export interface DelayWatch {
  arrival(arrival: Arrival): void;
  /** per device the longest, ms, in no order */
  result(): readonly number[];
}

/** @param only these devices; default all */
export function watchDelay(from: number, to: number, only?: ReadonlySet<string>): DelayWatch {
  const seen = new Set<string>();
  const worst = new Map<string, number>();
  return {
    arrival({ device, id, at }) {
      const accepted = acceptedAt(id);
      if (accepted < from || accepted > to || seen.has(id) || only?.has(device) === false) return;
      seen.add(id);
      worst.set(device, Math.max(worst.get(device) ?? 0, at - accepted));
    },
    result: () => [...worst.values()],
  };
}
