import type { CellFault, Column, Defaults, Mapping, RawLead } from './columns.ts';
import { columnsOf, leadOfCells } from './columns.ts';
import { COLUMNS_LIMIT, type CsvReader, type CsvRow, createCsvReader, delimiterOf, FileError, RECORD_LIMIT } from './csv.ts';
import { createDecoder } from './decode.ts';
import { createLineReader, leadOfLine } from './ndjson.ts';

/** A file as leads and faults, in its order, whichever format it has. */
export interface LeadSource {
  /** @throws FileError when the rest cannot be read */
  feed(bytes: Buffer): Promise<readonly SourceRow[]>;
  end(): Promise<readonly SourceRow[]>;
  /** the column that holds the numbers, by its name in the file */
  phoneField(): string;
}
export type SourceRow = { readonly row: number } & ({ readonly lead: RawLead } | CellFault);

export interface SourceOptions {
  readonly format: 'CSV' | 'NDJSON';
  /** null: found out by its beginning */
  readonly encoding: string | null;
  /** null: found out by the head line */
  readonly delimiter: string | null;
  /** false: the first line holds a lead, and columns are called 1, 2, 3 ... */
  readonly head: boolean;
  readonly mapping: Mapping;
  readonly rest: 'keep' | 'ignore';
  readonly defaults: Defaults;
}

export function createLeadSource(options: SourceOptions): LeadSource {
  const decoder = createDecoder(options.encoding);
  const inner = options.format === 'CSV' ? csvSource(options) : lineSource(options);
  return {
    feed: async (bytes) => inner.feed(decoder.feed(bytes)),
    async end() {
      const last = await inner.feed(decoder.end());
      return [...last, ...(await inner.end())];
    },
    phoneField: inner.phoneField,
  };
}

function lineSource({ mapping, rest, defaults }: SourceOptions): LeadSource {
  const reader = createLineReader();
  const rowOf = ({ row, text }: { readonly row: number; readonly text: string }): SourceRow => {
    const lead = leadOfLine(text, mapping, rest, defaults);
    return 'message' in lead ? { row, ...lead } : { row, lead };
  };
  return {
    feed: async (bytes) => reader.feed(bytes).map(rowOf),
    end: async () => reader.end().map(rowOf),
    phoneField: () => mapping['phone'] ?? 'phone',
  };
}

function csvSource(options: SourceOptions): LeadSource {
  let reader: CsvReader | undefined;
  let columns: readonly Column[] | undefined;
  /** the file up to the end of its first line, which tells the separator */
  let held = Buffer.alloc(0);
  const setColumns = (cells: readonly string[]): void => {
    if (cells.length > COLUMNS_LIMIT) throw new FileError(`row 1: expected at most ${COLUMNS_LIMIT} columns, got ${cells.length}`);
    const heads = options.head ? cells.map((cell) => cell.trim()) : cells.map((_, index) => String(index + 1));
    const found = columnsOf(heads, options.mapping, options.rest);
    if (typeof found === 'string') throw new FileError(`row 1: ${found}`);
    columns = found;
  };
  const rowsOf = (rows: readonly CsvRow[]): readonly SourceRow[] => {
    const found: SourceRow[] = [];
    for (const one of rows) {
      if (columns === undefined) {
        if ('fault' in one) throw new FileError(`row 1, column ${one.column}: ${one.fault}`);
        setColumns(one.cells);
        if (options.head) continue;
      }
      if ('fault' in one)
        found.push({ row: one.row, field: columns?.[one.column - 1]?.head ?? `column ${one.column}`, message: one.fault });
      else {
        const lead = leadOfCells(columns ?? [], one.cells, options.defaults);
        found.push('message' in lead ? { row: one.row, ...lead } : { row: one.row, lead });
      }
    }
    return found;
  };
  const open = (): CsvReader => {
    const end = held.indexOf(0x0a);
    const head = held.subarray(0, end < 0 ? undefined : end).toString('utf8');
    reader = createCsvReader(options.delimiter ?? delimiterOf(head));
    return reader;
  };
  return {
    async feed(bytes) {
      if (reader !== undefined) return rowsOf(await reader.feed(bytes));
      held = Buffer.concat([held, bytes]);
      // lines may end with a lone return
      if (!held.includes(0x0a) && !held.includes(0x0d) && held.length <= RECORD_LIMIT) return [];
      const first = open();
      const begun = held;
      held = Buffer.alloc(0);
      return rowsOf(await first.feed(begun));
    },
    async end() {
      const last = reader ?? open();
      const rows = [...rowsOf(held.length > 0 && last !== undefined ? await last.feed(held) : []), ...rowsOf(await last.end())];
      if (columns === undefined) throw new FileError('the file is empty');
      return rows;
    },
    phoneField: () => columns?.find((one) => one.target === 'phone')?.head ?? 'phone',
  };
}
