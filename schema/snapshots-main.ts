import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { loadConfig } from '../ops/config/index.ts';
import { connectPostgres } from '../ops/connect/index.ts';
import { migrate } from './migrations/index.ts';
import { configurationSnapshot, graphqlSnapshot, type Snapshot, sqlSnapshot } from './snapshots.ts';

/**
 * `npm run snapshots`: writes schema/schema.sql, schema/schema.graphql and docs/configuration.md below the working folder. Needs DATABASE_URL
 * (any Postgres where it may make a database: it works in one of its own and drops it); without it schema.sql is left as it is.
 */
async function sqlText(url: string): Promise<Snapshot> {
  const name = `flotilla_snapshot_${randomBytes(5).toString('hex')}`;
  const admin = connectPostgres(url, { applicationName: 'flotilla-snapshots', max: 1 });
  try {
    await admin.unsafe(`create database ${name}`);
    const own = new URL(url);
    own.pathname = `/${name}`;
    const sql = connectPostgres(own.href, { applicationName: 'flotilla-snapshots', max: 1, statementTimeoutMs: 0 });
    try {
      await migrate(sql);
      return await sqlSnapshot(sql);
    } finally {
      await sql.end({ timeout: 5 });
      await admin.unsafe(`drop database ${name} with (force)`);
    }
  } finally {
    await admin.end({ timeout: 5 });
  }
}

function write({ path, text }: Snapshot): void {
  const file = join(process.cwd(), path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  process.stdout.write(`${path}\n`);
}

async function main(): Promise<void> {
  const { DATABASE_URL } = loadConfig(process.env);
  write(configurationSnapshot());
  write(await graphqlSnapshot());
  if (DATABASE_URL === undefined) process.stderr.write('schema/schema.sql: not written, DATABASE_URL is not set\n');
  else write(await sqlText(DATABASE_URL));
}

main().catch((error: unknown) => {
  process.stderr.write(`snapshots: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
