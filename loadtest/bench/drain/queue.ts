import type { Addresses } from '../stores.ts';

/** What a queue has to offer to be drained beside us. No state of its own. */
export interface Job {
  readonly id: string;
  readonly device: string;
  readonly to: string;
  readonly body: string;
}

export interface Sizes {
  readonly messages: number;
  readonly devices: number;
}

export interface Queue {
  readonly name: string;
  readonly version: string;
  /** how it is set up, in words */
  readonly settings: string;
  /** puts all jobs into an empty store, in this order */
  fill(addresses: Addresses, jobs: readonly Job[]): Promise<void>;
  /** works until its process ends. @param send resolves when the phone has acknowledged */
  work(addresses: Addresses, sizes: Sizes, send: (job: Job) => Promise<void>): Promise<void>;
  /** asks how many jobs the store still holds */
  open(addresses: Addresses): Promise<{ left(): Promise<number>; close(): Promise<void> }>;
}

/** A thousand at a time. */
export function* chunks<T>(list: readonly T[], size = 1000): Iterable<readonly T[]> {
  for (let from = 0; from < list.length; from += size) yield list.slice(from, from + size);
}

/**
 * Jobs that may be under way at once where a queue knows no order of its own. They stand in turns, one of each device: as long as far fewer than all
 * devices have one under way, their order holds.
 */
export function together(most: number, { devices }: Sizes): number {
  return Math.max(1, Math.min(most, devices >> 2));
}
