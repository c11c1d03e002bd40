import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withLock } from './lock.mjs';

/**
 * Debian's Redis packages, fetched by the machine's own apt and unpacked into `<dataDir>/redis`. Owns that folder. Touches nothing of the
 * system: no root, no service, no package data base; apt's lists and cache are private ones. I1: the folder is only there when whole.
 */
const run = promisify(execFile);

/** What the server needs on Debian 12 where apt cannot be asked (its own answer is preferred: other releases have other names). */
const KNOWN_PACKAGES = [
  'redis-server',
  'redis-tools',
  'libjemalloc2',
  'liblzf1',
  'libhiredis0.14',
  'liblua5.1-0',
  'lua-bitop',
  'lua-cjson',
  'libatomic1',
];

export class NoRedis extends Error {
  constructor(why: string) {
    super(
      `no Redis server was found and none could be fetched (${why}).\n` +
        'Do one of these, then start again:\n' +
        '  Debian, Ubuntu:  sudo apt-get install redis-server\n' +
        '  Fedora:          sudo dnf install valkey\n' +
        '  macOS:           brew install redis\n' +
        '  elsewhere:       run Redis 7 or Valkey 7 and set REDIS_URL=redis://host:6379',
    );
    this.name = 'NoRedis';
  }
}

/** apt with private state; `_apt` cannot enter our folders, so the download runs as whoever we are. */
function aptOptions(work: string, privateLists: boolean): string[] {
  const settings = [
    `Dir::Cache=${join(work, 'cache')}`,
    `Dir::Log=${join(work, 'log')}`,
    'Debug::NoLocking=true',
    'APT::Sandbox::User=root',
    'APT::Get::List-Cleanup=false',
    'Acquire::Languages=none',
    'Acquire::Retries=2',
    ...(privateLists ? [`Dir::State=${join(work, 'state')}`, 'Dir::State::status=/var/lib/dpkg/status'] : []),
  ];
  return settings.flatMap((setting) => ['-o', setting]);
}

function makeFolders(work: string): void {
  for (const folder of ['cache/archives/partial', 'state/lists/partial', 'log', 'deb', 'root']) {
    mkdirSync(join(work, folder), { recursive: true });
  }
}

const ENV = {
  PATH: `${process.env['PATH'] ?? ''}:/usr/bin:/bin:/usr/sbin:/sbin`,
  LANG: 'C',
  LC_ALL: 'C',
  DEBIAN_FRONTEND: 'noninteractive',
};

function aptEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => /proxy$/i.test(name) || name === 'APT_CONFIG' || name === 'HOME');
  return { ...Object.fromEntries(kept), ...ENV };
}

/** Names that apt would install for a Redis server on this very machine. */
async function wantedPackages(options: readonly string[]): Promise<readonly string[]> {
  try {
    const { stdout } = await run('apt-get', [...options, '-s', 'install', '--no-install-recommends', 'redis-server'], {
      env: aptEnvironment(),
    });
    const names = [...stdout.matchAll(/^Inst (\S+) /gm)].map((match) => match[1] ?? '');
    return names.includes('redis-server') ? names : KNOWN_PACKAGES;
  } catch {
    return KNOWN_PACKAGES;
  }
}

async function download(work: string, privateLists: boolean): Promise<void> {
  const options = aptOptions(work, privateLists);
  const settings = { env: aptEnvironment(), cwd: join(work, 'deb'), maxBuffer: 1 << 24 };
  if (privateLists) await run('apt-get', [...options, '-q', 'update'], settings);
  await run('apt-get', [...options, '-q', 'download', ...(await wantedPackages(options))], settings);
}

/** A script that finds the libraries beside itself, so that callers need to know nothing but its path. */
const LAUNCHER = `#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-gnu "$here"/lib/*-linux-gnu | tr ' ' ':'):$LD_LIBRARY_PATH
export LD_LIBRARY_PATH
exec "$here/usr/bin/redis-server" "$@"
`;

/** The launcher inside the unpacked folder. */
const launcher = (root: string): string => join(root, 'redis-server');

function lastWords(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message?: string };
  const line = (stderr ?? '').split('\n').findLast((text) => /^(E|W):/.test(text));
  return line ?? message?.split('\n')[0] ?? String(error);
}

async function fetchInto(work: string, final: string): Promise<string> {
  rmSync(work, { recursive: true, force: true });
  makeFolders(work);
  try {
    await download(work, false).catch(() => download(work, true));
    const root = join(work, 'root');
    for (const name of readdirSync(join(work, 'deb'))) await run('dpkg', ['-x', join(work, 'deb', name), root], { env: ENV });
    writeFileSync(launcher(root), LAUNCHER, { mode: 0o755 });
    await run(launcher(root), ['--version'], { env: ENV });
    rmSync(final, { recursive: true, force: true });
    renameSync(root, final);
    return launcher(final);
  } catch (error) {
    throw new NoRedis(lastWords(error));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * Path of the server unpacked under `dataDir`, fetched first when it is not there (4 MB, 15 MB on disk).
 * @throws NoRedis with what to install when this machine has no apt or cannot reach its mirror
 */
export async function debianRedis(dataDir: string, say: (line: string) => void): Promise<string> {
  const final = join(dataDir, 'redis');
  if (existsSync(launcher(final))) return launcher(final);
  const hasTools = await Promise.all([run('apt-get', ['--version'], { env: ENV }), run('dpkg', ['--version'], { env: ENV })]).catch(
    () => undefined,
  );
  if (hasTools === undefined) throw new NoRedis('this machine has no apt-get');
  return withLock(join(dataDir, 'redis.lock'), async () => {
    if (existsSync(launcher(final))) return launcher(final);
    say("fetching Debian's Redis packages (4 MB, once; nothing is installed on the system)");
    return fetchInto(join(dataDir, 'redis.next'), final);
  });
}
