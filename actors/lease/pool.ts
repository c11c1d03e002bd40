import type { Clock } from '../../ops/lifecycle/index.ts';

/** Runs `task` over the items, at most `limit` at a time. Rejects with the first error after the running ones have ended. */
export async function eachLimited<T>(items: readonly T[], limit: number, task: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const errors: unknown[] = [];
  const worker = async (): Promise<void> => {
    while (next < items.length && errors.length === 0) {
      const item = items[next++] as T;
      try {
        await task(item);
      } catch (error) {
        errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (errors.length > 0) throw errors[0];
}

/** Splits into runs of at most `size`. */
export function chunks<T>(items: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let from = 0; from < items.length; from += size) parts.push(items.slice(from, from + size));
  return parts;
}

/** Items by partition. */
export function byPartition<T>(items: readonly T[], partition: (item: T) => number): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const key = partition(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

/** Waits for the promise, but not longer than `ms`; it goes on by itself. Rejects only if the promise does in time. */
export async function atMost(clock: Pick<Clock, 'after'>, promise: Promise<unknown>, ms: number): Promise<void> {
  let cancel = (): void => {};
  const late = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve);
  });
  await Promise.race([promise, late]).finally(() => cancel());
}

/** What the promise resolves with. Rejects when it does, or when `ms` have passed; it goes on by itself. */
export async function inTime<T>(clock: Pick<Clock, 'after'>, promise: Promise<T>, ms: number): Promise<T> {
  let cancel = (): void => {};
  const late = new Promise<never>((_resolve, reject) => {
    cancel = clock.after(ms, () => reject(new Error(`no answer within ${ms} ms`)));
  });
  return Promise.race([promise, late]).finally(() => cancel());
}
