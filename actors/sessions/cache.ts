/**
 * The texts read and written last, over all devices of the node, under one cap of bytes.
 * Owns: the copies. Does not own: truth, that is Postgres. Called by store.ts only.
 * I1. The sum of the sizes never passes `maxBytes`; the entry used longest ago goes first.
 * I2. `null` is an answer too: "there is no such key".
 */
export interface TextCache {
  get(key: string): string | null | undefined;
  set(key: string, value: string | null): void;
  delete(key: string): void;
  readonly bytes: number;
}

/** two bytes per UTF-16 unit at worst, and the entry itself (guess) */
const sizeOf = (key: string, value: string | null): number => 2 * (key.length + (value?.length ?? 0)) + 64;

export function createTextCache(maxBytes: number): TextCache {
  const entries = new Map<string, string | null>();
  let bytes = 0;
  const remove = (key: string): void => {
    const value = entries.get(key);
    if (value === undefined) return;
    bytes -= sizeOf(key, value);
    entries.delete(key);
  };
  return {
    get(key) {
      const value = entries.get(key);
      if (value === undefined) return undefined;
      entries.delete(key);
      entries.set(key, value);
      return value;
    },
    set(key, value) {
      remove(key);
      const size = sizeOf(key, value);
      if (size > maxBytes) return;
      entries.set(key, value);
      bytes += size;
      for (const oldest of entries.keys()) {
        if (bytes <= maxBytes) break;
        remove(oldest);
      }
    },
    delete: remove,
    get bytes() {
      return bytes;
    },
  };
}
