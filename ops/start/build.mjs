// Builds dist/: compiles, copies the assets that code reads beside itself, builds the wall. Plain JavaScript without packages, because it
// runs before anything is compiled. Invariants: (I1) dist/ is replaced whole, so no file of an earlier tree stays; (I2) one build at a time
// per checkout; (I3) an unchanged tree (by content) is not built again.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.mjs';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const FOLDERS = ['schema', 'actors', 'gateway', 'loadtest', 'ops'];
const ASSET = /\.(sql|lua|graphql|json|proto|html)$/;
const SKIPPED = new Set(['node_modules', 'dist', '.data', '.cache', 'results', 'fixtures']);

function* files(folder) {
  if (!existsSync(join(ROOT, folder))) return;
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    if (SKIPPED.has(entry.name)) continue;
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

/** Content hash of everything a build reads. Test files do not count: they are not built. */
export function sourceStamp({ wall = true } = {}) {
  const hash = createHash('sha256').update(`wall=${wall}\n`);
  const wanted = [...FOLDERS.flatMap((folder) => [...files(folder)]), 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
  for (const path of wanted.sort()) {
    if (/\.(test|itest)\.ts$|\.md$/.test(path) || !existsSync(join(ROOT, path))) continue;
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(ROOT, path)))
      .update('\0');
  }
  return hash.digest('hex');
}

function isCurrent(stamp) {
  try {
    return readFileSync(join(ROOT, 'dist', '.stamp'), 'utf8') === stamp;
  } catch {
    return false;
  }
}

const running = new Set();

/** Ends what `run` has running: for signal handlers. */
export function endRunning() {
  for (const child of running) child.kill('SIGTERM');
}

/** Runs a command; resolves {code, output}. Output is kept and shown only when the command fails. */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    running.add(child);
    child.once('exit', () => running.delete(child));
    let output = '';
    const keep = (chunk) => {
      output += chunk;
      options.onOutput?.(String(chunk));
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => resolve({ code: 127, output: `${output}${error.message}\n` }));
    child.on('close', (code, signal) => resolve({ code: signal ? 1 : (code ?? 1), output }));
  });
}

/** Removes build folders that a killed build left. Only called under the lock. */
function sweepLeftovers() {
  for (const name of readdirSync(ROOT)) if (/^dist\.(next|old)/.test(name)) rmSync(join(ROOT, name), { recursive: true, force: true });
}

async function compile(target, { lenient, say }) {
  const binary = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const { code, output } = await run(process.execPath, [binary, '-p', 'tsconfig.build.json', '--outDir', target]);
  if (code === 0) return;
  if (!lenient) throw new Error(`the TypeScript compiler found errors:\n${output}`);
  say(`type errors ignored (${output.split('\n').filter((line) => line.includes('error TS')).length})`);
}

function copyAssets(target) {
  for (const folder of FOLDERS) {
    for (const path of files(folder)) {
      if (path.startsWith('gateway/wall/app/') || path.endsWith('tsconfig.json')) continue;
      if (!ASSET.test(path) && !/^ops\/start\/.*\.mjs$/.test(path)) continue;
      mkdirSync(dirname(join(target, path)), { recursive: true });
      cpSync(join(ROOT, path), join(target, path));
    }
  }
}

async function buildWall(target) {
  const app = join(ROOT, 'gateway', 'wall', 'app');
  if (!existsSync(join(app, 'index.html'))) return;
  const vite = join(ROOT, 'node_modules', 'vite', 'bin', 'vite.js');
  const outDir = join(target, 'gateway', 'wall', 'app');
  const env = { ...process.env, NODE_ENV: 'production' };
  const { code, output } = await run(process.execPath, [vite, 'build', '--outDir', outDir, '--emptyOutDir', '--logLevel', 'warn'], {
    cwd: app,
    env,
  });
  if (code !== 0) throw new Error(`the wall did not build:\n${output}`);
}

/**
 * Builds when the sources differ from what dist/ was built of. `lenient` ignores type errors (development in a shared tree only).
 * @returns {Promise<boolean>} true when something was built
 */
export async function build({ wall = true, lenient = process.env.BUILD_LENIENT === 'true', force = false, say = () => {} } = {}) {
  if (!force && isCurrent(sourceStamp({ wall }))) return false;
  return withLock(join(ROOT, '.data', 'build.lock'), async () => {
    const stamp = sourceStamp({ wall });
    if (!force && isCurrent(stamp)) return false;
    sweepLeftovers();
    const next = join(ROOT, `dist.next-${process.pid}`);
    const old = join(ROOT, `dist.old-${process.pid}`);
    try {
      say('compiling');
      await compile(next, { lenient, say });
      copyAssets(next);
      if (wall) {
        say('building the wall');
        await buildWall(next);
      }
      writeFileSync(join(next, '.stamp'), stamp);
      if (existsSync(join(ROOT, 'dist'))) renameSync(join(ROOT, 'dist'), old);
      renameSync(next, join(ROOT, 'dist'));
    } finally {
      rmSync(next, { recursive: true, force: true });
      rmSync(old, { recursive: true, force: true });
    }
    return true;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const known = new Set(['--no-wall', '--lenient', '--force']);
  const unknown = process.argv.slice(2).find((arg) => !known.has(arg));
  if (unknown !== undefined) {
    process.stderr.write(`unknown option ${unknown}; known: ${[...known].join(' ')}\n`);
    process.exit(2);
  }
  const has = (name) => process.argv.includes(name);
  const began = process.hrtime.bigint();
  const say = (line) => process.stdout.write(`build: ${line}\n`);
  try {
    const built = await build({
      wall: !has('--no-wall'),
      lenient: has('--lenient') || process.env.BUILD_LENIENT === 'true',
      force: has('--force'),
      say,
    });
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    say(built ? `dist/ built in ${seconds.toFixed(1)} s` : 'nothing changed');
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exit(1);
  }
}
