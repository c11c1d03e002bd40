import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connectPostgres, type Sql } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';

/**
 * The migration runner. Owns the table `migrations`; not the tables that the files make. Called by `npm run migrate`, the supervisor and tests.
 *
 * I1 Each file runs once, in the order of its number; all of one run are one transaction with their rows in `migrations`.
 * I2 Two runners at once are safe: a transaction-wide advisory lock is taken first, and what has landed is read after it.
 * I3 A landed file never changes: its SHA-256 is compared at every run.
 * I4 A database with a number this build does not know is refused: an older build must not write into a newer schema.
 */

/** ASCII "flotilla" as a 64-bit number: the advisory lock of the runner. */
const LOCK_KEY = '7380396435129003105';

export interface Migration {
  readonly number: number;
  /** file name without `.sql` */
  readonly name: string;
  readonly text: string;
  /** SHA-256 of the text, hex */
  readonly checksum: string;
}

export interface MigrationLog {
  info(event: string, fields?: Readonly<Record<string, string | number | boolean | null | undefined>>): void;
}

export class MigrationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'MigrationError';
  }
}

/** The numbered files beside this module, in order. */
export function listMigrations(): readonly Migration[] {
  const names = readdirSync(fileURLToPath(new URL('.', import.meta.url)))
    .filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name))
    .sort();
  // a build that did not copy the files would take any database for one that is newer, or an empty one for finished
  if (names.length === 0) throw new MigrationError('migrations: no numbered files beside the compiled code; the build did not copy them');
  return names.map((file, index) => {
    const number = Number(file.slice(0, 4));
    if (number !== index + 1) throw new MigrationError(`migrations: expected number ${index + 1}, found ${file}`);
    const text = readAsset(import.meta.url, `./${file}`);
    return { number, name: file.slice(0, -4), text, checksum: createHash('sha256').update(text).digest('hex') };
  });
}

/** One hash over all files: the same hash means the same schema. */
export function migrationsHash(): string {
  const hash = createHash('sha256');
  for (const migration of listMigrations()) hash.update(`${migration.number}:${migration.checksum}\n`);
  return hash.digest('hex');
}

/**
 * Brings a database to the newest schema. Ledger partitions are not its work: call `ensurePartitions` afterwards.
 * @returns the numbers that were applied by this call
 * @throws MigrationError when a landed file has changed (I3) or the database is newer than this build (I4)
 */
export async function migrate(
  target: Sql | string,
  log?: MigrationLog,
  migrations: readonly Migration[] = listMigrations(),
): Promise<readonly number[]> {
  if (typeof target !== 'string') return run(target, log, migrations);
  const sql = connectPostgres(target, { applicationName: 'flotilla-migrate', max: 1, statementTimeoutMs: 0 });
  try {
    return await run(sql, log, migrations);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

async function run(sql: Sql, log: MigrationLog | undefined, migrations: readonly Migration[]): Promise<readonly number[]> {
  const applied: number[] = [];
  await sql.begin(async (tx) => {
    await tx.unsafe(`set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0`);
    await tx.unsafe(`select pg_advisory_xact_lock(${LOCK_KEY})`);
    await tx.unsafe(`create table if not exists migrations (
      number integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default clock_timestamp())`);
    const landed = await tx.unsafe<{ number: number; name: string; checksum: string }[]>(
      'select number, name, checksum from migrations order by number',
    );
    check(landed, migrations);
    for (const migration of migrations.slice(landed.length)) {
      await tx.unsafe('insert into migrations (number, name, checksum) values ($1, $2, $3)', [
        migration.number,
        migration.name,
        migration.checksum,
      ]);
      await tx.unsafe(migration.text);
      log?.info('migration.applied', { number: migration.number, name: migration.name });
      applied.push(migration.number);
    }
  });
  return applied;
}

function check(
  landed: readonly { readonly number: number; readonly name: string; readonly checksum: string }[],
  migrations: readonly Migration[],
): void {
  landed.forEach((row, index) => {
    if (row.number !== index + 1) throw new MigrationError(`the database misses migration ${index + 1} but has ${row.number}`);
    const known = migrations[index];
    if (known === undefined) {
      throw new MigrationError(
        `the database has migration ${row.number} (${row.name}), newer than this build knows (${migrations.length})`,
      );
    }
    if (known.checksum !== row.checksum) throw new MigrationError(`${known.name}.sql has changed since it was applied to this database`);
  });
}
