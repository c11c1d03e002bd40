/**
 * Which (device, wire id) pairs the phones have seen. Owns 8 bytes a pair in an open-addressing table of 64-bit hashes; a pair is
 * mistaken for another with a chance of n^2 / 2^65 over n pairs.
 *
 * I1  `add` answers true exactly once per pair, as long as no more than `limit` pairs came after it.
 * I2  Memory: at most two tables of `limit / 2` pairs; the older is dropped when the newer is full.
 */
export interface Seen {
  /** true: new; false: seen before */
  add(device: string, wire: string): boolean;
  readonly size: number;
}

interface Table {
  low: Uint32Array;
  high: Uint32Array;
  count: number;
}

const emptyTable = (slots: number): Table => ({ low: new Uint32Array(slots), high: new Uint32Array(slots), count: 0 });

/** Two 32-bit hashes of the pair (the mixing of cyrb53); never both 0. */
function hashOf(device: string, wire: string): { low: number; high: number } {
  let low = 0xdeadbeef;
  let high = 0x41c6ce57;
  for (const text of [device, '/', wire]) {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      low = Math.imul(low ^ code, 2654435761);
      high = Math.imul(high ^ code, 1597334677);
    }
  }
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  return { low: low >>> 0 || 1, high: high >>> 0 };
}

/** The slot that holds the pair, or the free slot where it belongs. A slot is free when its low half is 0. */
function slotOf(table: Table, low: number, high: number): number {
  const mask = table.low.length - 1;
  let slot = (low ^ high) & mask;
  while (table.low[slot] !== 0 && !(table.low[slot] === low && table.high[slot] === high)) slot = (slot + 1) & mask;
  return slot;
}

function put(table: Table, low: number, high: number): boolean {
  const slot = slotOf(table, low, high);
  if (table.low[slot] !== 0) return false;
  table.low[slot] = low;
  table.high[slot] = high;
  table.count += 1;
  return true;
}

function grown(table: Table): Table {
  const next = emptyTable(table.low.length * 2);
  for (let slot = 0; slot < table.low.length; slot++) {
    const low = table.low[slot] ?? 0;
    if (low !== 0) put(next, low, table.high[slot] ?? 0);
  }
  return next;
}

export function createSeen(limit = 8_000_000): Seen {
  let young = emptyTable(1024);
  let old: Table | undefined;
  return {
    get size() {
      return young.count + (old?.count ?? 0);
    },
    add(device, wire) {
      const { low, high } = hashOf(device, wire);
      if (old !== undefined && old.low[slotOf(old, low, high)] !== 0) return false;
      if (!put(young, low, high)) return false;
      if (young.count >= limit / 2) {
        old = young;
        young = emptyTable(1024);
      } else if (young.count * 2 > young.low.length) {
        young = grown(young);
      }
      return true;
    },
  };
}
