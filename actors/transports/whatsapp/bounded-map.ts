import type { Clock } from '../../../ops/lifecycle/index.ts';

/**
 * A map with a cap and a life per entry, in the shape Baileys asks of its caches. Owned by the transport, so it outlives sockets: retry
 * counters and device lists survive a reconnect. The entry written longest ago goes first.
 */
export interface BoundedMap {
  get<T>(key: string): T | undefined;
  set<T>(key: string, value: T): void;
  del(key: string): void;
  flushAll(): void;
}

export function createBoundedMap(clock: Clock, options: { readonly maxEntries: number; readonly lifeMs: number }): BoundedMap {
  const entries = new Map<string, { readonly value: unknown; readonly until: number }>();
  return {
    get<T>(key: string): T | undefined {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (entry.until > clock.monotonic()) return entry.value as T;
      entries.delete(key);
      return undefined;
    },
    set(key, value) {
      entries.delete(key);
      entries.set(key, { value, until: clock.monotonic() + options.lifeMs });
      for (const oldest of entries.keys()) {
        if (entries.size <= options.maxEntries) break;
        entries.delete(oldest);
      }
    },
    del: (key) => void entries.delete(key),
    flushAll: () => entries.clear(),
  };
}
