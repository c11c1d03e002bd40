import { closeSync, openSync, writeSync } from 'node:fs';
import type { Arrival } from '../wire.ts';

/**
 * The file of arrivals, one JSON object a line. Owns the file descriptor and the lines of the present tick.
 * I1  `flush` is called before any acknowledgement of the same tick leaves, so an acknowledged message is always in the file
 *     (as far as the operating system goes: the file is not synced to disk).
 */
export interface Arrivals {
  add(arrival: Arrival): void;
  flush(): void;
  close(): void;
}

/** @param path undefined: arrivals are counted but not kept */
export function createArrivals(path: string | undefined): Arrivals {
  const file = path === undefined ? undefined : openSync(path, 'a', 0o600);
  let lines = '';
  const flush = (): void => {
    if (file === undefined || lines.length === 0) return;
    const bytes = Buffer.from(lines);
    lines = '';
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
  };
  return {
    add(arrival) {
      if (file !== undefined) lines += `${JSON.stringify(arrival)}\n`;
    },
    flush,
    close() {
      flush();
      if (file !== undefined) closeSync(file);
    },
  };
}
