import { crc32 } from 'node:zlib';
import { FlotillaError } from '../../schema/domain/index.ts';

/**
 * The bytes of a session's log. A record is one write: length of the body (4 bytes) · CRC-32 of the body (4) · entries.
 * An entry: length of the type (1) · type · length of the id (2) · id · length of the value (4; 0 = deleted) · value. Creds are the entry whose type and id
 * are empty. Pure.
 */
export interface LogEntry {
  readonly type: string;
  readonly id: string;
  readonly value: Uint8Array | null;
}
/** where a value stands in the file */
export interface Place {
  readonly at: number;
  readonly length: number;
}
export interface ReadLog {
  /** `nameOf` -> place of what was written last and is not deleted */
  readonly places: ReadonlyMap<string, Place>;
  /** bytes of whole records; what follows was cut off in the middle of a write that nobody was told of */
  readonly whole: number;
}

const HEAD = 8;

export const nameOf = (type: string, id: string): string => `${type}\0${id}`;
export function partsOf(name: string): { readonly type: string; readonly id: string } {
  const at = name.indexOf('\0');
  return { type: name.slice(0, at), id: name.slice(at + 1) };
}

/** One record, and where its values stand in it. */
export function encodeRecord(entries: readonly LogEntry[]): {
  readonly bytes: Buffer;
  readonly places: readonly (readonly [string, Place | null])[];
} {
  const parts: Buffer[] = [];
  const places: [string, Place | null][] = [];
  let at = HEAD;
  const push = (part: Buffer): void => {
    parts.push(part);
    at += part.length;
  };
  for (const { type, id, value } of entries) {
    const [typeBytes, idBytes] = [Buffer.from(type), Buffer.from(id)];
    const head = Buffer.alloc(7);
    head.writeUInt8(typeBytes.length, 0);
    head.writeUInt16BE(idBytes.length, 1);
    head.writeUInt32BE(value?.length ?? 0, 3);
    push(head.subarray(0, 1));
    push(typeBytes);
    push(head.subarray(1, 3));
    push(idBytes);
    push(head.subarray(3));
    places.push([nameOf(type, id), value === null ? null : { at, length: value.length }]);
    if (value !== null) push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  }
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(HEAD);
  head.writeUInt32BE(body.length, 0);
  head.writeUInt32BE(crc32(body), 4);
  return { bytes: Buffer.concat([head, body]), places };
}

/**
 * Reads a whole log. A last record that is cut off does not count: its write was never confirmed.
 * @throws FlotillaError terminal SESSION_CORRUPT when a record in the middle is damaged
 */
export function readLog(bytes: Buffer): ReadLog {
  const places = new Map<string, Place>();
  let whole = 0;
  while (whole + HEAD <= bytes.length) {
    const length = bytes.readUInt32BE(whole);
    const start = whole + HEAD;
    if (start + length > bytes.length) break;
    const body = bytes.subarray(start, start + length);
    if (crc32(body) !== bytes.readUInt32BE(whole + 4)) {
      if (start + length === bytes.length) break;
      throw new FlotillaError('terminal', 'SESSION_CORRUPT', `a stored session cannot be read: its file is damaged at byte ${whole}`);
    }
    readEntries(body, start, places);
    whole = start + length;
  }
  return { places, whole };
}

function readEntries(body: Buffer, start: number, places: Map<string, Place>): void {
  let at = 0;
  while (at < body.length) {
    const typeEnd = at + 1 + body.readUInt8(at);
    const type = body.toString('utf8', at + 1, typeEnd);
    const idEnd = typeEnd + 2 + body.readUInt16BE(typeEnd);
    const id = body.toString('utf8', typeEnd + 2, idEnd);
    const length = body.readUInt32BE(idEnd);
    if (length === 0) places.delete(nameOf(type, id));
    else places.set(nameOf(type, id), { at: start + idEnd + 4, length });
    at = idEnd + 4 + length;
  }
}
