import type { Sql } from '../../ops/connect/index.ts';

/** What a statement is run on: a pool, a transaction, or a reserved connection. */
export type SqlRunner = Pick<Sql, 'unsafe'>;
export type { Sql } from '../../ops/connect/index.ts';

export type Parameter = string | number | boolean | Buffer | null;
type Value = string | number | boolean | Uint8Array | null;

/**
 * A Postgres array literal. The client guesses an array's type from its first element (so boolean[] and bytea[] fail, and a leading null
 * changes the guess); a literal is read by the server as the type that the statement names.
 */
export function arrayLiteral(values: readonly Value[]): string {
  return `{${values.map(elementLiteral).join(',')}}`;
}

function elementLiteral(value: Value): string {
  if (value === null) return 'NULL';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return `"${value.replace(/[\\"]/g, '\\$&')}"`;
  return `"\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}"`;
}

/** One column of a batch, for `$n::type[]`. */
export function column<T>(rows: readonly T[], pick: (row: T) => Value): string {
  return arrayLiteral(rows.map(pick));
}

/** Runs a prepared statement. */
export async function query<Row extends object>(sql: SqlRunner, text: string, parameters: readonly Parameter[]): Promise<readonly Row[]> {
  return await sql.unsafe<Row[]>(text, parameters as Parameter[], { prepare: true });
}

/** A bytea parameter. As text the client would encode its letters a second time, and the bytes stored would be another's than those in arrays. */
export function bytea(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
