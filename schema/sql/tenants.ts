import { readAsset } from '../../ops/lifecycle/index.ts';
import type { RecipientCap } from './consent.ts';
import { arrayLiteral, bytea, column, query, type SqlRunner } from './statement.ts';

/** Tenants, API keys and people who said stop. */

const CREATE_TENANT = readAsset(import.meta.url, './create-tenant.sql');
const LOAD_TENANTS = readAsset(import.meta.url, './load-tenants.sql');
const CREATE_API_KEY = readAsset(import.meta.url, './create-api-key.sql');
const FIND_API_KEY = readAsset(import.meta.url, './find-api-key.sql');
const REVOKE_API_KEY = readAsset(import.meta.url, './revoke-api-key.sql');
const SUPPRESS = readAsset(import.meta.url, './suppress.sql');
const UNSUPPRESS = readAsset(import.meta.url, './unsuppress.sql');
const TENANTS_PAGE = readAsset(import.meta.url, './tenants-page.sql');
const API_KEYS_PAGE = readAsset(import.meta.url, './api-keys-page.sql');

export interface TenantRow {
  readonly id: string;
  readonly name: string;
  readonly timeZone: string;
  readonly maxBacklog: number;
  /** country of numbers without a country code */
  readonly defaultRegion: string | null;
  /** nothing goes to who has no record of consent */
  readonly consentRequired: boolean;
  /** beside those that hold for everybody (actors/opt-out), as plainWords writes them */
  readonly stopWords: readonly string[];
  readonly startWords: readonly string[];
  readonly recipientCap: RecipientCap | null;
  /** most messages of its campaigns and sequences a minute, all devices together */
  readonly flowsPerMinute: number | null;
  readonly createdAt: number;
}
interface RawTenant {
  readonly id: string;
  readonly name: string;
  readonly time_zone: string;
  readonly max_backlog: number;
  readonly default_region: string | null;
  readonly consent_required: boolean;
  readonly stop_words: readonly string[];
  readonly start_words: readonly string[];
  readonly recipient_cap: number | null;
  readonly recipient_days: number | null;
  readonly flows_per_minute: number | null;
  readonly created_at: number;
}
const tenantOf = (row: RawTenant): TenantRow => ({
  id: row.id,
  name: row.name,
  timeZone: row.time_zone,
  maxBacklog: row.max_backlog,
  defaultRegion: row.default_region,
  consentRequired: row.consent_required,
  stopWords: row.stop_words,
  startWords: row.start_words,
  recipientCap:
    row.recipient_cap === null || row.recipient_days === null ? null : { messages: row.recipient_cap, days: row.recipient_days },
  flowsPerMinute: row.flows_per_minute,
  createdAt: row.created_at,
});

/** Makes a tenant; null when the name is taken. */
export async function createTenant(
  sql: SqlRunner,
  tenant: { readonly id: string; readonly name: string; readonly timeZone?: string; readonly maxBacklog?: number },
): Promise<TenantRow | null> {
  const rows = await query<RawTenant>(sql, CREATE_TENANT, [
    tenant.id,
    tenant.name,
    tenant.timeZone ?? 'UTC',
    tenant.maxBacklog ?? 1_000_000,
  ]);
  return rows.map(tenantOf)[0] ?? null;
}

/** Tenants by id, or all of them, in id order. */
export async function loadTenants(sql: SqlRunner, ids: readonly string[] | null = null): Promise<readonly TenantRow[]> {
  return (await query<RawTenant>(sql, LOAD_TENANTS, [ids === null ? null : arrayLiteral(ids)])).map(tenantOf);
}

/** A page of all tenants in id order; the cursor is the last id. */
export async function tenantsPage(sql: SqlRunner, after: string | null, limit: number): Promise<readonly TenantRow[]> {
  return (await query<RawTenant>(sql, TENANTS_PAGE, [after, limit])).map(tenantOf);
}

export interface ApiKeyRow {
  readonly id: string;
  /** null: the installation's admin key */
  readonly tenantId: string | null;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly expiresAt: number | null;
}

/** Keeps an API key by its SHA-256; false when the same key is there already. Scopes hold no commas. */
export async function createApiKey(sql: SqlRunner, key: ApiKeyRow & { readonly hash: Uint8Array }): Promise<boolean> {
  const rows = await query<{ id: string }>(sql, CREATE_API_KEY, [
    key.id,
    key.tenantId,
    key.name,
    bytea(key.hash),
    arrayLiteral(key.scopes),
    key.expiresAt,
  ]);
  return rows.length === 1;
}

/** The key with this SHA-256, or null when there is none, it was revoked or has expired. */
export async function findApiKey(sql: SqlRunner, hash: Uint8Array): Promise<ApiKeyRow | null> {
  const [row] = await query<{ id: string; tenant_id: string | null; name: string; scopes: string; expires_at: number | null }>(
    sql,
    FIND_API_KEY,
    [bytea(hash)],
  );
  if (row === undefined) return null;
  const scopes = row.scopes === '' ? [] : row.scopes.split(',');
  return { id: row.id, tenantId: row.tenant_id, name: row.name, scopes, expiresAt: row.expires_at };
}

export interface ApiKeyEntry {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
}

/** A page of a tenant's keys in id order, revoked and expired ones too; the cursor is the last id. */
export async function apiKeysPage(sql: SqlRunner, tenantId: string, after: string | null, limit: number): Promise<readonly ApiKeyEntry[]> {
  const rows = await query<{
    id: string;
    name: string;
    scopes: string;
    created_at: number;
    expires_at: number | null;
    revoked_at: number | null;
  }>(sql, API_KEYS_PAGE, [tenantId, after, limit]);
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    scopes: row.scopes === '' ? [] : row.scopes.split(','),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  }));
}

/** Revokes a key; false when the tenant has no such key or it was revoked before. */
export async function revokeApiKey(sql: SqlRunner, tenantId: string | null, keyId: string): Promise<boolean> {
  return (await query<{ id: string }>(sql, REVOKE_API_KEY, [tenantId, keyId])).length === 1;
}

export interface Suppression {
  /** UUID of the row */
  readonly id: string;
  readonly tenantId: string;
  /** one of the two; a person known by both is two rows */
  readonly phone: string | null;
  readonly lid: string | null;
  readonly reason: string;
  readonly source: string;
}

/** Writes down who is not to be messaged again, and the other identity of the same person; returns the ids of rows that are new. */
export async function suppress(sql: SqlRunner, rows: readonly Suppression[]): Promise<readonly string[]> {
  if (rows.length === 0) return [];
  const parameters = [
    column(rows, (row) => row.id),
    column(rows, (row) => row.tenantId),
    column(rows, (row) => row.phone),
    column(rows, (row) => row.lid),
    column(rows, (row) => row.reason),
    column(rows, (row) => row.source),
  ];
  const made = await query<{ id: string }>(sql, SUPPRESS, parameters);
  // a pair of identities that was learnt while the first look ran is seen by the second, or its writer sees these rows (learn-identities.sql)
  const later = made.length === 0 ? [] : await query<{ id: string }>(sql, SUPPRESS, parameters);
  return [...made, ...later].map((row) => row.id);
}

/** Takes suppressions back; returns how many rows went. */
export async function unsuppress(
  sql: SqlRunner,
  tenantId: string,
  who: { readonly phone: string | null; readonly lid: string | null },
): Promise<number> {
  return (await query<{ id: string }>(sql, UNSUPPRESS, [tenantId, who.phone, who.lid])).length;
}
