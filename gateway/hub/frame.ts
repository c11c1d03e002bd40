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
  // ids of one length share a view
  let view = buffer;
  let viewStart = 0;
  let event: Uint8Array | undefined;
  return {
    payloadBytes: length,
    bytesFor(head) {
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
