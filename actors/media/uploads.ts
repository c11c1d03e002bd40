import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Sql } from '../../ops/connect/index.ts';
import { isUuid } from '../../schema/domain/index.ts';
import {
  addUploadChunk,
  beginUpload,
  dropUpload,
  findUpload,
  finishUpload,
  type NewUpload,
  purgeUploads,
  type UploadPlace,
  type UploadRow,
  uploadChunk,
} from '../../schema/sql/index.ts';
import { checked } from './format.ts';
import { MediaProblem } from './problem.ts';

/**
 * Files that were uploaded to be sent, for a time. What is known of them is in Postgres; their bytes are in Postgres too (any gateway and node has them) or in a
 * folder (one machine, or a folder that all share). Called by gateway/media (put, purge) and by the whatsapp transport (openUpload).
 *
 * U1. Nothing is held in memory but a piece; a file that is too large or of another type than it says is not kept.
 * U2. One that broke off is never found, and is forgotten with those whose time is over.
 * U3. A file is opened from the place that its row names, so the setting may change while files are kept.
 */
export interface Uploads {
  /** @throws MediaProblem; MEDIA_REFUSED = the tenant's share is used up */
  put(upload: NewUpload, chunks: AsyncIterable<Buffer>): Promise<UploadRow>;
  /** forgets what is over; returns how many */
  purge(): Promise<number>;
}

export interface UploadSettings {
  readonly MEDIA_STORE: UploadPlace;
  readonly MEDIA_KEEP_DAYS: number;
  /** most bytes that the files of a tenant may have together */
  readonly MEDIA_TENANT_BYTES: number;
  readonly DATA_DIR: string;
}

const FOLDER = 'media';
const PIECE = 256 * 1024;
const PATIENCE_MS = 3_600_000;
const DAY_MS = 86_400_000;
const PURGED = 100;

export function createUploads(deps: { readonly sql: Sql }, settings: UploadSettings): Uploads {
  const { sql } = deps;
  const fileOf = (id: string): string => join(settings.DATA_DIR, FOLDER, id);

  const toPostgres = async (id: string, chunks: AsyncIterable<Buffer>): Promise<number> => {
    let [no, size, total] = [0, 0, 0];
    let waiting: Buffer[] = [];
    const flush = async (): Promise<void> => {
      await addUploadChunk(sql, id, no++, Buffer.concat(waiting));
      total += size;
      [waiting, size] = [[], 0];
    };
    for await (const chunk of chunks) {
      waiting.push(chunk);
      size += chunk.length;
      if (size >= PIECE) await flush();
    }
    if (size > 0) await flush();
    return total;
  };
  const toFile = async (id: string, chunks: AsyncIterable<Buffer>): Promise<number> => {
    await mkdir(join(settings.DATA_DIR, FOLDER), { recursive: true, mode: 0o700 });
    const out = createWriteStream(fileOf(id), { mode: 0o600, flags: 'wx' });
    await pipeline(chunks, out);
    return out.bytesWritten;
  };

  return {
    async put(upload, chunks) {
      const store = settings.MEDIA_STORE;
      const limits = { patienceMs: PATIENCE_MS, tenantBytes: settings.MEDIA_TENANT_BYTES };
      if (!(await beginUpload(sql, { ...upload, store }, limits)))
        throw new MediaProblem(
          'MEDIA_REFUSED',
          `the uploads of this tenant have ${settings.MEDIA_TENANT_BYTES} bytes already: wait until some are forgotten`,
        );
      try {
        const source = checked(upload.kind, chunks);
        const bytes = store === 'file' ? await toFile(upload.id, source) : await toPostgres(upload.id, source);
        const expiresAt = await finishUpload(sql, upload.id, bytes, settings.MEDIA_KEEP_DAYS * DAY_MS);
        if (expiresAt === null) throw new MediaProblem('MEDIA_UNREACHABLE', 'it took too long');
        return { ...upload, store, bytes, expiresAt };
      } catch (error) {
        // U2; the row goes by itself when Postgres is away now
        await Promise.allSettled([dropUpload(sql, upload.id), store === 'file' ? rm(fileOf(upload.id), { force: true }) : undefined]);
        throw error;
      }
    },
    async purge() {
      for (let gone = 0; ; ) {
        const rows = await purgeUploads(sql, PURGED);
        await Promise.all(rows.map(({ id, store }) => (store === 'file' ? rm(fileOf(id), { force: true }) : undefined)));
        gone += rows.length;
        if (rows.length < PURGED) return gone;
      }
    },
  };
}

/** The bytes, and what is known of them. `dataDir`: where this machine's files are. @throws MediaProblem MEDIA_NOT_FOUND, also between the bytes */
export async function openUpload(
  sql: Sql,
  dataDir: string,
  id: string,
): Promise<{ readonly row: UploadRow; readonly bytes: AsyncIterable<Buffer> }> {
  // a name that is no id would be a path
  const row = isUuid(id) ? await findUpload(sql, id, null) : null;
  if (row === null) throw new MediaProblem('MEDIA_NOT_FOUND', 'the upload is not kept any more');
  return { row, bytes: row.store === 'file' ? fromFile(join(dataDir, FOLDER, id)) : fromPostgres(sql, id, row.bytes) };
}

async function* fromPostgres(sql: Sql, id: string, length: number): AsyncGenerator<Buffer> {
  let read = 0;
  for (let no = 0; read < length; no++) {
    const piece = await uploadChunk(sql, id, no);
    if (piece === null) throw new MediaProblem('MEDIA_NOT_FOUND', 'the upload is not kept any more');
    read += piece.length;
    yield piece;
  }
}

async function* fromFile(file: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(file)) yield chunk as Buffer;
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ENOENT') throw error;
    throw new MediaProblem('MEDIA_NOT_FOUND', 'the upload is not in the folder of this machine', error);
  }
}
