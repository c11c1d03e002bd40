import { readAsset } from '../../ops/lifecycle/index.ts';
import { assert } from '../domain/index.ts';
import { column, query, type SqlRunner } from './statement.ts';

/** The people that flows write to. */

const IMPORT = readAsset(import.meta.url, './import-leads.sql');

export interface LeadInput {
  readonly id: string;
  readonly tenantId: string;
  /** E.164 */
  readonly phone: string;
  readonly name: string | null;
  readonly tags: readonly string[];
  readonly niche: string | null;
  readonly stage: string | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly consentSource: string | null;
  /** wall ms */
  readonly consentAt: number | null;
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
