import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { migrate, migrationsHash } from '../../schema/migrations/index.ts';
import { ensurePartitions } from '../../schema/sql/index.ts';
import { connectPostgres, type Sql } from '../connect/index.ts';
import { systemClock } from '../lifecycle/index.ts';
import { freePort } from '../start/index.ts';

/**
 * Real servers for integration tests. Each test file takes its own and gives it back; nothing outlives the test process.
 * Used by tests only.
 */

export interface TestRedis {
  /** redis://127.0.0.1:port */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** FLUSHALL */
  flush(): Promise<void>;
  /** freezes the server process (SIGSTOP) and lets it go on */
  freeze(): void;
  thaw(): void;
  /** kills the process (SIGKILL); resolves when it is gone. Safe to call twice. */
  stop(): Promise<void>;
  /** kills it if it still runs and starts one on the same port: empty, or from the `dump.rdb` in that folder (kept up by SAVE) */
  restart(folder?: string): Promise<void>;
}

const HOST = '127.0.0.1';

/** Sends inline commands and resolves with the first reply line. */
function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: HOST, port });
    socket.setTimeout(5000, () => socket.destroy(new Error('Redis did not answer in 5 s')));
    socket.on('error', reject);
    socket.on('connect', () => socket.write(`${command}\r\n`));
    socket.once('data', (data) => {
      socket.end();
      resolve(data.toString('utf8').trim());
    });
  });
}

/** The command line of a Redis server: REDIS_SERVER, one unpacked under .data, or `redis-server` on PATH. */
export function redisCommand(): { readonly file: string; readonly env: NodeJS.ProcessEnv } {
  const given = process.env['REDIS_SERVER'];
  if (given !== undefined && given !== '') return { file: given, env: process.env };
  const unpacked = join(process.cwd(), process.env['DATA_DIR'] ?? '.data', 'redis', 'root');
  const file = join(unpacked, 'usr', 'bin', 'redis-server');
  if (!existsSync(file)) return { file: 'redis-server', env: process.env };
  const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
  const libraries = [join(unpacked, 'usr', 'lib', triplet), join(unpacked, 'lib', triplet)].join(':');
  return { file, env: { ...process.env, LD_LIBRARY_PATH: libraries } };
}

async function launch(port: number, folder?: string): Promise<ChildProcess> {
  const { file, env } = redisCommand();
  const args = [
    '--port',
    String(port),
    '--bind',
    HOST,
    '--save',
    '',
    '--appendonly',
    'no',
    '--daemonize',
    'no',
    ...(folder === undefined ? [] : ['--dir', folder]),
  ];
  const child = spawn(file, args, { stdio: 'ignore', env });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  const failed = new Promise<never>((_, reject) => {
    child.once('error', (error) => reject(new Error(`cannot start ${file}`, { cause: error })));
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code} while starting on port ${port}`)));
  });
  failed.catch(() => undefined);
  for (let attempt = 0; attempt < 400; attempt++) {
    const reply = await Promise.race([failed, ask(port, 'PING').catch(() => '')]);
    if (reply === '+PONG') return child;
    await Promise.race([failed, systemClock.sleep(25)]);
  }
  child.kill('SIGKILL');
  throw new Error(`Redis did not answer on port ${port}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

/** Starts an empty Redis of its own on a free port: no snapshots, no append-only file. */
export async function startRedis(): Promise<TestRedis> {
  let port = await freePort();
  let child: ChildProcess | undefined;
  for (let attempt = 0; child === undefined; attempt++) {
    try {
      child = await launch(port);
    } catch (error) {
      // another process may have taken the port in between
      if (attempt === 4) throw error;
      port = await freePort();
    }
  }
  let running: ChildProcess = child;
  return {
    url: `redis://${HOST}:${port}`,
    port,
    get pid() {
      return running.pid ?? 0;
    },
    async flush() {
      const reply = await ask(port, 'FLUSHALL');
      if (reply !== '+OK') throw new Error(`FLUSHALL answered ${reply}`);
    },
    freeze: () => void running.kill('SIGSTOP'),
    thaw: () => void running.kill('SIGCONT'),
    stop: () => end(running),
    async restart(folder) {
      await end(running);
      running = await launch(port, folder);
    },
  };
}

export interface TestDatabase {
  readonly url: string;
  /** a pool of 8 on the new database */
  readonly sql: Sql;
  /** closes the pool and drops the database, whoever is still connected */
  drop(): Promise<void>;
}

const DEVELOPMENT_POSTGRES = 'postgres://postgres@127.0.0.1:55432/postgres';

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

/**
 * A fresh migrated database on the run's Postgres (TEST_POSTGRES_URL). The migrations run once per server and schema version, into a
 * template database; each call copies it.
 */
export async function createDatabase(): Promise<TestDatabase> {
  const server = process.env['TEST_POSTGRES_URL'] ?? DEVELOPMENT_POSTGRES;
  const admin = connectPostgres(server, { applicationName: 'flotilla-test-admin', max: 1, statementTimeoutMs: 60_000 });
  const name = `flotilla_test_${process.pid}_${randomBytes(5).toString('hex')}`;
  try {
    const template = await ensureTemplate(server, admin);
    await admin.unsafe(`create database ${name} template ${template}`);
  } finally {
    await admin.end({ timeout: 5 });
  }
  const url = withDatabase(server, name);
  const sql = connectPostgres(url, { applicationName: 'flotilla-test', max: 8 });
  // the template may be older than today
  await ensurePartitions(sql, { nowMs: systemClock.wall(), aheadDays: 2 });
  return {
    url,
    sql,
    async drop() {
      await sql.end({ timeout: 2 });
      const closing = connectPostgres(server, { applicationName: 'flotilla-test-admin', max: 1 });
      try {
        await closing.unsafe(`drop database if exists ${name} with (force)`);
      } finally {
        await closing.end({ timeout: 5 });
      }
    },
  };
}

/** Makes the template database of this schema version if it is not there; parallel test processes wait for each other. */
async function ensureTemplate(server: string, admin: Sql): Promise<string> {
  const template = `flotilla_template_${migrationsHash().slice(0, 16)}`;
  const exists = async (): Promise<boolean> => (await admin.unsafe('select 1 from pg_database where datname = $1', [template])).length > 0;
  if (await exists()) return template;
  const building = `${template}_building`;
  await admin.unsafe('select pg_advisory_lock(727001)');
  try {
    if (await exists()) return template;
    await admin.unsafe(`drop database if exists ${building} with (force)`);
    await admin.unsafe(`create database ${building}`);
    const url = withDatabase(server, building);
    await migrate(url);
    const sql = connectPostgres(url, { applicationName: 'flotilla-test-template', max: 1 });
    try {
      await ensurePartitions(sql, { nowMs: systemClock.wall(), aheadDays: 2 });
    } finally {
      await sql.end({ timeout: 5 });
    }
    await admin.unsafe(`alter database ${building} rename to ${template}`);
    return template;
  } finally {
    await admin.unsafe('select pg_advisory_unlock(727001)');
  }
}
