import { loadConfig } from '../../ops/config/index.ts';
import { connectPostgres } from '../../ops/connect/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { ensurePartitions } from '../sql/index.ts';
import { migrate } from './index.ts';

/** `npm run migrate`: brings the database of DATABASE_URL to the newest schema and makes the ledger's partitions. Prints JSON lines. */

const log = {
  info(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    process.stdout.write(`${JSON.stringify({ at: new Date(systemClock.wall()).toISOString(), level: 'info', event, ...fields })}\n`);
  },
};

async function main(): Promise<void> {
  const config = loadConfig(process.env, ['DATABASE_URL']);
  const sql = connectPostgres(config.DATABASE_URL, { applicationName: 'flotilla-migrate', max: 1, statementTimeoutMs: 0 });
  try {
    const applied = await migrate(sql, log);
    const made = await ensurePartitions(sql, { nowMs: systemClock.wall(), aheadDays: config.LEDGER_AHEAD_DAYS });
    log.info('migration.done', { applied: applied.length, partitions: made.length });
  } finally {
    await sql.end({ timeout: 5 });
  }
}

main().catch((error: unknown) => {
  const text = error instanceof Error ? error.message : String(error);
  process.stderr.write(`migrate: ${text}\n`);
  process.exitCode = 1;
});
