import postgres from 'postgres';
import type { ConnectLog } from './log.ts';

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
  /** seconds after which an idle connection is closed; default never */
  readonly idleTimeoutSeconds?: number;
}

const int8 = {
  to: 20,
  from: [20],
  serialize: (value: number): string => String(value),
  parse: (text: string): number => {
    const value = Number(text);
    if (!Number.isSafeInteger(value)) throw new RangeError(`int8 out of the safe range: ${text}`);
    return value;
  },
};

/**
 * Opens a pool (lazily: nothing is connected before the first statement).
 * Planner settings, with reasons: `enable_seqscan` off, because a plan that is prepared while a ledger partition is new and empty
 * would scan it for as long as the connection lives, and every statement of schema/sql finds its rows by an index; `jit` off, because
 * batches of 1,000 would pay its start-up. A bulk job that wants a scan says `set local enable_seqscan = on` in its own transaction.
 */
export function connectPostgres(url: string, options: PostgresOptions): Sql {
  const { log } = options;
  const connection: Record<string, string> = {
    application_name: options.applicationName,
    statement_timeout: String(options.statementTimeoutMs ?? 15_000),
    idle_in_transaction_session_timeout: '5000',
    enable_seqscan: 'off',
    jit: 'off',
    timezone: 'UTC',
  };
  return postgres(url, {
    max: options.max ?? 8,
    connect_timeout: 10,
    ...(options.idleTimeoutSeconds === undefined ? {} : { idle_timeout: options.idleTimeoutSeconds }),
    // connections are not recycled by age: a prepared plan is worth keeping, and a dead peer is found by TCP keep-alive
    max_lifetime: null,
    connection,
    types: { bigint: int8 },
    onnotice: (notice) => log?.debug('postgres.notice', { code: notice['code'] ?? null, message: notice['message'] ?? null }),
  });
}
