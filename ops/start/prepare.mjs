// Makes a bare clone ready to run: checks Node, installs the packages, builds. Plain JavaScript without packages, because it runs before
// there are any. Every step is skipped when nothing has changed since the last time.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, endRunning, ROOT, run } from './build.mjs';
import { withLock } from './lock.mjs';

const LEAST_NODE = [20, 19];
const OFFLINE = /ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|ERR_SOCKET_TIMEOUT/;

/** A problem that a person can mend: shown without a stack. */
export class Unready extends Error {}

function checkMachine() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < LEAST_NODE[0] || (major === LEAST_NODE[0] && minor < LEAST_NODE[1])) {
    throw new Unready(`Node ${LEAST_NODE.join('.')} or newer is needed; this is ${process.versions.node} (${process.execPath})`);
  }
  const known = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);
  if (!known && (!process.env.DATABASE_URL || !process.env.REDIS_URL)) {
    throw new Unready(
      `on ${process.platform}-${process.arch} no database servers come with Flotilla: run Postgres and Redis and set DATABASE_URL and REDIS_URL`,
    );
  }
}

const stampFile = () => join(ROOT, 'node_modules', '.flotilla-stamp');

function installStamp() {
  const hash = createHash('sha256').update(readFileSync(join(ROOT, 'package-lock.json')));
  return hash.update(`${process.versions.modules} ${process.platform} ${process.arch}`).digest('hex');
}

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** True when what stands in node_modules is what the lock file says: somebody installed it by hand, nothing is to be done. */
function installedMatchesLock() {
  try {
    const wanted = readJson(join(ROOT, 'package-lock.json')).packages;
    const there = readJson(join(ROOT, 'node_modules', '.package-lock.json')).packages;
    return Object.entries(wanted).every(([path, entry]) => {
      if (path === '' || (entry.optional && there[path] === undefined)) return true;
      return there[path]?.version === entry.version && existsSync(join(ROOT, path));
    });
  } catch {
    return false;
  }
}

/** Another ABI in the stamp: packages with compiled parts were installed for another Node. */
function isInstalled() {
  if (!existsSync(stampFile())) return installedMatchesLock();
  if (readFileSync(stampFile(), 'utf8') === `${installStamp()} ${process.versions.modules}`) return true;
  const sameAbi = readFileSync(stampFile(), 'utf8').endsWith(` ${process.versions.modules}`);
  return sameAbi && installedMatchesLock();
}

const markInstalled = () => writeFileSync(stampFile(), `${installStamp()} ${process.versions.modules}`);

/** npm's first words say the cause, its last only where the log is. */
function explain(output) {
  const words = output
    .trim()
    .split('\n')
    .filter((line) => line !== '' && !/^npm error\s+at /.test(line));
  const head = words.slice(0, 8).join('\n');
  if (!OFFLINE.test(output)) return `${head}\nnpm ci failed`;
  return `${head}\nthe packages could not be fetched: the npm registry was not reached.\nConnect this machine (or set npm's registry or proxy), then run the same command again.`;
}

async function install(say) {
  if (isInstalled()) {
    markInstalled();
    return;
  }
  await withLock(join(ROOT, '.data', 'install.lock'), async () => {
    if (isInstalled()) return markInstalled();
    const began = performance.now();
    const seconds = () => Math.round((performance.now() - began) / 1000);
    say('installing packages (npm ci, once; about half a minute)');
    const ticking = setInterval(() => say(`still installing packages (${seconds()} s)`), 10_000);
    const env = { ...process.env };
    for (const name of Object.keys(env)) if (/^(NODE_ENV|npm_config_(production|omit|only))$/i.test(name)) delete env[name];
    const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
    const flags = ['ci', '--include=dev', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
    const { code, output } = await run(npm[0], [...npm.slice(1), ...flags], { env }).finally(() => clearInterval(ticking));
    if (code !== 0) {
      rmSync(stampFile(), { force: true });
      throw new Unready(code === 127 ? 'npm was not found on PATH' : explain(output));
    }
    markInstalled();
    say(`packages installed in ${seconds()} s`);
  });
}

/**
 * Brings the checkout to a state in which dist/ can be run.
 * @throws Unready with words for the person at the terminal
 */
export async function prepare({ say = () => {}, wall = true, withBuild = true } = {}) {
  const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };
  const handlers = Object.entries(signals).map(([signal, code]) => [
    signal,
    () => {
      endRunning();
      for (const name of ['build.lock', 'install.lock']) dropOwnLock(join(ROOT, '.data', name));
      process.exit(code);
    },
  ]);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  try {
    process.chdir(ROOT);
    checkMachine();
    await install(say);
    if (!withBuild) return;
    const began = performance.now();
    const built = await build({ wall, say }).catch((error) => {
      throw new Unready(error instanceof Error ? error.message : String(error));
    });
    if (built) say(`built in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}

function dropOwnLock(path) {
  try {
    if (Number(readFileSync(path, 'utf8').split(' ')[0]) === process.pid) rmSync(path, { force: true });
  } catch {
    // no lock held
  }
}

/** Runs a command's main task; a problem a person can mend is shown as plain words. */
export async function orExplain(task) {
  try {
    await task();
  } catch (error) {
    process.stderr.write(`${error instanceof Unready ? error.message : error instanceof Error ? (error.stack ?? error.message) : error}\n`);
    process.exit(1);
  }
}
