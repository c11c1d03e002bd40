import { loadConfig } from '../ops/config/index.ts';
import { connectPostgres } from '../ops/connect/index.ts';
import { raiseEpochs } from './sql/index.ts';

/**
 * `npm run raise-epochs`: after DATABASE_URL was restored from a backup, with no node running. The fences in Redis are newer than the restored
 * epochs and would refuse every owner; afterwards every new epoch is above any of them.
 */
async function main(): Promise<void> {
  const config = loadConfig(process.env, ['DATABASE_URL']);
  const sql = connectPostgres(config.DATABASE_URL, { applicationName: 'flotilla-raise-epochs', max: 1, statementTimeoutMs: 0 });
  try {
    process.stdout.write(`epochs of ${await raiseEpochs(sql)} devices raised\n`);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`raise-epochs: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
