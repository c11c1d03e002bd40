import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../lifecycle/index.ts';

/** Runs a program to its end; its output goes to a file, the last lines of which stand in the error. */
export type Run = (
  title: string,
  program: string,
  args: readonly string[],
  options?: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> },
) => Promise<void>;

export interface Engine {
  /** DOCKER_HOST for every docker and compose call; undefined = the machine's own */
  readonly host: string | undefined;
  stop(): Promise<void>;
}

function answers(host: string | undefined): boolean {
  const env = host === undefined ? process.env : { ...process.env, DOCKER_HOST: host };
  return spawnSync('docker', ['info'], { env, stdio: 'ignore', timeout: 10_000 }).status === 0;
}

/**
 * The machine's Docker engine, or one of our own whose data stands under `dataDir` and which ends with `stop`. Tries the engine's own storage
 * driver first, then vfs, which works on any file system.
 * @throws Error saying what to install when there is no engine to start
 */
export async function ensureEngine(dataDir: string, clock: Clock, say: (line: string) => void): Promise<Engine> {
  if (answers(undefined)) return { host: undefined, stop: async () => {} };
  if (spawnSync('dockerd', ['--version']).status !== 0)
    throw new Error('no Docker engine answers and dockerd is not installed: apt-get install docker.io');
  if (process.getuid?.() !== 0) throw new Error('no Docker engine answers, and starting one needs root');
  mkdirSync(dataDir, { recursive: true });
  for (const driver of [[], ['--storage-driver', 'vfs']]) {
    // the path of a unix socket is at most 107 bytes, whatever the data folder's is
    const host = `unix:///tmp/flotilla-docker-${process.pid}.sock`;
    const log = openSync(join(dataDir, 'engine.log'), 'a');
    const paths = [
      '--data-root',
      join(dataDir, `data${driver[1] ?? ''}`),
      '--exec-root',
      `/tmp/flotilla-docker-${process.pid}`,
      '--pidfile',
      join(dataDir, 'engine.pid'),
    ];
    const engine = spawn('dockerd', [...paths, '-H', host, ...driver], { stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    for (let tries = 0; tries < 60 && engine.exitCode === null; tries++) {
      if (answers(host)) {
        say(`started a Docker engine${driver.length > 0 ? ' (vfs)' : ''}`);
        return { host, stop: () => stopEngine(engine, clock) };
      }
      await clock.sleep(500);
    }
    await stopEngine(engine, clock);
  }
  throw new Error(`dockerd does not start: see ${join(dataDir, 'engine.log')}`);
}

async function stopEngine(engine: ChildProcess, clock: Clock): Promise<void> {
  if (engine.exitCode !== null) return;
  engine.kill('SIGTERM');
  for (let tries = 0; tries < 60 && engine.exitCode === null; tries++) await clock.sleep(250);
  if (engine.exitCode === null) engine.kill('SIGKILL');
}

export interface Compose {
  readonly program: string;
  readonly before: readonly string[];
}

/** Compose v2 as a plugin, or built once from the pinned go.mod, or Debian's docker-compose. */
export async function findCompose(moduleDir: string, cacheDir: string, run: Run): Promise<Compose> {
  if (spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' }).status === 0) return { program: 'docker', before: ['compose'] };
  const binary = join(cacheDir, 'docker-compose');
  if (existsSync(binary)) return { program: binary, before: [] };
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status === 0) {
    mkdirSync(cacheDir, { recursive: true });
    await run(
      'build Compose from ops/docker/compose/go.mod',
      'go',
      ['build', '-trimpath', '-o', `${binary}.draft`, 'github.com/docker/compose/v2/cmd'],
      { cwd: moduleDir },
    );
    renameSync(`${binary}.draft`, binary);
    return { program: binary, before: [] };
  }
  if (spawnSync('docker-compose', ['version'], { stdio: 'ignore' }).status === 0) return { program: 'docker-compose', before: [] };
  throw new Error('no Compose: install the Compose v2 plugin, or Go 1.25 or newer to build it, or docker-compose');
}
