import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Arrival } from '../../transports/simulator/index.ts';

/** The phones' file, line by line in its order. A last line without its end is left out: it was never acknowledged. */
export async function* readArrivals(path: string): AsyncGenerator<Arrival> {
  let held: string | undefined;
  for await (const line of createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (held !== undefined) yield JSON.parse(held) as Arrival;
    held = line;
  }
  if (held === undefined || held.length === 0) return;
  let last: Arrival;
  try {
    last = JSON.parse(held) as Arrival;
  } catch {
    return;
  }
  yield last;
}
