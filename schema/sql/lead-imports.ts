import { readAsset } from '../../ops/lifecycle/index.ts';
import { arrayLiteral, column, query, type SqlRunner } from './statement.ts';

/** What became of files of leads. */

const sqlFile = (name: string): string => readAsset(import.meta.url, `./${name}.sql`);
const BEGIN = sqlFile('begin-lead-import');
const NOTE = sqlFile('note-lead-import');
const CANCEL = sqlFile('cancel-lead-import');
const PAGE = sqlFile('lead-imports-page');
const FAULTS = sqlFile('lead-import-faults');
const SET_REGION = sqlFile('set-default-region');

/** Faults of one import that are kept with row and field; all are counted. */
export const IMPORT_FAULTS_KEPT = 100_000;

export type LeadImportState = 'RUNNING' | 'DONE' | 'FAILED' | 'CANCELLED' | 'INTERRUPTED';
export type LeadImportFormat = 'CSV' | 'NDJSON';
export interface ImportFault {
  /** 1 = the first line, which is the head of a CSV file that has one */
  readonly row: number;
  /** the column by its name in the file, or the field */
  readonly field: string;
  readonly message: string;
}
export interface LeadImportRow {
  readonly id: string;
  readonly format: LeadImportFormat;
  readonly state: LeadImportState;
  readonly bytes: number;
  readonly totalBytes: number | null;
  readonly rows: number;
  readonly made: number;
  readonly changed: number;
  readonly faulty: number;
  readonly error: string | null;
  /** wall ms */
  readonly startedAt: number;
  readonly endedAt: number | null;
}

/** @returns false when there is an import of that id */
export async function beginLeadImport(
  sql: SqlRunner,
  one: { readonly id: string; readonly tenantId: string; readonly format: LeadImportFormat; readonly totalBytes: number | null },
): Promise<boolean> {
  return (await query<{ id: string }>(sql, BEGIN, [one.id, one.tenantId, one.format, one.totalBytes])).length === 1;
}

export interface ImportNote {
  readonly bytes: number;
  /** since the last note */
  readonly rows: number;
  readonly made: number;
  readonly changed: number;
  readonly faults: readonly ImportFault[];
  /** set when it ends */
  readonly state?: 'DONE' | 'FAILED';
  readonly error?: string;
}
/** @returns false when it has ended before: it was cancelled */
export async function noteLeadImport(sql: SqlRunner, id: string, note: ImportNote): Promise<boolean> {
  const rows = await query<{ state: string }>(sql, NOTE, [
    id,
    note.bytes,
    note.rows,
    note.made,
    note.changed,
    note.faults.length,
    note.state ?? null,
    note.error ?? null,
    IMPORT_FAULTS_KEPT,
    column(note.faults, (fault) => fault.row),
    column(note.faults, (fault) => fault.field),
    column(note.faults, (fault) => fault.message),
  ]);
  return rows.length === 1;
}

/** @returns false when there is none of that id, or it has ended */
export async function cancelLeadImport(sql: SqlRunner, tenantId: string, id: string): Promise<boolean> {
  return (await query<{ id: string }>(sql, CANCEL, [tenantId, id])).length === 1;
}

/** Newest first. */
export async function leadImportsPage(
  sql: SqlRunner,
  tenantId: string,
  page: { readonly before: string | null; readonly limit: number; readonly ids?: readonly string[] },
): Promise<readonly LeadImportRow[]> {
  const rows = await query<{
    id: string;
    format: LeadImportFormat;
    state: LeadImportState;
    bytes: number;
    total_bytes: number | null;
    rows: number;
    made: number;
    changed: number;
    faulty: number;
    error: string | null;
    started_at: number;
    ended_at: number | null;
  }>(sql, PAGE, [tenantId, page.before, page.limit, page.ids === undefined ? null : arrayLiteral(page.ids)]);
  return rows.map(({ total_bytes: totalBytes, started_at: startedAt, ended_at: endedAt, ...row }) => ({
    ...row,
    totalBytes,
    startedAt,
    endedAt,
  }));
}

/** In the order of rows, `after` exclusive. */
export async function leadImportFaults(
  sql: SqlRunner,
  tenantId: string,
  id: string,
  page: { readonly after: number; readonly limit: number },
): Promise<readonly ImportFault[]> {
  return query<{ row: number; field: string; message: string }>(sql, FAULTS, [tenantId, id, page.after, page.limit]);
}

/** @returns false when there is no such tenant */
export async function setDefaultRegion(sql: SqlRunner, tenantId: string, region: string | null): Promise<boolean> {
  return (await query<{ id: string }>(sql, SET_REGION, [tenantId, region])).length === 1;
}
