import { readAsset } from '../../ops/lifecycle/index.ts';
import type { MediaKind } from '../domain/index.ts';
import { bytea, query, type SqlRunner } from './statement.ts';

/** Files that were uploaded to be sent: what is known of them, and the bytes of those that Postgres keeps. */

const BEGIN = readAsset(import.meta.url, './begin-upload.sql');
const FINISH = readAsset(import.meta.url, './finish-upload.sql');
const FIND = readAsset(import.meta.url, './find-upload.sql');
const ADD_CHUNK = readAsset(import.meta.url, './add-upload-chunk.sql');
const CHUNK = readAsset(import.meta.url, './upload-chunk.sql');
const DROP = readAsset(import.meta.url, './drop-upload.sql');
const PURGE = readAsset(import.meta.url, './purge-uploads.sql');

export type UploadPlace = 'postgres' | 'file';
export interface NewUpload {
  readonly id: string;
  readonly tenantId: string;
  readonly kind: MediaKind;
  readonly type: string;
  readonly fileName: string | null;
}
export interface UploadRow extends NewUpload {
  readonly store: UploadPlace;
  readonly bytes: number;
  /** wall ms */
  readonly expiresAt: number;
}

/** False: the tenant's uploads have `tenantBytes` together already. */
export async function beginUpload(
  sql: SqlRunner,
  upload: NewUpload & { readonly store: UploadPlace },
  limits: { readonly patienceMs: number; readonly tenantBytes: number },
): Promise<boolean> {
  const { id, tenantId, kind, type, fileName, store } = upload;
  return (await query(sql, BEGIN, [id, tenantId, kind, type, fileName, store, limits.patienceMs, limits.tenantBytes])).length === 1;
}

/** When it ends, wall ms; null: it took too long. */
export async function finishUpload(sql: SqlRunner, id: string, bytes: number, keptMs: number): Promise<number | null> {
  return (await query<{ expires_at: number }>(sql, FINISH, [id, bytes, keptMs]))[0]?.expires_at ?? null;
}

/** Null: there is none that is whole and kept (in this tenant). */
export async function findUpload(sql: SqlRunner, id: string, tenantId: string | null): Promise<UploadRow | null> {
  const [row] = await query<{
    id: string;
    tenant_id: string;
    kind: MediaKind;
    type: string;
    file_name: string | null;
    store: UploadPlace;
    bytes: number;
    expires_at: number;
  }>(sql, FIND, [id, tenantId]);
  if (row === undefined) return null;
  const { tenant_id, file_name, expires_at, ...rest } = row;
  return { ...rest, tenantId: tenant_id, fileName: file_name, expiresAt: expires_at };
}

export async function addUploadChunk(sql: SqlRunner, id: string, no: number, bytes: Uint8Array): Promise<void> {
  await query(sql, ADD_CHUNK, [id, no, bytea(bytes)]);
}

/** Null: there is no such piece. */
export async function uploadChunk(sql: SqlRunner, id: string, no: number): Promise<Buffer | null> {
  return (await query<{ bytes: Buffer }>(sql, CHUNK, [id, no]))[0]?.bytes ?? null;
}

export async function dropUpload(sql: SqlRunner, id: string): Promise<void> {
  await query(sql, DROP, [id]);
}

/** Those that were forgotten. */
export async function purgeUploads(
  sql: SqlRunner,
  limit: number,
): Promise<readonly { readonly id: string; readonly store: UploadPlace }[]> {
  return await query<{ id: string; store: UploadPlace }>(sql, PURGE, [limit]);
}
