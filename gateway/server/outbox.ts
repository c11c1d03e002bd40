import type { WebSocket as UwsSocket } from 'uWebSockets.js';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { SendOutcome, Socket } from './port.ts';

/**
 * The sending side of one socket.
 * Owns: what uWS has taken for this socket and not yet given to the kernel, and the decision that the reader is stalled.
 * Does not own: what to send next (hub, link). Called by server.ts (`attend`, `onDrain`, `onClose`) and through `Socket`.
 * A class, not a closure: of tens of thousands of sockets each is walked over for every frame, and what lies apart in memory costs more than
 * what is done with it (decision 0006).
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

/** What all sockets of one behaviour share. */
export interface OutboxOptions {
  readonly kind: string;
  readonly highWaterBytes: number;
  readonly stallMs: number;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** told at the first buffered byte: the server's sweep attends from then on */
  readonly watch: (outbox: Outbox) => void;
  /** below the high-water mark again */
  readonly drained: (outbox: Outbox) => void;
  /** frames by outcome, counted up here */
  readonly frames: FrameCounts;
}
/** Frames since they were last told to the metrics. */
export interface FrameCounts {
  sent: number;
  buffered: number;
  dropped: number;
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

class UwsOutbox implements Outbox {
  readonly remote: string;
  /** I2: may not be touched any more, or not for sending */
  closed = false;
  private readonly ws: UwsSocket<unknown>;
  private readonly options: OutboxOptions;
  private gone = false;
  private watched = false;
  private wasSlow = false;
  private lastBuffered = 0;
  private sentSinceLook = 0;
  private progressAt = 0;
  /** -1: it is not */
  private fullSince = -1;

  constructor(ws: UwsSocket<unknown>, remote: string, options: OutboxOptions) {
    this.ws = ws;
    this.remote = remote;
    this.options = options;
  }
  bufferedBytes(): number {
    return this.gone ? 0 : this.ws.getBufferedAmount();
  }
  // a socket whose last send was whole has nothing buffered: no need to ask uWS for each frame
  full(): boolean {
    return this.wasSlow && this.bufferedBytes() >= this.options.highWaterBytes;
  }
  send(frame: string | Uint8Array, binary = false): SendOutcome {
    if (this.closed) return 'closed';
    const result = this.ws.send(frame, typeof frame === 'string' ? false : binary);
    if (result === 1) {
      this.options.frames.sent += 1;
      return 'sent';
    }
    return this.slowed(result, frame.length);
  }
  cork(task: () => void): void {
    if (this.closed) {
      task();
      return;
    }
    this.ws.cork(task);
    // what is sent inside says nothing of the kernel: the write comes at the end
    if (!this.gone && !this.wasSlow && this.bufferedBytes() > 0) this.startWatching();
  }
  close(code: number, reason: string): void {
    if (this.closed) return;
    this.closed = true;
    this.options.telemetry.count('socket.closed', 1, { kind: this.options.kind, code: String(code) });
    const stuck = this.bufferedBytes() > 0;
    this.ws.end(code, cutReason(reason));
    if (!stuck || this.gone) return;
    this.options.clock.after(
      code === STALLED ? 0 : CLOSE_GRACE_MS,
      () => {
        if (!this.gone) this.ws.close();
      },
      { background: true },
    );
  }
  attend(now: number): boolean {
    if (this.gone) return false;
    const { highWaterBytes, stallMs } = this.options;
    const bytes = this.bufferedBytes();
    if (bytes === 0 || bytes < this.lastBuffered + this.sentSinceLook) this.progressAt = now;
    this.lastBuffered = bytes;
    this.sentSinceLook = 0;
    if (bytes < highWaterBytes) this.fullSince = -1;
    else if (this.fullSince < 0) this.fullSince = now;
    const stalled = bytes > 0 && now - this.progressAt >= stallMs;
    const full = this.fullSince >= 0 && now - this.fullSince >= stallMs;
    if ((stalled || full) && !this.closed) {
      this.close(STALLED, 'the reader is too slow');
      return !this.gone;
    }
    this.onDrain();
    this.watched = this.bufferedBytes() > 0;
    return this.watched;
  }
  onDrain(): void {
    if (!this.wasSlow || this.closed || this.bufferedBytes() >= this.options.highWaterBytes) return;
    if (this.bufferedBytes() === 0) this.wasSlow = false;
    this.options.drained(this);
  }
  onClose(): void {
    this.gone = true;
    this.closed = true;
  }
  private slowed(result: number, bytes: number): SendOutcome {
    const outcome = result === 0 ? 'buffered' : 'dropped';
    this.options.frames[outcome] += 1;
    if (result === 0) this.sentSinceLook += bytes;
    this.startWatching();
    return outcome;
  }
  private startWatching(): void {
    this.wasSlow = true;
    if (this.watched) return;
    this.watched = true;
    this.progressAt = this.options.clock.monotonic();
    this.lastBuffered = this.bufferedBytes();
    this.sentSinceLook = 0;
    this.options.watch(this);
  }
}

export function createOutbox(ws: UwsSocket<unknown>, remote: string, options: OutboxOptions): Outbox {
  return new UwsOutbox(ws, remote, options);
}
