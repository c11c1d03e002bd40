import type { LeadRow } from '../../schema/sql/index.ts';

/** Leads as text, page by page: nothing but one page is in memory. */

export const EXPORT_HEAD = [
  'id',
  'phone',
  'name',
  'tags',
  'niche',
  'stage',
  'consentSource',
  'consentAt',
  'createdAt',
  'attributes',
] as const;

const moment = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** A cell by RFC 4180. What a spreadsheet would run as a formula gets a ' in front, which the import takes away again. */
export function cellOf(text: string | null): string {
  if (text === null) return '';
  const safe = /^'*[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) || safe.trim() !== safe ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function csvLine(lead: LeadRow): string {
  return [
    lead.id,
    // a number with its + is no formula to anybody
    lead.phone ?? '',
    cellOf(lead.name),
    cellOf(lead.tags.join(';')),
    cellOf(lead.niche),
    cellOf(lead.stage),
    cellOf(lead.consentSource),
    moment(lead.consentAt) ?? '',
    moment(lead.createdAt) ?? '',
    Object.keys(lead.attributes).length === 0 ? '' : cellOf(JSON.stringify(lead.attributes)),
  ].join(',');
}

export function jsonLine(lead: LeadRow): string {
  const { id, phone, name, tags, niche, stage, attributes, consentSource } = lead;
  const [consentAt, createdAt] = [moment(lead.consentAt), moment(lead.createdAt)];
  return JSON.stringify({ id, phone, name, tags, niche, stage, consentSource, consentAt, createdAt, attributes });
}

export async function* exportLeads(
  format: 'csv' | 'ndjson',
  page: (after: number | null) => Promise<readonly LeadRow[]>,
): AsyncGenerator<string> {
  const line = format === 'csv' ? csvLine : jsonLine;
  if (format === 'csv') yield `${EXPORT_HEAD.join(',')}\r\n`;
  const end = format === 'csv' ? '\r\n' : '\n';
  for (let after: number | null = null; ; ) {
    const rows: readonly LeadRow[] = await page(after);
    if (rows.length > 0) yield rows.map((row) => `${line(row)}${end}`).join('');
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.no;
  }
}
