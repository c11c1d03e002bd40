import type { HttpResponse as UwsResponse } from 'uWebSockets.js';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { HttpError } from './port.ts';

/**
 * A body that is taken as it comes. Owns the chunks that wait to be taken; never more than about FULL_BYTES and what the kernel gives at once:
 * then the socket is paused, TCP holds the client back, and it goes on when LOW_BYTES are left.
 * Called by exchange.ts, synchronously from the uWS handler, so that no chunk is missed.
 */
export interface StreamedBody {
  chunks(): AsyncIterable<Buffer>;
  /** all of it, for handlers that ask for it whole */
  body(cap: number): Promise<Buffer>;
  abort(): void;
  /** before the answer: throws away what still comes, for a moment only. @returns true when all of the body has come */
  drop(): Promise<boolean>;
}

const FULL_BYTES = 512 * 1024;
const LOW_BYTES = 128 * 1024;
/** A client that is still sending hears a refusal only after what it sends has been read: this much, and this long. Guess. */
const DROP_BYTES = 64 * 1024 * 1024;
const DROP_MS = 3_000;

export interface StreamBodyOptions {
  readonly clock: Clock;
  /** 408 when nothing comes for so long while it is waited for */
  readonly bodyTimeoutMs: number;
  readonly bodyLimitBytes: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly gone: () => boolean;
}

export function streamBody(res: UwsResponse, options: StreamBodyOptions): StreamedBody {
  const { clock, gone } = options;
  const queue: Buffer[] = [];
  let queued = 0;
  let size = 0;
  let paused = false;
  let ended = false;
  let dropping = false;
  let failure: HttpError | undefined;
  let wake = (): void => {};
  const fail = (error: HttpError): void => {
    failure ??= error;
    queue.length = 0;
    queued = 0;
    wake();
  };
  const tooLarge = (limit: number): HttpError => new HttpError(413, `the body is longer than ${limit} bytes`);
  res.onData((chunk, isLast) => {
    size += chunk.byteLength;
    if (isLast) ended = true;
    if (size > options.bodyLimitBytes) fail(tooLarge(options.bodyLimitBytes));
    else if (!dropping && chunk.byteLength > 0) {
      queue.push(Buffer.from(new Uint8Array(chunk)));
      queued += chunk.byteLength;
      if (queued > FULL_BYTES && !paused && !ended) {
        paused = true;
        res.pause();
      }
    }
    wake();
  });
  if (Number(options.headers['content-length'] ?? 0) > options.bodyLimitBytes) fail(tooLarge(options.bodyLimitBytes));

  const goOn = (): void => {
    if (!paused || gone()) return;
    paused = false;
    res.resume();
  };
  /** until something has come; false = nothing did in that time */
  const more = (ms: number): Promise<boolean> =>
    new Promise((resolve) => {
      const cancel = clock.after(ms, () => resolve(false), { background: true });
      wake = () => {
        cancel();
        wake = () => {};
        resolve(true);
      };
    });
  async function* take(): AsyncGenerator<Buffer> {
    for (;;) {
      if (failure !== undefined) throw failure;
      const chunk = queue.shift();
      if (chunk !== undefined) {
        queued -= chunk.byteLength;
        if (queued <= LOW_BYTES) goOn();
        yield chunk;
      } else if (ended) return;
      else if (!(await more(options.bodyTimeoutMs))) fail(new HttpError(408, 'the body did not arrive in time'));
    }
  }
  return {
    chunks: take,
    async body(cap) {
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of take()) {
        length += chunk.byteLength;
        if (length > cap) throw tooLarge(cap);
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    },
    abort: () => fail(new HttpError(499, 'the client went away')),
    async drop() {
      dropping = true;
      queue.length = 0;
      queued = 0;
      goOn();
      const until = clock.monotonic() + DROP_MS;
      const from = size;
      // who sends nothing waits for the answer
      while (!ended && !gone() && failure?.status !== 408 && size - from < DROP_BYTES && clock.monotonic() < until)
        await more(until - clock.monotonic());
      return ended;
    },
  };
}
