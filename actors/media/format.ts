import { MEDIA_KINDS, MEDIA_LIMITS, type MediaKind } from '../../schema/domain/index.ts';
import { MediaProblem } from './problem.ts';

/** What a file is: by what is said of it, by its length, and for pictures and sounds by its first bytes. Nothing else of it is read. */

/** first bytes that are looked at */
export const SNIFFED = 16;

/** `image/JPEG; q=1` is image/jpeg */
export const plainType = (said: string | undefined): string =>
  (said ?? 'application/octet-stream').split(';')[0]?.trim().toLowerCase() ?? '';

/** The kind that takes this type; what no other kind takes is a document. */
export const kindOf = (type: string): MediaKind => MEDIA_KINDS.find((kind) => MEDIA_LIMITS[kind].types.includes(type)) ?? 'document';

/** @throws MediaProblem MEDIA_TYPE */
export function checkType(kind: MediaKind, type: string): void {
  const { types } = MEDIA_LIMITS[kind];
  const fits = types.length === 0 ? type !== 'text/html' && type !== 'application/xhtml+xml' : types.includes(type);
  if (!fits)
    throw new MediaProblem(
      'MEDIA_TYPE',
      `${kind}: it is said to be ${type || 'of no type'}; taken are ${types.join(', ') || 'all but web pages'}`,
    );
}

/** `said`: the length it was announced with */
export function tooLarge(kind: MediaKind, said = 0): MediaProblem {
  const limit = MEDIA_LIMITS[kind].bytes;
  return new MediaProblem(
    'MEDIA_TOO_LARGE',
    `${kind}: at most ${limit / 1024 / 1024} MB are taken, it has ${said > limit ? said : 'more'}`,
  );
}

/** First bytes of the formats. Source: PNG 1.2 section 3.1, JFIF 1.02, ISO 14496-12 (ftyp), RFC 3533 (Ogg), RFC 4867 (AMR), ISO 13818-7 (ADTS), ID3v2. */
const STARTS: Readonly<Record<Exclude<MediaKind, 'document'>, readonly ((head: Buffer) => boolean)[]>> = {
  image: [
    (head) => head.subarray(0, 8).equals(Buffer.from('89504e470d0a1a0a', 'hex')),
    (head) => head.subarray(0, 3).equals(Buffer.from('ffd8ff', 'hex')),
  ],
  video: [(head) => head.toString('latin1', 4, 8) === 'ftyp'],
  audio: [
    (head) => head.toString('latin1', 0, 4) === 'OggS',
    (head) => head.toString('latin1', 4, 8) === 'ftyp',
    (head) => head.toString('latin1', 0, 5) === '#!AMR',
    (head) => head.toString('latin1', 0, 3) === 'ID3',
    (head) => head[0] === 0xff && ((head[1] ?? 0) & 0xe0) === 0xe0,
  ],
};

/** `head`: the first `SNIFFED` bytes. @throws MediaProblem MEDIA_TYPE */
export function checkHead(kind: MediaKind, head: Buffer): void {
  if (head.length === 0) throw new MediaProblem('MEDIA_TYPE', 'it is empty');
  if (kind === 'document' || STARTS[kind].some((fits) => fits(head))) return;
  throw new MediaProblem('MEDIA_TYPE', `${kind}: its first bytes are not those of any type that is taken`);
}

/** Passes chunks on, checked as they pass: never more than the kind's limit. At its end the whole was checked. @throws MediaProblem */
export async function* checked(kind: MediaKind, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let bytes = 0;
  let head = Buffer.alloc(0);
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > MEDIA_LIMITS[kind].bytes) throw tooLarge(kind);
    const known = head.length >= SNIFFED;
    if (!known) head = Buffer.concat([head, chunk.subarray(0, SNIFFED - head.length)]);
    if (!known && head.length >= SNIFFED) checkHead(kind, head);
    yield chunk;
  }
  checkHead(kind, head);
}
