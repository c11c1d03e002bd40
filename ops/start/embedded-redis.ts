import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import type { Clock } from '../lifecycle/index.ts';
import { type Child, startChild } from './child.ts';
import { debianRedis } from './debian-redis.ts';
import type { Guardian } from './guardian.ts';
import { freePort } from './ports.ts';
import { installedRedis } from './redis-binary.ts';

/**
 * A Redis (or Valkey) server of our own. Owns `<dataDir>/redis-data` with its configuration, append-only file and password, and the server
 * process. Called by the stack. I1: only loopback, only with the password, which stands in a 0600 file. I2: nothing is evicted, and with
 * `durable` every write is on disk before it is answered.
 */
export interface EmbeddedRedis {
  readonly url: string;
  readonly port: number;
  readonly child: Child;
  stop(): Promise<void>;
}

export interface EmbeddedRedisOptions {
  /** settings of the process; default its PATH alone */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly dataDir: string;
  /** false: no append-only file, for tests and measurements of something else */
  readonly durable: boolean;
  /** path of the server */
  readonly binary: string;
  readonly preferredPort?: number;
  readonly onLine?: (line: string) => void;
  /** told of the process as soon as it runs, before it is ready: for a stop in the middle of a start */
  readonly onChild?: (child: Child) => void;
}

/** Where the server comes from: what is installed, else Debian's packages under `dataDir`. @throws NoRedis */
export async function findRedis(
  env: Readonly<Record<string, string | undefined>>,
  dataDir: string,
  say: (line: string) => void = () => {},
): Promise<string> {
  return installedRedis(env) ?? (await debianRedis(resolve(dataDir), say));
}

function configuration(folder: string, port: number, password: string, durable: boolean): string {
  const lines = {
    bind: '127.0.0.1',
    port,
    requirepass: password,
    dir: JSON.stringify(folder),
    pidfile: JSON.stringify(join(folder, 'redis.pid')),
    daemonize: 'no',
    'set-proc-title': 'no',
    loglevel: 'warning',
    save: '""',
    appendonly: durable ? 'yes' : 'no',
    appendfsync: 'always',
    'maxmemory-policy': 'noeviction',
    'stream-node-max-bytes': 1024,
  };
  return Object.entries(lines)
    .map(([name, value]) => `${name} ${value}\n`)
    .join('');
}

/** True when the server at the port answers PING to this password and has loaded its data. */
function answers(port: number, password: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(`AUTH ${password}\r\nPING\r\n`));
    let text = '';
    const end = (answer: boolean): void => {
      socket.destroy();
      done(answer);
    };
    socket.setTimeout(1000, () => end(false));
    socket.on('error', () => end(false));
    socket.on('close', () => end(false));
    socket.on('data', (chunk) => {
      text += String(chunk);
      if (text.includes('+PONG')) end(true);
      else if (text.split('\r\n').length > 2) end(false);
    });
  });
}

function leftBehind(folder: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(folder, 'redis.pid'), 'utf8'));
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(join(folder, 'redis.conf')) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Ends a server that an earlier run left on this folder. */
async function clearStale(clock: Clock, folder: string): Promise<void> {
  const began = clock.monotonic();
  for (let pid = leftBehind(folder); pid !== undefined; pid = leftBehind(folder)) {
    process.kill(pid, clock.monotonic() - began > 5_000 ? 'SIGKILL' : 'SIGTERM');
    await clock.sleep(50);
  }
  rmSync(join(folder, 'redis.pid'), { force: true });
}

/**
 * Starts the server on a free port (the preferred one when it is free) and waits until it answers. Data survives in `dataDir`.
 * @throws Error with the server's own last words when it does not come up
 */
export async function startEmbeddedRedis(
  deps: { readonly clock: Clock; readonly guardian: Guardian },
  options: EmbeddedRedisOptions,
): Promise<EmbeddedRedis> {
  const folder = join(resolve(options.dataDir), 'redis-data');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  await clearStale(deps.clock, folder);
  const secretFile = join(resolve(options.dataDir), 'redis-password');
  if (!existsSync(secretFile)) writeFileSync(secretFile, randomBytes(24).toString('hex'), { mode: 0o600, flag: 'wx' });
  const secret = readFileSync(secretFile, 'utf8').trim();
  const words: string[] = [];
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const port = await freePort(attempt === 0 ? options.preferredPort : undefined);
    const file = join(folder, 'redis.conf');
    writeFileSync(file, configuration(folder, port, secret, options.durable), { mode: 0o600 });
    const child = await startChild(deps, {
      name: 'redis',
      command: options.binary,
      args: [file],
      env: { PATH: process.env['PATH'], ...options.env },
      cwd: folder,
      kind: 'server',
      stopSignal: 'SIGTERM',
      onLine(line) {
        words.push(line);
        if (words.length > 10) words.shift();
        options.onLine?.(line);
      },
    });
    options.onChild?.(child);
    for (const began = deps.clock.monotonic(); child.running() && deps.clock.monotonic() - began < 60_000; await deps.clock.sleep(20)) {
      if (!(await answers(port, secret))) continue;
      return { url: `redis://:${secret}@127.0.0.1:${port}`, port, child, stop: async () => void (await child.stop(8_000)) };
    }
    await child.stop(2_000);
    if (!words.some((line) => /in use/i.test(line))) break;
  }
  throw new Error(`Redis did not start:\n${words.join('\n')}`);
}
