import { readAsset } from '../../ops/lifecycle/index.ts';
import { column, query, type SqlRunner } from './statement.ts';

/** Who did what. */

const ADD_AUDIT = readAsset(import.meta.url, './add-audit.sql');
const AUDIT_PAGE = readAsset(import.meta.url, './audit-page.sql');

export interface AuditEntry {
  readonly id: string;
  readonly tenantId: string | null;
  readonly apiKeyId: string | null;
  /** the mutation */
  readonly action: string;
  readonly subject: string | null;
  /** never a body, a phone number or a credential */
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** Notes what was done by whom. */
export async function audit(sql: SqlRunner, entries: readonly AuditEntry[]): Promise<void> {
  if (entries.length === 0) return;
  await query(sql, ADD_AUDIT, [
    column(entries, (entry) => entry.id),
    column(entries, (entry) => entry.tenantId),
    column(entries, (entry) => entry.apiKeyId),
    column(entries, (entry) => entry.action),
    column(entries, (entry) => entry.subject),
    column(entries, (entry) => JSON.stringify(entry.detail ?? {})),
  ]);
}

export interface AuditRow {
  readonly id: string;
  readonly apiKeyId: string | null;
  /** null: the key is no longer known */
  readonly apiKeyName: string | null;
  readonly action: string;
  readonly subject: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly at: number;
}

export interface AuditPageQuery {
  /** the last id of the page before; null = from the newest */
  readonly before: string | null;
  readonly action: string | null;
  readonly subject: string | null;
  readonly limit: number;
}

/** A page of what was done in a tenant, newest first. */
export async function auditPage(sql: SqlRunner, tenantId: string, page: AuditPageQuery): Promise<readonly AuditRow[]> {
  const rows = await query<{
    id: string;
    api_key_id: string | null;
    api_key_name: string | null;
    action: string;
    subject: string | null;
    detail: Readonly<Record<string, unknown>>;
    at: number;
  }>(sql, AUDIT_PAGE, [tenantId, page.before, page.action, page.subject, page.limit]);
  return rows.map(({ api_key_id, api_key_name, ...row }) => ({ ...row, apiKeyId: api_key_id, apiKeyName: api_key_name }));
}
