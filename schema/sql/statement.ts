import { type ArrayElement, arrayLiteral, type Sql } from '../../ops/connect/index.ts';

/** What a statement is run on: a pool, a transaction, or a reserved connection. */
export type SqlRunner = Pick<Sql, 'unsafe'>;
export { arrayLiteral, type Sql } from '../../ops/connect/index.ts';

export type Parameter = string | number | boolean | Buffer | null;
/** One column of a batch, for `$n::type[]`. */
export function column<T>(rows: readonly T[], pick: (row: T) => ArrayElement): string {
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
