import type { lookup as systemLookup } from 'node:dns';
import { createWriteStream } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AddressRefused, publicUrl, requestPublic, ServerSilent } from '../../../ops/connect/index.ts';
import { MEDIA_LIMITS, type MediaKind } from '../../../schema/domain/index.ts';
import { MediaProblem } from '../../media/index.ts';

/**
 * Fetches media from an address that somebody gave us, into a file.
 *
 * M1. No connection is made to an address that is not public (ops/connect/public-request.ts).
 * M2. Redirects are followed `MOST_HOPS` times, each under M1.
 * M3. Nothing is buffered; the file never passes the kind's limit, whatever the server says about its length.
 * M4. The type is what the server says and, for pictures and sounds, what the first bytes are.
 */
export interface FetchOptions {
  /** `host:port` pairs that are exempt from M1: for tests, and for a store of one's own in a private network */
  readonly allowed: readonly string[];
  readonly signal: AbortSignal;
  /** a server that says nothing for this long is given up */
  readonly idleMs: number;
  /** for tests: how names are resolved */
  readonly lookup?: typeof systemLookup;
}

export interface FetchedMedia {
  readonly type: string;
  readonly bytes: number;
}

const MOST_HOPS = 3;
const SNIFFED = 16;

/** @throws MediaProblem; the file may exist in part then */
export async function fetchMedia(address: string, kind: MediaKind, file: string, options: FetchOptions): Promise<FetchedMedia> {
  let url = parse(address);
  for (let hop = 0; hop <= MOST_HOPS; hop++) {
    const response = await request(url, options);
    const status = response.statusCode ?? 0;
    const { location } = response.headers;
    if ([301, 302, 303, 307, 308].includes(status) && location !== undefined) {
      response.destroy();
      url = parse(location, url);
      continue;
    }
    if (status !== 200) {
      response.destroy();
      const gone = status === 404 || status === 410 || status === 401 || status === 403;
      throw new MediaProblem(gone ? 'MEDIA_NOT_FOUND' : 'MEDIA_UNREACHABLE', `the server answered ${status}`);
    }
    return await store(response, kind, file, options.signal);
  }
  throw new MediaProblem('MEDIA_REFUSED', `more than ${MOST_HOPS} redirects`);
}

function parse(text: string, base?: URL): URL {
  try {
    return publicUrl(text, base);
  } catch (error) {
    if (error instanceof AddressRefused) throw new MediaProblem('MEDIA_REFUSED', error.message);
    throw error;
  }
}

/** M1 */
async function request(url: URL, options: FetchOptions): Promise<IncomingMessage> {
  const { allowed, signal, idleMs, lookup } = options;
  try {
    return await requestPublic(url, {
      method: 'GET',
      headers: { accept: '*/*', 'user-agent': 'flotilla' },
      allowed,
      signal,
      idleMs,
      ...(lookup === undefined ? {} : { lookup }),
    });
  } catch (error) {
    if (error instanceof AddressRefused) throw new MediaProblem('MEDIA_REFUSED', error.message);
    if (error instanceof ServerSilent) throw new MediaProblem('MEDIA_UNREACHABLE', error.message);
    throw new MediaProblem('MEDIA_UNREACHABLE', `it cannot be fetched: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

async function store(response: IncomingMessage, kind: MediaKind, file: string, signal: AbortSignal): Promise<FetchedMedia> {
  const limit = MEDIA_LIMITS[kind].bytes;
  const said = Number(response.headers['content-length']);
  const type = (response.headers['content-type'] ?? 'application/octet-stream').split(';')[0]?.trim().toLowerCase() ?? '';
  let bytes = 0;
  let head = Buffer.alloc(0);
  const tooLarge = (): MediaProblem =>
    new MediaProblem('MEDIA_TOO_LARGE', `${kind}: at most ${limit / 1024 / 1024} MB are taken, it has ${said > limit ? said : 'more'}`);
  try {
    checkType(kind, type);
    if (said > limit) throw tooLarge();
    const gauge = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        bytes += chunk.length;
        if (bytes > limit) return done(tooLarge());
        if (head.length < SNIFFED) head = Buffer.concat([head, chunk.subarray(0, SNIFFED - head.length)]);
        done(null, chunk);
      },
    });
    await pipeline(response, gauge, createWriteStream(file, { mode: 0o600 }), { signal });
  } catch (error) {
    response.destroy();
    if (error instanceof MediaProblem) throw error;
    throw new MediaProblem('MEDIA_UNREACHABLE', `it broke off: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  if (bytes === 0) throw new MediaProblem('MEDIA_TYPE', 'it is empty');
  if (said > 0 && bytes < said) throw new MediaProblem('MEDIA_UNREACHABLE', 'it broke off');
  checkBytes(kind, head);
  return { type, bytes };
}

/** M4 */
function checkType(kind: MediaKind, type: string): void {
  const { types } = MEDIA_LIMITS[kind];
  const fits = types.length === 0 ? type !== 'text/html' && type !== 'application/xhtml+xml' : types.includes(type);
  if (!fits)
    throw new MediaProblem(
      'MEDIA_TYPE',
      `${kind}: the server says ${type || 'no type'}; taken are ${types.join(', ') || 'all but web pages'}`,
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

function checkBytes(kind: MediaKind, head: Buffer): void {
  if (kind === 'document' || STARTS[kind].some((fits) => fits(head))) return;
  throw new MediaProblem('MEDIA_TYPE', `${kind}: its first bytes are not those of any type that is taken`);
}
