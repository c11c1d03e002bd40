/**
 * A `next` message whose payload is encoded once for all its readers: only the id in front of it differs. The head is written into
 * the room before the payload, just before each send; uWS copies during `send`, so one buffer serves every socket.
 */
export interface SharedFrame {
  /** bytes of the whole message for this head; valid until the next call */
  bytesFor(head: Buffer): Uint8Array;
  readonly payloadBytes: number;
}

/** `{"id":…,"type":"next","payload":` as bytes; made once per operation. */
export function headOf(id: string): Buffer {
  return Buffer.from(`{"id":${JSON.stringify(id)},"type":"next","payload":`);
}

/** 64 bytes of id, each up to 6 bytes once escaped, and the rest of the head. */
const ROOM = 64 * 6 + 64;
const CLOSING_BRACE = 0x7d;

export function createFrame(payload: unknown): SharedFrame {
  const text = JSON.stringify(payload);
  const length = Buffer.byteLength(text);
  const buffer = Buffer.allocUnsafe(ROOM + length + 1);
  buffer.write(text, ROOM);
  buffer[ROOM + length] = CLOSING_BRACE;
  return {
    payloadBytes: length,
    bytesFor(head) {
      const start = ROOM - head.length;
      head.copy(buffer, start);
      return buffer.subarray(start);
    },
  };
}
