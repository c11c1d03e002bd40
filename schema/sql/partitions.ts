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
 * Makes the partitions of yesterday, today and `aheadDays` days more. Safe to call from many processes at once, and beside a long reader such
 * as a backup: attaching waits for no reader or writer of the ledger and none waits for it (`create table ... partition of` would stop both).
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
           create table ${name} (like messages including all)
             with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
           alter table messages attach partition ${name} for values from ('${from}') to ('${to}');
         end if;
       end $$`,
    );
    made.push(name);
  }
  return made;
}

/** Dropping needs the whole ledger for itself and everybody queues behind it: it gives up after this long. Guess. */
const DROP_WAIT_MS = 200;
const OPEN = `state in ('QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN')`;

/**
 * Drops the partitions whose last instant is before `beforeMs` and in which every message has ended.
 * @returns dropped names, and the names that were old enough but are kept: messages in them are open, or the ledger was being read for long
 */
export async function dropEndedPartitions(
  sql: SqlRunner,
  options: { readonly beforeMs: number },
): Promise<{ readonly dropped: readonly string[]; readonly kept: readonly string[] }> {
  const dropped: string[] = [];
  const kept: string[] = [];
  for (const { name, startMs } of await listPartitions(sql)) {
    if (startMs + DAY_MS > options.beforeMs) continue;
    // The locks and the look are one transaction: a redrive that opens a message in between is waited for or waits. The ledger is locked before
    // its partition, as every statement does. The look asks the partial indexes, which hold nothing when everything has ended.
    try {
      await sql.unsafe(
        `do $$ begin
           perform pg_advisory_xact_lock(${LOCK});
           perform set_config('lock_timeout', '${DROP_WAIT_MS}ms', true);
           if to_regclass('${name}') is not null then
             if not exists (select 1 from ${name} where ${OPEN} and seq is not null) then
               lock table messages in access exclusive mode;
               if not exists (select 1 from ${name} where ${OPEN} and seq is not null)
                 and not exists (select 1 from ${name} where state = 'QUEUED' and seq is null)
                 and not exists (select 1 from ${name} where state in ('SENDING', 'WRITTEN', 'UNKNOWN')) then
                 drop table ${name};
               end if;
             end if;
           end if;
         end $$`,
      );
    } catch (error) {
      // 55P03: somebody read for too long; the next round tries again
      if ((error as { readonly code?: unknown }).code !== '55P03') throw error;
    }
    const left = await query<{ there: boolean }>(sql, 'select to_regclass($1) is not null as there', [name]);
    (left[0]?.there === true ? kept : dropped).push(name);
  }
  return { dropped, kept };
}
