import type { lookup as systemLookup } from 'node:dns';
import { createWriteStream } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { AddressRefused, publicUrl, requestPublic, ServerSilent } from '../../../ops/connect/index.ts';
import { MEDIA_LIMITS, type MediaKind } from '../../../schema/domain/index.ts';
import { checked, checkType, MediaProblem, plainType, tooLarge } from '../../media/index.ts';

/**
 * Fetches media from an address that somebody gave us, into a file.
 *
 * M1. No connection is made to an address that is not public (ops/connect/public-request.ts).
 * M2. Redirects are followed `MOST_HOPS` times, each under M1.
 * M3. Nothing is buffered; the file never passes the kind's limit, whatever the server says about its length.
 * M4. The type is what the server says and, for pictures and sounds, what the first bytes are (actors/media/format.ts).
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
  const said = Number(response.headers['content-length']);
  const type = plainType(response.headers['content-type']);
  const out = createWriteStream(file, { mode: 0o600 });
  try {
    checkType(kind, type);
    if (said > MEDIA_LIMITS[kind].bytes) throw tooLarge(kind, said);
    await pipeline(response, (source: AsyncIterable<Buffer>) => checked(kind, source), out, { signal });
  } catch (error) {
    response.destroy();
    out.destroy();
    if (error instanceof MediaProblem) throw error;
    throw new MediaProblem('MEDIA_UNREACHABLE', `it broke off: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  if (said > 0 && out.bytesWritten < said) throw new MediaProblem('MEDIA_UNREACHABLE', 'it broke off');
  return { type, bytes: out.bytesWritten };
}
