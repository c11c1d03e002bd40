/**
 * A `next` message whose payload is encoded once for all its readers. On a WebSocket only the id in front differs: the head is written into
 * the room before the payload, just before each send; uWS copies during `send`, so one buffer serves every socket. An event stream has no
 * id: all its readers get the very same bytes.
 */
export interface SharedFrame {
  /** bytes of the whole message for this head; valid until the next call */
  bytesFor(head: Buffer): Uint8Array;
  /** bytes of the server-sent event; never changed afterwards */
  event(): Uint8Array;
  readonly payloadBytes: number;
}

/** `{"id":…,"type":"next","payload":` as bytes; made once per operation. */
export function headOf(id: string): Buffer {
  return Buffer.from(`{"id":${JSON.stringify(id)},"type":"next","payload":`);
}

/**
 * Heads, one buffer for all operations with the same short id: many clients count from 1, and then neither memory nor a copy is spent on each.
 * At most `HEADS` are kept; longer ids are made as they come.
 */
export function createHeads(): (id: string) => Buffer {
  const heads = new Map<string, Buffer>();
  return (id) => {
    const known = heads.get(id);
    if (known !== undefined) return known;
    const head = headOf(id);
    if (id.length <= SHORT && heads.size < HEADS) heads.set(id, head);
    return head;
  };
}
const HEADS = 1_000;
const SHORT = 8;

/** 64 bytes of id, each up to 6 bytes once escaped, and the rest of the head. */
const ROOM = 64 * 6 + 64;
const CLOSING_BRACE = 0x7d;

/** @param eventId the `id:` line of the server-sent event: where a reader that has it stands */
export function createFrame(payload: unknown, eventId?: string): SharedFrame {
  const text = JSON.stringify(payload);
  const length = Buffer.byteLength(text);
  const buffer = Buffer.allocUnsafe(ROOM + length + 1);
  buffer.write(text, ROOM);
  buffer[ROOM + length] = CLOSING_BRACE;
  // ids of one length share a view; sockets that share a head share the whole frame
  let view = buffer;
  let viewStart = 0;
  let written: Buffer | undefined;
  let event: Uint8Array | undefined;
  return {
    payloadBytes: length,
    bytesFor(head) {
      if (head === written) return view;
      written = head;
      const start = ROOM - head.length;
      head.copy(buffer, start);
      if (start !== viewStart) {
        viewStart = start;
        view = buffer.subarray(start);
      }
      return view;
    },
    event() {
      event ??= Buffer.from(`event: next\n${eventId === undefined ? '' : `id: ${eventId}\n`}data: ${text}\n\n`);
      return event;
    },
  };
}
