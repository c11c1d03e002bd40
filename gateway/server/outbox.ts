import type { WebSocket as UwsSocket } from 'uWebSockets.js';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { SendOutcome, Socket } from './port.ts';

/**
 * The sending side of one socket.
 * Owns: what uWS has taken for this socket and not yet given to the kernel, and the decision that the reader is stalled.
 * Does not own: what to send next (hub, link). Called by server.ts (`attend`, `onDrain`, `onClose`) and through `Socket`.
 * I1 All three results of a uWS send are told apart: 1 sent, 0 buffered, 2 dropped (the frame is gone).
 * I2 After `onClose` the uWS object is never touched: it throws.
 * I3 A socket whose buffer makes no progress for `stallMs`, or stays full for that long, is closed with 4503.
 */
export interface Outbox extends Socket {
  /** the sweep: looks at the buffer again (uWS does not call drain always); true while there is something to watch */
  attend(now: number): boolean;
  onDrain(): void;
  onClose(): void;
}

export interface OutboxOptions {
  readonly kind: string;
  readonly highWaterBytes: number;
  readonly stallMs: number;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** told at the first buffered byte: the server's sweep attends from then on */
  readonly watch: (outbox: Outbox) => void;
  readonly drained: () => void;
  /** told of each frame */
  readonly counted: (outcome: SendOutcome) => void;
}

/** A frame that did not drain: the reader is too slow. Ours, see gateway/hub/close-codes.ts. */
const STALLED = 4503;
/** how long a close frame may sit behind unread bytes before the connection is cut */
const CLOSE_GRACE_MS = 2_000;

function cutReason(reason: string): string {
  const bytes = Buffer.from(reason);
  if (bytes.length <= 123) return reason;
  return bytes
    .subarray(0, 120)
    .toString('utf8')
    .replace(/\uFFFD+$/u, '');
}

export function createOutbox(ws: UwsSocket<unknown>, remote: string, options: OutboxOptions): Outbox {
  let closed = false;
  let ending = false;
  let watched = false;
  let wasSlow = false;
  let lastBuffered = 0;
  let sentSinceLook = 0;
  let progressAt = 0;
  let fullSince: number | undefined;

  const buffered = (): number => (closed ? 0 : ws.getBufferedAmount());
  const startWatching = (): void => {
    wasSlow = true;
    if (watched) return;
    watched = true;
    progressAt = options.clock.monotonic();
    lastBuffered = buffered();
    sentSinceLook = 0;
    options.watch(outbox);
  };
  const relieve = (): void => {
    if (!wasSlow || closed || ending || buffered() >= options.highWaterBytes) return;
    if (buffered() === 0) wasSlow = false;
    options.drained();
  };
  const outbox: Outbox = {
    remote,
    get closed() {
      return closed || ending;
    },
    bufferedBytes: buffered,
    // a socket whose last send was whole has nothing buffered: no need to ask uWS for each frame
    full: () => wasSlow && buffered() >= options.highWaterBytes,
    send(frame, binary = false): SendOutcome {
      if (closed || ending) return 'closed';
      const result = ws.send(frame, typeof frame === 'string' ? false : binary);
      const outcome: SendOutcome = result === 1 ? 'sent' : result === 0 ? 'buffered' : 'dropped';
      options.counted(outcome);
      if (result !== 1) {
        if (result === 0) sentSinceLook += frame.length;
        startWatching();
      }
      return outcome;
    },
    cork(task) {
      if (closed || ending) task();
      else {
        ws.cork(task);
        // what is sent inside says nothing of the kernel: the write comes at the end
        if (!closed && !wasSlow && buffered() > 0) startWatching();
      }
    },
    close(code, reason) {
      if (closed || ending) return;
      ending = true;
      options.telemetry.count('socket.closed', 1, { kind: options.kind, code: String(code) });
      const stuck = buffered() > 0;
      ws.end(code, cutReason(reason));
      if (!stuck || closed) return;
      options.clock.after(
        code === STALLED ? 0 : CLOSE_GRACE_MS,
        () => {
          if (!closed) ws.close();
        },
        { background: true },
      );
    },
    attend(now) {
      if (closed) return false;
      const bytes = buffered();
      if (bytes === 0 || bytes < lastBuffered + sentSinceLook) progressAt = now;
      lastBuffered = bytes;
      sentSinceLook = 0;
      fullSince = bytes >= options.highWaterBytes ? (fullSince ?? now) : undefined;
      const stalled = bytes > 0 && now - progressAt >= options.stallMs;
      const full = fullSince !== undefined && now - fullSince >= options.stallMs;
      if ((stalled || full) && !ending) {
        outbox.close(STALLED, 'the reader is too slow');
        return !closed;
      }
      relieve();
      watched = buffered() > 0;
      return watched;
    },
    onDrain: relieve,
    onClose() {
      closed = true;
    },
  };
  return outbox;
}
