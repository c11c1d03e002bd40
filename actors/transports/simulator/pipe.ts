import type { Socket } from 'node:net';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import { createLineSplitter, type FromPhones, type ToPhones } from './wire.ts';

/**
 * One TCP connection to the phones: frames of a tick go out in one write. Owns the socket and the frames not yet handed to it.
 *
 * I1  The `mayGo` of a frame is asked in the tick in which its bytes are handed to the socket, nothing awaited between.
 * I2  One write is under way at a time and none is longer than WRITE_LIMIT, so that a process frozen here holds back few bytes
 *     whose permission was asked before it froze.
 * I3  The clocks are read again when the bytes are ready, right before the write: when asking and encoding took longer than FREEZE_MS
 *     (the process was stopped, collected garbage, had no processor), everything is asked again. A lease's margin is much longer than
 *     FREEZE_MS, so what may go at the asking may go at the reading. What is left is a stop between that reading and the system call,
 *     some microseconds, and bytes that the kernel has: of those the phone drops what it knows (docs/ownership.md).
 */
export interface Pipe {
  /** connected and not lost */
  readonly up: boolean;
  /** queues a frame; it is left out when `mayGo` answers false at the moment of writing (it may be asked more than once) */
  put(frame: ToPhones, permit?: Permit): void;
  /** flushes what may still go, then closes without saying `lost` */
  end(): Promise<void>;
}

export interface Permit {
  mayGo(): boolean;
  /** the bytes are handed to the socket */
  went(): void;
}

export interface PipeEvents {
  up(): void;
  frame(frame: FromPhones): void;
  /** once, when an open or opening connection ended; frames not written are forgotten */
  lost(): void;
}

const WRITE_LIMIT = 64 * 1024;
const DIAL_TIMEOUT_MS = 5000;
/** Guess; far below any margin, far above what a write takes. */
const FREEZE_MS = 10;

interface Queued {
  readonly line: string;
  readonly permit: Permit | undefined;
}

export function createPipe(socket: Socket, events: PipeEvents, clock: Pick<Clock, 'monotonic' | 'wall'>): Pipe {
  let queue: Queued[] = [];
  let state: 'dialling' | 'up' | 'ended' = 'dialling';
  let scheduled = false;
  let writing = false;

  /** takes frames off the queue that may go as of now; the others are left out for good */
  const take = (limit: number): Queued[] => {
    const going: Queued[] = [];
    let length = 0;
    let taken = 0;
    for (const entry of queue) {
      if (length >= limit) break;
      taken += 1;
      if (entry.permit?.mayGo() === false) continue;
      going.push(entry);
      length += entry.line.length;
    }
    queue = queue.length === taken ? [] : queue.slice(taken);
    return going;
  };
  const flush = (): void => {
    scheduled = false;
    if (state !== 'up' || writing) return;
    for (let limit = WRITE_LIMIT; ; limit /= 4) {
      const monotonic = clock.monotonic();
      const wall = clock.wall();
      const going = take(limit);
      if (going.length === 0) return;
      const bytes = Buffer.from(going.map((entry) => entry.line).join(''));
      writing = true;
      if (clock.monotonic() - monotonic < FREEZE_MS && clock.wall() - wall < FREEZE_MS) {
        /* hold point */ socket.write(bytes, written);
        for (const { permit } of going) permit?.went();
        return;
      }
      writing = false;
      queue = [...going, ...queue];
    }
  };
  const written = (): void => {
    writing = false;
    if (queue.length > 0) flush();
  };
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    // after all promises of this tick have settled: one write for all of them, still in the tick of the check
    process.nextTick(flush);
  };
  const lose = (): void => {
    socket.destroy();
    if (state === 'ended') return;
    state = 'ended';
    queue = [];
    events.lost();
  };

  socket.setNoDelay(true);
  socket.setEncoding('utf8');
  socket.setTimeout(DIAL_TIMEOUT_MS, lose);
  const split = createLineSplitter((line) => {
    if (state === 'up') events.frame(JSON.parse(line) as FromPhones);
  }, lose);
  socket.on('connect', () => {
    socket.setTimeout(0);
    if (state !== 'dialling') return;
    state = 'up';
    events.up();
  });
  socket.on('data', (chunk) => {
    try {
      split(String(chunk));
    } catch {
      lose();
    }
  });
  socket.on('error', lose);
  socket.on('close', lose);
  return {
    get up() {
      return state === 'up';
    },
    put(frame, permit) {
      if (state === 'ended') return;
      queue.push({ line: `${JSON.stringify(frame)}\n`, permit });
      schedule();
    },
    end() {
      flush();
      state = 'ended';
      return new Promise((resolve) => {
        if (socket.destroyed) {
          resolve();
          return;
        }
        socket.once('close', () => resolve());
        socket.end(() => socket.destroy());
      });
    },
  };
}
