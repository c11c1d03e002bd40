import { readdirSync } from 'node:fs';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';

/** What a gateway holds, as it and the kernel tell it. */
export interface Size {
  readonly residentMb: number;
  readonly heapMb: number;
  /** open files, connections too */
  readonly handles: number;
  readonly sockets: number;
  readonly operations: number;
}

const READINGS = 8;
const PAUSE_MS = 250;
/** connections that nobody uses are ended within ten seconds or so */
const REST_MS = 60_000;

/** The sum of one metric of Prometheus text over all its labels that contain `label`. */
export function figureOf(text: string, name: string, label = ''): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    const match = /^([a-z_]+)(\{[^}]*\})? (\S+)/.exec(line);
    if (match?.[1] === name && (match[2] ?? '').includes(label)) sum += Number(match[3]);
  }
  return sum;
}

async function read(url: string, pid: number): Promise<Size> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return {
    residentMb: figureOf(text, 'flotilla_memory_bytes', 'kind="resident"') / 1e6,
    heapMb: figureOf(text, 'flotilla_memory_bytes', 'kind="heap"') / 1e6,
    handles: readdirSync(`/proc/${pid}/fd`).length,
    sockets: figureOf(text, 'flotilla_sockets'),
    operations: figureOf(text, 'flotilla_operations'),
  };
}

/**
 * The least of several readings, because what is not collected yet is not held. With `rest`: waits until nothing has grown since then, or a minute: a
 * process that rests collects what it dropped.
 */
export async function sizeOf(url: string, pid: number, rest?: Size): Promise<Size> {
  const until = clock.monotonic() + REST_MS;
  for (;;) {
    const all: Size[] = [];
    for (let n = 0; n < READINGS; n++) {
      all.push(await read(url, pid));
      await clock.sleep(PAUSE_MS);
    }
    const least = (of: keyof Size): number => Math.min(...all.map((size) => size[of]));
    const size = {
      residentMb: least('residentMb'),
      heapMb: least('heapMb'),
      handles: least('handles'),
      sockets: least('sockets'),
      operations: least('operations'),
    };
    if (rest === undefined || growth(rest, size).length === 0 || clock.monotonic() > until) return size;
  }
}

/** pools to Postgres and Redis open and close connections as they need them */
export const SPARE_HANDLES = 30;
/** Guess: young objects, pools and fragments settle within it. A leak of a hundred bytes for each of a million inputs is seen. */
const GROWTH_MB = 100;

/** What has grown from `before` to `after`, in words. Pure. */
export function growth(before: Size, after: Size): string[] {
  const faults: string[] = [];
  if (after.residentMb - before.residentMb > GROWTH_MB)
    faults.push(`resident memory grew by ${Math.round(after.residentMb - before.residentMb)} MB`);
  if (after.heapMb - before.heapMb > GROWTH_MB) faults.push(`the heap grew by ${Math.round(after.heapMb - before.heapMb)} MB`);
  if (after.handles > before.handles + SPARE_HANDLES) faults.push(`${after.handles - before.handles} more files and connections are open`);
  if (after.sockets > 0) faults.push(`${after.sockets} sockets are still open`);
  if (after.operations > 0) faults.push(`${after.operations} operations still run`);
  return faults;
}
