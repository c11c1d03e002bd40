import type { Sql } from '../../ops/connect/index.ts';

/**
 * The schema of a migrated database as text: enums, tables with columns and constraints, indexes. Made from the catalogue alone and in a fixed
 * order, so that equal schemas give equal text. Ledger partitions are left out: they come and go. A snapshot to read and compare, not
 * a script to restore from.
 */
export async function dumpSchema(sql: Sql): Promise<string> {
  const enums = await sql.unsafe<{ name: string; labels: string }[]>(`
    select t.typname as name, string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) as labels
    from pg_type t join pg_enum e on e.enumtypid = t.oid
    where t.typnamespace = 'public'::regnamespace group by t.typname order by t.typname`);
  const tables = await sql.unsafe<{ name: string; partitioned: string | null; options: string | null }[]>(`
    select c.relname as name, pg_get_partkeydef(c.oid) as partitioned, array_to_string(c.reloptions, ', ') as options
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    order by c.relname`);
  const columns = await sql.unsafe<{ table: string; line: string }[]>(`
    select c.relname as "table",
      a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        || case when a.attidentity = 'a' then ' generated always as identity' else '' end
        || case when a.attnotnull then ' not null' else '' end
        || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') as line
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    order by c.relname, a.attnum`);
  // not-null constraints (contype n, a catalogue entry since Postgres 18) stand with their column
  const constraints = await sql.unsafe<{ table: string; line: string }[]>(`
    select c.relname as "table", 'constraint ' || k.conname || ' ' || pg_get_constraintdef(k.oid) as line
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    where c.relnamespace = 'public'::regnamespace and not c.relispartition and k.contype <> 'n'
    order by c.relname, position(k.contype in 'puxfc'), k.conname`);
  const indexes = await sql.unsafe<{ table: string; line: string }[]>(`
    select c.relname as "table", pg_get_indexdef(i.indexrelid) as line
    from pg_index i
    join pg_class c on c.oid = i.indrelid
    join pg_class x on x.oid = i.indexrelid
    where c.relnamespace = 'public'::regnamespace and not c.relispartition
      and not exists (select 1 from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
    order by c.relname, x.relname`);
  const of = (rows: readonly { readonly table: string; readonly line: string }[], table: string): string[] =>
    rows.filter((row) => row.table === table).map((row) => row.line);
  const blocks = enums.map(({ name, labels }) => `create type ${name} as enum (${labels});`);
  for (const table of tables) {
    const body = [...of(columns, table.name), ...of(constraints, table.name)].map((line) => `  ${line}`).join(',\n');
    const partitioned = table.partitioned === null ? '' : ` partition by ${table.partitioned}`;
    const options = table.options === null ? '' : ` with (${table.options})`;
    blocks.push(
      [`create table ${table.name} (\n${body}\n)${partitioned}${options};`, ...of(indexes, table.name).map((line) => `${line};`)].join(
        '\n',
      ),
    );
  }
  return `-- Snapshot of the schema after all migrations. Made by: npm run snapshots. Do not edit.\n\n${blocks.join('\n\n')}\n`;
}
