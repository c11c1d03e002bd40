import { Buffer } from 'node:buffer';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Socket } from '../server/index.ts';

/**
 * What waits for one reader of an event stream, seen by groups as a socket and by the server as chunks.
 * Owns: the waiting frames. Called by sse.ts.
 * I1 At most MAX_BYTES wait (and one frame more): above it frames are refused, above HIGH_BYTES the socket says it is full.
 */
export interface EventQueue {
  readonly socket: Socket;
  /** aborted when the reader takes nothing: its connection has to be cut */
  readonly stalled: AbortSignal;
  /** pulled by the server: once; ends after `close` */
  chunks(): AsyncIterable<Uint8Array>;
  /** a comment when nothing was sent for `heartbeatMs`; the end when nothing was taken for `stallMs` */
  attend(heartbeatMs: number, stallMs: number): void;
  /** ends it without a word: the client is gone, or must come back */
  cut(): void;
}
export interface EventQueueOptions {
  readonly clock: Clock;
  readonly remote: string;
  /** sent at an orderly end */
  readonly last: Uint8Array;
  readonly drained: () => void;
  /** called once */
  readonly closed: () => void;
}

const HIGH_BYTES = 256 * 1024;
const MAX_BYTES = 1024 * 1024;
const COMMENT = Buffer.from(':\n\n');

export function createEventQueue(options: EventQueueOptions): EventQueue {
  const { clock } = options;
  let waiting: Uint8Array[] = [COMMENT];
  let bytes = COMMENT.length;
  let ended = false;
  let wake = (): void => {};
  let sentAt = clock.monotonic();
  let takenAt = sentAt;
  const stalled = new AbortController();

  const end = (): void => {
    if (ended) return;
    ended = true;
    options.closed();
    wake();
  };
  const put = (frame: Uint8Array): void => {
    if (waiting.length === 0) takenAt = clock.monotonic();
    waiting.push(frame);
    bytes += frame.length;
    sentAt = clock.monotonic();
    wake();
  };
  const cut = (): void => {
    waiting = [];
    bytes = 0;
    end();
  };
  async function* chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        while (waiting.length === 0 && !ended) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
        if (waiting.length === 0) return;
        const due = waiting;
        const wasFull = bytes >= HIGH_BYTES;
        waiting = [];
        bytes = 0;
        yield due.length === 1 && due[0] !== undefined ? due[0] : Buffer.concat(due);
        takenAt = clock.monotonic();
        if (wasFull && !ended) options.drained();
      }
    } finally {
      end();
    }
  }
  return {
    socket: {
      remote: options.remote,
      get closed() {
        return ended;
      },
      bufferedBytes: () => bytes,
      full: () => bytes >= HIGH_BYTES,
      send(frame) {
        if (ended) return 'closed';
        if (bytes > MAX_BYTES) return 'dropped';
        const outcome = waiting.length === 0 ? 'sent' : 'buffered';
        put(typeof frame === 'string' ? Buffer.from(frame) : frame);
        return outcome;
      },
      cork: (task) => task(),
      close(code) {
        if (code === 1000 && !ended) put(options.last);
        end();
      },
    },
    stalled: stalled.signal,
    chunks,
    attend(heartbeatMs, stallMs) {
      const now = clock.monotonic();
      if (waiting.length > 0 && now - takenAt >= stallMs) {
        cut();
        stalled.abort(new Error('the reader is too slow'));
      } else if (waiting.length === 0 && now - sentAt >= heartbeatMs) put(COMMENT);
    },
    cut,
  };
}
