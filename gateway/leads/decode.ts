import { FileError } from './csv.ts';

/** The beginning of a file tells how its letters are written, unless its sender said so. */
const MARKS: readonly (readonly [readonly number[], string])[] = [
  [[0xef, 0xbb, 0xbf], 'utf-8'],
  [[0xff, 0xfe], 'utf-16le'],
  [[0xfe, 0xff], 'utf-16be'],
];

/** True for names of encodings that can be read (WHATWG labels). */
export function isEncoding(label: string): boolean {
  try {
    new TextDecoder(label);
    return true;
  } catch {
    return false;
  }
}

/**
 * Bytes in any encoding to bytes in UTF-8, piece by piece. UTF-8 goes through as it is: bytes that are no characters are found cell by cell, with
 * row and column.
 * @param said the encoding that the sender named, or null
 * @throws FileError for a file that is no text
 */
export function createDecoder(said: string | null): { feed(bytes: Buffer): Buffer; end(): Buffer } {
  let decoder: TextDecoder | undefined;
  let begun = false;
  let held = Buffer.alloc(0);
  const begin = (bytes: Buffer): Buffer => {
    begun = true;
    const mark = MARKS.find(([head]) => head.every((byte, index) => bytes[index] === byte));
    const encoding = mark?.[1] ?? (said === null ? 'utf-8' : new TextDecoder(said).encoding);
    if (mark === undefined && said === null) refuseOther(bytes);
    if (encoding !== 'utf-8') decoder = new TextDecoder(encoding);
    return bytes.subarray(mark?.[0].length ?? 0);
  };
  const through = (bytes: Buffer): Buffer => (decoder === undefined ? bytes : Buffer.from(decoder.decode(bytes, { stream: true })));
  return {
    feed(bytes) {
      if (begun) return through(bytes);
      held = Buffer.concat([held, bytes]);
      return held.length < 4 ? Buffer.alloc(0) : through(begin(held));
    },
    end() {
      const first = begun ? Buffer.alloc(0) : through(begin(held));
      return decoder === undefined ? first : Buffer.concat([first, Buffer.from(decoder.decode())]);
    },
  };
}

function refuseOther(bytes: Buffer): void {
  const starts = (...head: readonly number[]): boolean => head.every((byte, index) => bytes[index] === byte);
  if (starts(0x50, 0x4b, 0x03, 0x04)) throw new FileError('expected CSV or NDJSON: this is a zip or Excel file; save it as CSV (UTF-8)');
  if (starts(0xd0, 0xcf, 0x11, 0xe0)) throw new FileError('expected CSV or NDJSON: this is an old Excel file; save it as CSV (UTF-8)');
  if (starts(0x1f, 0x8b)) throw new FileError('expected CSV or NDJSON: this is a gzip file; send it unpacked');
  if (starts(0x25, 0x50, 0x44, 0x46)) throw new FileError('expected CSV or NDJSON: this is a PDF');
  const zeros = [...bytes.subarray(0, 64)].filter((byte) => byte === 0).length;
  if (zeros > 8) throw new FileError('expected text: it has NUL bytes; if it is UTF-16, say encoding=utf-16le or utf-16be');
}
