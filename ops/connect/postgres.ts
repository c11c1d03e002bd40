import postgres from 'postgres';
import { systemClock } from '../lifecycle/index.ts';
import { arrayTypes } from './arrays.ts';
import { int8 } from './int8.ts';
import type { ConnectLog } from './log.ts';
import { createPatience } from './patience.ts';

/** A pool of connections. Counts and seqs (int8) arrive as JS numbers; `sql.unsafe(text, params, {prepare: true})` prepares a statement. */
export type Sql = postgres.Sql<{ bigint: number }>;

export interface PostgresOptions {
  /** shown in pg_stat_activity */
  readonly applicationName: string;
  /** most connections of this pool; default 8 */
  readonly max?: number;
  readonly log?: ConnectLog;
  /** longest run of one statement, default 15,000; 0 = no limit (migrations only) */
  readonly statementTimeoutMs?: number;
  /**
   * a statement without an answer for this long fails, and connections that were silent as long are destroyed; above `statementTimeoutMs`.
   * Default: 5 s above it, none without a statement time-out
   */
  readonly answerTimeoutMs?: number;
  /** seconds after which an idle connection is closed; default never */
  readonly idleTimeoutSeconds?: number;
  /** default `ledger`: see connectPostgres; `general` leaves the planner as the server has it */
  readonly planner?: 'ledger' | 'general';
  /**
   * `once`: a prepared statement is planned once per connection, for any values. For pools whose statements all take arrays: a plan of `intent` costs
   * 1 ms, its run for one message 0.2 ms. Default `each`: the server may plan anew for the values of each run, which a page with filters needs
   */
  readonly plans?: 'once' | 'each';
}

/** 0.05 s, 0.1 s ... 1 s. The client's own goes up to 20 s, and a server that is back after a minute would be found too late. Guess. */
const reconnectSeconds = (failures: number): number => Math.min(0.05 * 2 ** Math.min(failures, 10), 1);

const KEEP_ALIVE_SECONDS = 10;
/** A server whose statement ran into its own limit says so; this long it may take to say it. Guess. */
const ANSWER_EXTRA_MS = 5000;

/**
 * Opens a pool (lazily: nothing is connected before the first statement).
 *
 * With `planner: 'ledger'` plans do not depend on statistics, because they cannot be trusted here: a ledger partition is minutes old, and the
 * size of a batch in an array parameter is guessed as 10. `enable_seqscan` off: else a plan prepared while a partition is empty scans it for
 * as long as the connection lives. `enable_nestloop` off: else the CTEs of a batch of 1,000 are joined row by row (accept took 280 ms instead
 * of 40). So every statement of schema/sql bounds each table by an index condition on its parameters (`id = any($1)`), which a hash join
 * needs, or asks row by row with a lateral limit 1. `jit` is off: its start-up costs more than a batch.
 * A job that wants other plans takes a pool with `planner: 'general'`.
 */
export function connectPostgres(url: string, options: PostgresOptions): Sql {
  const { log } = options;
  const statementTimeoutMs = options.statementTimeoutMs ?? 15_000;
  const answerTimeoutMs = options.answerTimeoutMs ?? (statementTimeoutMs === 0 ? 0 : statementTimeoutMs + ANSWER_EXTRA_MS);
  const patience = answerTimeoutMs === 0 ? undefined : createPatience(systemClock, answerTimeoutMs);
  const connection: Record<string, string> = {
    application_name: options.applicationName,
    statement_timeout: String(statementTimeoutMs),
    idle_in_transaction_session_timeout: '5000',
    jit: 'off',
    timezone: 'UTC',
    ...(options.planner === 'general' ? {} : { enable_seqscan: 'off', enable_nestloop: 'off' }),
    ...(options.plans === 'once' ? { plan_cache_mode: 'force_generic_plan' } : {}),
  };
  const sql = postgres(url, {
    max: options.max ?? 8,
    connect_timeout: 10,
    backoff: reconnectSeconds,
    ...(options.idleTimeoutSeconds === undefined ? {} : { idle_timeout: options.idleTimeoutSeconds }),
    // connections are not recycled by age: a prepared plan is worth keeping. A dead peer of an idle connection is found by TCP keep-alive
    // (10 s, then 10 probes a second apart), that of a busy one by `patience`
    max_lifetime: null,
    keep_alive: KEEP_ALIVE_SECONDS,
    ...(patience === undefined ? {} : { socket: patience.socket }),
    connection,
    fetch_types: false,
    types: { bigint: int8, ...(arrayTypes as Record<never, never>) },
    onnotice: (notice) => log?.debug('postgres.notice', { code: notice['code'] ?? null, message: notice['message'] ?? null }),
  });
  patience?.watch(sql);
  return sql;
}
