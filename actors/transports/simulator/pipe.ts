import type { Socket } from 'node:net';
import { createLineSplitter, type FromPhones, type ToPhones } from './wire.ts';

/**
 * One TCP connection to the phones: frames of a tick go out in one write. Owns the socket and the frames not yet handed to it.
 *
 * I1  The `mayGo` of a frame is asked in the tick in which its bytes are handed to the socket, nothing awaited between.
 * I2  One write is under way at a time and none is longer than WRITE_LIMIT, so that a process frozen here holds back few bytes
 *     whose permission was asked before it froze.
 */
export interface Pipe {
  /** connected and not lost */
  readonly up: boolean;
  /** queues a frame; it is left out when `mayGo` answers false at the moment of writing */
  put(frame: ToPhones, mayGo?: () => boolean): void;
  /** flushes what may still go, then closes without saying `lost` */
  end(): Promise<void>;
}

export interface PipeEvents {
  up(): void;
  frame(frame: FromPhones): void;
  /** once, when an open or opening connection ended; frames not written are forgotten */
  lost(): void;
}

const WRITE_LIMIT = 64 * 1024;
const DIAL_TIMEOUT_MS = 5000;

export function createPipe(socket: Socket, events: PipeEvents): Pipe {
  let queue: { readonly line: string; readonly mayGo: (() => boolean) | undefined }[] = [];
  let state: 'dialling' | 'up' | 'ended' = 'dialling';
  let scheduled = false;
  let writing = false;

  const flush = (): void => {
    scheduled = false;
    if (state !== 'up' || writing) return;
    let bytes = '';
    let taken = 0;
    for (const entry of queue) {
      if (bytes.length >= WRITE_LIMIT) break;
      taken += 1;
      if (entry.mayGo === undefined || entry.mayGo()) bytes += entry.line;
    }
    queue = queue.length === taken ? [] : queue.slice(taken);
    if (bytes.length === 0) return;
    writing = true;
    /* hold point */ socket.write(bytes, written);
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
    put(frame, mayGo) {
      if (state === 'ended') return;
      queue.push({ line: `${JSON.stringify(frame)}\n`, mayGo });
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
