import { lowestUuidV7 } from '../domain/index.ts';
import { query, type SqlRunner } from './statement.ts';

/** The ledger's daily partitions: made ahead, dropped by retention once everything in them has ended. */

const DAY_MS = 86_400_000;
/** serialises makers and droppers of partitions */
const LOCK = 727_002;

function dayStart(wallMs: number): number {
  return Math.floor(wallMs / DAY_MS) * DAY_MS;
}

/** `messages_yyyymmdd` of a UTC day. */
function partitionName(startMs: number): string {
  return `messages_${new Date(startMs).toISOString().slice(0, 10).replaceAll('-', '')}`;
}

export interface LedgerPartition {
  readonly name: string;
  /** wall ms of the first instant it covers */
  readonly startMs: number;
}

/** The daily partitions that exist, oldest first. */
export async function listPartitions(sql: SqlRunner): Promise<readonly LedgerPartition[]> {
  const rows = await query<{ name: string }>(
    sql,
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'messages'::regclass and c.relname ~ '^messages_[0-9]{8}$' order by 1`,
    [],
  );
  return rows.map(({ name }) => ({
    name,
    startMs: Date.UTC(Number(name.slice(9, 13)), Number(name.slice(13, 15)) - 1, Number(name.slice(15, 17))),
  }));
}

/**
 * Makes the partitions of yesterday, today and `aheadDays` days more. Safe to call from many processes at once.
 * @returns the names that were made by this call
 */
export async function ensurePartitions(
  sql: SqlRunner,
  options: { readonly nowMs: number; readonly aheadDays: number },
): Promise<readonly string[]> {
  const have = new Set((await listPartitions(sql)).map((partition) => partition.name));
  const today = dayStart(options.nowMs);
  const made: string[] = [];
  for (let day = -1; day <= options.aheadDays; day++) {
    const start = today + day * DAY_MS;
    const name = partitionName(start);
    if (have.has(name)) continue;
    const from = lowestUuidV7(start);
    const to = lowestUuidV7(start + DAY_MS);
    await sql.unsafe(
      `do $$ begin
         perform pg_advisory_xact_lock(${LOCK});
         if to_regclass('${name}') is null then
           create table ${name} partition of messages for values from ('${from}') to ('${to}')
             with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
         end if;
       end $$`,
    );
    made.push(name);
  }
  return made;
}

/**
 * Drops the partitions whose last instant is before `beforeMs` and in which every message has ended.
 * @returns dropped names, and the names that were old enough but are kept because messages in them are open
 */
export async function dropEndedPartitions(
  sql: SqlRunner,
  options: { readonly beforeMs: number },
): Promise<{ readonly dropped: readonly string[]; readonly kept: readonly string[] }> {
  const dropped: string[] = [];
  const kept: string[] = [];
  for (const { name, startMs } of await listPartitions(sql)) {
    if (startMs + DAY_MS > options.beforeMs) continue;
    // The lock and the look are one transaction: a redrive that opens a message in between is waited for or waits.
    await sql.unsafe(
      `do $$ begin
         perform pg_advisory_xact_lock(${LOCK});
         if to_regclass('${name}') is not null then
           lock table ${name} in access exclusive mode;
           if not exists (select 1 from ${name} where state in ('QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN')) then
             drop table ${name};
           end if;
         end if;
       end $$`,
    );
    const left = await query<{ there: boolean }>(sql, 'select to_regclass($1) is not null as there', [name]);
    (left[0]?.there === true ? kept : dropped).push(name);
  }
  return { dropped, kept };
}
