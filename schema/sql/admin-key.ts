import { readAsset } from '../../ops/lifecycle/index.ts';
import { bytea, query, type SqlRunner } from './statement.ts';

const ENSURE = readAsset(import.meta.url, './ensure-admin-key.sql');

/** Makes this (its SHA-256) the installation's admin key; keys of the same name with another hash are revoked. Safe to repeat. */
export async function ensureAdminKey(
  sql: SqlRunner,
  key: { readonly id: string; readonly name: string; readonly hash: Uint8Array },
): Promise<void> {
  await query(sql, ENSURE, [key.id, key.name, bytea(key.hash)]);
}
