import { readAsset } from '../../ops/lifecycle/index.ts';
import { assert, type LeadFields } from '../domain/index.ts';
import { column, query, type SqlRunner } from './statement.ts';

/** The people that flows write to. */

const IMPORT = readAsset(import.meta.url, './import-leads.sql');
const PAGE = readAsset(import.meta.url, './leads-page.sql');

export interface LeadInput extends LeadFields {
  readonly id: string;
  readonly tenantId: string;
}

/**
 * Writes leads down, new or changed (import-leads.sql).
 * @param leads of phones that differ within the batch
 * @returns how many were new and how many were there already
 */
export async function importLeads(
  sql: SqlRunner,
  leads: readonly LeadInput[],
): Promise<{ readonly made: number; readonly changed: number }> {
  if (leads.length === 0) return { made: 0, changed: 0 };
  assert(new Set(leads.map((lead) => `${lead.tenantId}${lead.phone}`)).size === leads.length, 'importLeads: one row per phone');
  const rows = await query<{ fresh: boolean }>(sql, IMPORT, [
    column(leads, (lead) => lead.id),
    column(leads, (lead) => lead.tenantId),
    column(leads, (lead) => lead.phone),
    column(leads, (lead) => lead.name),
    column(leads, (lead) => JSON.stringify(lead.tags)),
    column(leads, (lead) => lead.niche),
    column(leads, (lead) => lead.stage),
    column(leads, (lead) => JSON.stringify(lead.attributes)),
    column(leads, (lead) => lead.consentSource),
    column(leads, (lead) => lead.consentAt),
  ]);
  const made = rows.filter((row) => row.fresh).length;
  return { made, changed: rows.length - made };
}

export interface LeadRow {
  readonly no: number;
  readonly id: string;
  readonly tenantId: string;
  readonly phone: string | null;
  readonly lid: string | null;
  readonly name: string | null;
  readonly tags: readonly string[];
  readonly niche: string | null;
  readonly stage: string | null;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly consentSource: string | null;
  /** wall ms */
  readonly consentAt: number | null;
  readonly createdAt: number;
}

/** In the order of their import. `after`: number of the last one seen. */
export async function leadsPage(
  sql: SqlRunner,
  tenantId: string,
  page: { readonly after: number | null; readonly limit: number; readonly tag: string | null },
): Promise<readonly LeadRow[]> {
  const rows = await query<{
    no: number;
    id: string;
    tenant_id: string;
    phone: string | null;
    lid: string | null;
    name: string | null;
    tags: readonly string[];
    niche: string | null;
    stage: string | null;
    attributes: Readonly<Record<string, unknown>>;
    consent_source: string | null;
    consent_at: number | null;
    created_at: number;
  }>(sql, PAGE, [tenantId, page.after, page.limit, page.tag]);
  return rows.map(({ tenant_id: tenantOf, consent_source: consentSource, consent_at: consentAt, created_at: createdAt, ...row }) => ({
    ...row,
    tenantId: tenantOf,
    consentSource,
    consentAt,
    createdAt,
  }));
}
