import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { HttpAnswer, HttpRequest } from './port.ts';

/** The files of a folder, read once, compressed once, answered from memory. */
export interface StaticFiles {
  /** file names relative to the folder, with forward slashes */
  readonly names: readonly string[];
  /** undefined when there is no such file */
  answer(name: string, request: HttpRequest): HttpAnswer | undefined;
}

interface StoredFile {
  readonly type: string;
  readonly etag: string;
  readonly cache: string;
  readonly encodings: Readonly<Record<'identity' | 'gzip' | 'br', Buffer | undefined>>;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
};
/** vite's hashed names: `name-<hash>.ext` */
const HASHED = /-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$/;

function store(name: string, body: Buffer): StoredFile {
  const type = TYPES[extname(name)] ?? 'application/octet-stream';
  const small = (packed: Buffer): Buffer | undefined => (packed.length < body.length * 0.95 ? packed : undefined);
  const packable = /^text\/|json|svg|manifest/.test(type) && body.length > 512;
  return {
    type,
    etag: createHash('sha256').update(body).digest('base64url').slice(0, 22),
    cache: HASHED.test(name) ? 'public, max-age=31536000, immutable' : 'no-cache',
    encodings: {
      identity: body,
      gzip: packable ? small(gzipSync(body, { level: 9 })) : undefined,
      br: packable ? small(brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: body.length } })) : undefined,
    },
  };
}

function accepted(header: string, encoding: string): boolean {
  return header.split(',').some((part) => {
    const [name, ...parameters] = part.split(';').map((piece) => piece.trim());
    return name === encoding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}

/**
 * Reads every file under `folder`; a folder that does not exist holds no files.
 * @param headers sent with every file, such as the content security policy
 */
export function loadStatic(folder: string, headers: Readonly<Record<string, string>> = {}): StaticFiles {
  const files = new Map<string, StoredFile>();
  if (existsSync(folder)) {
    for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const name = relative(folder, path).split(sep).join('/');
      files.set(name, store(name, readFileSync(path)));
    }
  }
  return {
    names: [...files.keys()],
    answer(name, request) {
      const file = files.get(name);
      if (file === undefined) return undefined;
      const wanted = request.headers['accept-encoding'] ?? '';
      const encoding = (['br', 'gzip'] as const).find((choice) => file.encodings[choice] !== undefined && accepted(wanted, choice));
      const etag = `"${file.etag}${encoding === undefined ? '' : `-${encoding}`}"`;
      const common = { ...headers, etag, 'cache-control': file.cache, vary: 'accept-encoding' };
      const known = (request.headers['if-none-match'] ?? '').split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
      if (known) return { status: 304, headers: common };
      return {
        status: 200,
        headers: { ...common, 'content-type': file.type, ...(encoding === undefined ? {} : { 'content-encoding': encoding }) },
        body: file.encodings[encoding ?? 'identity'] ?? '',
      };
    },
  };
}
