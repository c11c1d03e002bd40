import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../lifecycle/index.ts';
import { isAlive } from './lock.mjs';

/** The supervisor as the terminal sees it: a compiled copy whose children are the stand-ins of fixtures/tree. */
let tree = '';
const children: ChildProcess[] = [];

interface Run {
  readonly child: ChildProcess;
  readonly dataDir: string;
  output(): string;
  readonly ended: Promise<number | null>;
}

function supervise(args: readonly string[], env: Record<string, string> = {}, dataDir = mkdtempSync(join(tree, 'data-'))): Run {
  const program = `import(${JSON.stringify(pathToFileURL(join(tree, 'ops/start/main.js')).href)}).then((m) => m.main(process.argv.slice(1)))`;
  const child = spawn(process.execPath, ['-e', program, '--', ...args], {
    env: { PATH: process.env['PATH'], REDIS_SERVER: process.env['REDIS_SERVER'], DATA_DIR: dataDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      text += String(chunk);
    });
  }
  return { child, dataDir, output: () => text, ended: new Promise((done) => child.once('close', (code) => done(code))) };
}

async function until(what: string, test: () => boolean, ms = 60_000): Promise<void> {
  for (let waited = 0; waited < ms; waited += 25) {
    if (test()) return;
    await systemClock.sleep(25);
  }
  throw new Error(`never happened: ${what}`);
}

/** Every process whose command line or environment names the data folder: what the run started, directly or not. */
function descendants(dataDir: string): number[] {
  const listing = spawnSync('sh', ['-c', `grep -lsaF -- "$0" /proc/[0-9]*/environ /proc/[0-9]*/cmdline || true`, dataDir], {
    encoding: 'utf8',
  });
  const pids = new Set(listing.stdout.split('\n').map((path) => Number(path.split('/')[2])));
  return [...pids].filter((pid) => pid > 0 && pid !== process.pid && isAlive(pid, ''));
}

const isUp = (run: Run): boolean => run.output().includes('Ctrl-C stops everything');

beforeAll(() => {
  mkdirSync(resolve('.data/test'), { recursive: true });
  tree = mkdtempSync(resolve('.data/test/supervisor-'));
  const config = {
    extends: resolve('tsconfig.json'),
    compilerOptions: { rootDir: resolve('.'), outDir: tree },
    files: [resolve('ops/start/main.ts')],
    include: [],
  };
  writeFileSync(join(tree, 'tsconfig.json'), JSON.stringify(config));
  const compiled = spawnSync(process.execPath, [resolve('node_modules/typescript/bin/tsc'), '-p', join(tree, 'tsconfig.json')], {
    encoding: 'utf8',
  });
  if (compiled.status !== 0) throw new Error(compiled.stdout);
  for (const name of ['guard.mjs', 'lock.mjs']) cpSync(resolve('ops/start', name), join(tree, 'ops/start', name));
  cpSync(resolve('ops/start/fixtures/tree'), tree, { recursive: true });
  writeFileSync(join(tree, '.stamp'), 'test');
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

afterAll(async () => {
  await until('the guardians have cleared up', () => descendants(tree).length === 0);
  rmSync(tree, { recursive: true, force: true });
});

describe('the supervisor', () => {
  it('comes up, shows where everything is, ends cleanly when Ctrl-C arrives twice', async () => {
    const run = supervise(['--port', '0', '--devices', '60', '--nodes', '2']);
    await until('up', () => isUp(run));
    const key = readFileSync(join(run.dataDir, 'admin-key'), 'utf8').trim();
    for (const part of ['Wall', 'GraphiQL', 'Metrics', '(node-2)', key, '60 SIMULATED devices', '✓ Postgres'])
      expect(run.output()).toContain(part);
    expect(statSync(join(run.dataDir, 'admin-key')).mode & 0o777).toBe(0o600);
    expect(statSync(join(run.dataDir, 'session-keys')).mode & 0o777).toBe(0o600);
    run.child.kill('SIGINT');
    run.child.kill('SIGINT');
    await systemClock.sleep(50);
    run.child.kill('SIGINT');
    expect(await run.ended).toBe(0);
    expect(run.output()).toContain('everything is stopped');
    expect(descendants(run.dataDir)).toEqual([]);
  });

  it('leaves no orphans when it is killed hard, and starts again on the same data', async () => {
    const run = supervise(['--port', '0', '--no-demo']);
    await until('up', () => isUp(run));
    expect(descendants(run.dataDir).length).toBeGreaterThanOrEqual(6);
    run.child.kill('SIGKILL');
    await run.ended;
    await until('no orphans', () => descendants(run.dataDir).length === 0);
    const again = supervise(['--port', '0', '--no-demo'], {}, run.dataDir);
    await until('up again', () => isUp(again));
    again.child.kill('SIGTERM');
    expect(await again.ended).toBe(0);
  });

  it('is killed hard in the middle of its start without orphans', async () => {
    const run = supervise(['--port', '0', '--no-demo']);
    await until('Redis runs', () => run.output().includes('✓ Redis ('));
    run.child.kill('SIGKILL');
    await run.ended;
    await until('no orphans', () => descendants(run.dataDir).length === 0);
  });

  it('says it when a process dies and starts it again', async () => {
    const run = supervise(['--port', '0', '--no-demo']);
    await until('up', () => isUp(run));
    const url = /Wall +(\S+)\//.exec(run.output())?.[1] ?? '';
    process.kill(Number(await (await fetch(`${url}/pid`)).text()), 'SIGKILL');
    await until('said so', () => /gateway-1 was ended by SIGKILL; starting it again[\s\S]*gateway-1 runs again/.test(run.output()));
    run.child.kill('SIGINT');
    expect(await run.ended).toBe(0);
  });

  it('refuses a second run on the same data, and a port that is taken', async () => {
    const run = supervise(['--port', '0', '--no-demo']);
    await until('Redis runs', () => run.output().includes('✓ Redis ('));
    const second = supervise(['--port', '0'], {}, run.dataDir);
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(`another Flotilla runs on ${run.dataDir} (pid ${run.child.pid})`);
    run.child.kill('SIGINT');
    await run.ended;
    const server = createServer();
    const port = await new Promise<number>((done) =>
      server.listen(0, '127.0.0.1', () => done((server.address() as { port: number }).port)),
    );
    const third = supervise(['--port', String(port)]);
    expect(await third.ended).toBe(1);
    expect(third.output()).toContain(`port ${port} of 127.0.0.1 is taken`);
    await new Promise((done) => server.close(done));
  });

  it('stops on wrong settings and wrong options before anything is started', async () => {
    const wrong = supervise([], { PORT: 'four', LEASE_TTL_MS: '10' });
    expect(await wrong.ended).toBe(1);
    expect(wrong.output()).toMatch(/PORT: expected a whole number[\s\S]*LEASE_TTL_MS: expected/);
    const template = supervise([], { REDIS_URL: ['redis://$', '{{Redis.HOST}}:6379'].join('') });
    expect(await template.ended).toBe(1);
    expect(template.output()).toContain('REDIS_URL: still holds an unfilled template');
    const option = supervise(['--device', '3']);
    expect(await option.ended).toBe(2);
    expect(option.output()).toContain('unknown option --device');
  });
});
