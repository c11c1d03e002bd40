import type { HttpResponse as UwsResponse } from 'uWebSockets.js';
import type { Clock } from '../../ops/lifecycle/index.ts';

/**
 * The body of an answer on its way to a client that may read slowly, or not at all.
 * Owns: what the kernel has not taken yet, and the decision that the reader is stalled. Called by exchange.ts.
 * B1 uWS is never given more than the kernel takes, but for the head: with `end` it would keep the rest, begin with the next request on the same
 *    connection, and pile up answer upon answer for a client that only asks. While an answer is under way, a further request ends the connection.
 * B2 A client that takes nothing for `stallMs` is cut off. uWS's own time-out begins anew with each byte that comes, whatever it is.
 */
export interface BodyOut {
  /** @param head writes status and headers. Resolves when all of it was handed over or the client went away */
  whole(head: () => void, body: Uint8Array): Promise<void>;
  /** chunks as they come, no faster than the client reads; the head has been written */
  piecemeal(body: AsyncIterable<string | Uint8Array>): Promise<void>;
  /** the client went away: nobody waits any more */
  abort(): void;
}
export interface BodyOutOptions {
  readonly clock: Clock;
  readonly stallMs: number;
  readonly gone: () => boolean;
}

export function bodyOut(res: UwsResponse, { clock, stallMs, gone }: BodyOutOptions): BodyOut {
  let wake = (): void => {};
  let progressed = (): void => {};
  /** until uWS can take more, or the client is gone or cut off for taking nothing */
  const waited = (start: () => void): Promise<void> =>
    new Promise((resolve) => {
      const cut = (): void => {
        if (!gone()) res.close();
      };
      let cancel = clock.after(stallMs, cut, { background: true });
      wake = () => {
        cancel();
        wake = () => {};
        resolve();
      };
      progressed = () => {
        cancel();
        cancel = clock.after(stallMs, cut, { background: true });
      };
      start();
    });
  return {
    abort: () => wake(),
    async whole(head, body) {
      let from = 0;
      let all = false;
      const give = (offset: number): boolean => {
        const [taken, done] = res.tryEnd(body.subarray(offset), body.byteLength);
        all = done;
        return taken;
      };
      res.cork(() => {
        head();
        // headers count as nothing: the offset is that of the body
        from = res.getWriteOffset();
        give(0);
      });
      if (all || gone()) return;
      await waited(() => {
        res.onWritable((offset) => {
          let taken = false;
          res.cork(() => {
            taken = give(offset - from);
          });
          if (all) wake();
          else progressed();
          return taken;
        });
      });
    },
    async piecemeal(body) {
      res.onWritable(() => {
        wake();
        return true;
      });
      try {
        for await (const chunk of body) {
          if (gone()) return;
          let taken = true;
          res.cork(() => {
            taken = res.write(chunk);
          });
          if (!taken && !gone()) await waited(() => {});
          if (gone()) return;
        }
        if (!gone()) res.cork(() => res.end());
      } catch (error) {
        // The status line is out already: cutting the connection is the only way to say that the answer is not whole.
        if (!gone()) res.close();
        throw error;
      }
    },
  };
}
