import { type CsvError, Parser } from 'csv-parse';

/**
 * A CSV file, piece by piece. Owns the parser (csv-parse) and the number of the row.
 * C1 Every record is answered once, as cells or as a fault, with its row: 1 is the first of the file.
 * C2 A record with a broken quote is a fault, and the next line is a record again. A quote that is never closed is found at the limit of a record.
 * C3 Nothing longer than one record and one piece is kept.
 */
export interface CsvReader {
  /** @throws FileError when the rest cannot be read */
  feed(bytes: Buffer): Promise<readonly CsvRow[]>;
  end(): Promise<readonly CsvRow[]>;
}
export type CsvRow =
  | { readonly row: number; readonly cells: readonly string[] }
  | { readonly row: number; readonly column: number; readonly fault: string };

/** The file cannot be read on from here. `message` says where, and what was expected. */
export class FileError extends Error {
  override readonly name = 'FileError';
}

export const RECORD_LIMIT = 256 * 1024;
export const COLUMNS_LIMIT = 200;

/** What csv-parse keeps of the record under way: its own types leave it out. */
interface ParserState {
  quoting: boolean;
  wasQuoting: boolean;
  readonly record: readonly string[];
}

function faultOf(error: CsvError, quotedLines: number): string {
  switch (error.code) {
    case 'CSV_INVALID_CLOSING_QUOTE':
      return 'a quote ends in the middle of the field: write quotes inside a quoted field twice ("")';
    case 'INVALID_OPENING_QUOTE':
      return 'a quote begins in the middle of the field: put the whole field in quotes, and write quotes inside twice ("")';
    case 'CSV_QUOTE_NOT_CLOSED':
      return `a quote is opened and never closed: ${quotedLines > 1 ? `the ${quotedLines} lines up to the end of the file were` : 'the end of the file was'} read as one field`;
    default:
      return error.message;
  }
}

export function createCsvReader(delimiter: string): CsvReader {
  let rows: CsvRow[] = [];
  let row = 0;
  let lines = 1;
  let broken: readonly string[] | undefined;
  const parser = new Parser({
    delimiter,
    columns: false,
    info: false,
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    max_record_size: RECORD_LIMIT,
    // nothing is pushed: what was read is taken from `rows` after each write
    on_record: (cells: readonly string[]) => {
      row += 1;
      lines = parser.info.lines + 1;
      rows.push({ row, cells });
      return null;
    },
    on_skip: (error) => {
      const state = (parser as unknown as { readonly state: ParserState }).state;
      if (error === undefined) return;
      const column = state.record.length + 1;
      if (error.code === 'CSV_MAX_RECORD_SIZE') {
        const why = state.quoting ? `a quote is opened in column ${column} (or before) and not closed` : 'no end of the line';
        throw new FileError(`row ${row + 1} (line ${lines}): ${why} within ${RECORD_LIMIT} bytes`);
      }
      // several faults of one record are one
      if (broken === state.record) return;
      broken = state.record;
      row += 1;
      rows.push({ row, column, fault: faultOf(error, parser.info.lines - lines + 1) });
      // C2: else everything up to some later quote would be one field
      state.quoting = false;
      state.wasQuoting = true;
    },
  });
  const failed = new Promise<never>((_, reject) => parser.once('error', reject));
  failed.catch(() => {});
  // the readable side ends without ever having had anything
  parser.resume();
  const taken = (): readonly CsvRow[] => {
    const found = rows;
    rows = [];
    return found;
  };
  return {
    async feed(bytes) {
      await Promise.race([new Promise<void>((resolve) => parser.write(bytes, () => resolve())), failed]);
      return taken();
    },
    async end() {
      const ended = new Promise<void>((resolve) => parser.once('end', resolve));
      parser.end();
      await Promise.race([ended, failed]);
      return taken();
    },
  };
}

/** The separator of a head line: the one of , ; tab and | that stands there most often outside quotes. */
export function delimiterOf(head: string): string {
  let best = ',';
  let most = 0;
  const bare = head.replace(/"(?:[^"]|"")*"/g, '');
  for (const one of [',', ';', '\t', '|']) {
    const count = bare.split(one).length - 1;
    if (count > most) [best, most] = [one, count];
  }
  return best;
}
