// `npm test`: everything that says whether this checkout is sound, from a bare clone. Runs the steps in order, goes on after a failure so
// that one run tells all, ends with one plain line `N passed, N failed`. `--only verify`: format, lint, types, tidy, unit.
// A part of the machine that is missing (a browser, k6) skips its step with a line that says how to get it; with CI=true it is a failure.
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './build.mjs';
import { orExplain, prepare, Unready } from './prepare.mjs';

const CI = process.env.CI === 'true' || process.env.CI === '1';
const bin = (...parts) => join(ROOT, 'node_modules', ...parts);
const say = (text) => process.stdout.write(`${text}\n`);
const results = [];

function onPath(names) {
  for (const name of names) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        if (folder !== '') return join(folder, name);
      } catch {
        // not here
      }
    }
  }
  return undefined;
}

/** Runs a command with the terminal as its own; resolves its exit code. */
function show(command, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } });
    const pass = (signal) => child.kill(signal);
    for (const signal of ['SIGTERM', 'SIGHUP']) process.once(signal, pass);
    child.once('error', (error) => {
      say(error.message);
      resolve(127);
    });
    child.once('close', (code, signal) => {
      for (const name of ['SIGTERM', 'SIGHUP']) process.off(name, pass);
      resolve(signal ? 1 : (code ?? 1));
    });
  });
}

async function step(name, task) {
  say(`\n── ${name}`);
  const began = performance.now();
  const outcome = await task().catch((error) => {
    say(error instanceof Unready ? error.message : (error?.stack ?? String(error)));
    return { passed: 0, failed: 1 };
  });
  results.push({ name, passed: 0, failed: 0, skipped: 0, note: '', ...outcome, seconds: (performance.now() - began) / 1000 });
  return outcome.failed === 0;
}

const single = (code) => (code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });

/** One vitest run; counts come from its JSON report. A run without a report, or one that failed outside of a test, is a failure. */
async function vitest(name, args) {
  const report = join(ROOT, '.data', 'test', `${name}-${process.pid}.json`);
  mkdirSync(join(ROOT, '.data', 'test'), { recursive: true });
  const code = await show(process.execPath, [
    bin('vitest', 'vitest.mjs'),
    'run',
    ...args,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  if (!existsSync(report)) return { passed: 0, failed: 1, note: 'vitest ended without a report' };
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, numFailedTestSuites } = JSON.parse(readFileSync(report, 'utf8'));
  rmSync(report, { force: true });
  const skipped = numPendingTests + numTodoTests;
  let failed = numFailedTests;
  let note = '';
  if (failed === 0 && (code !== 0 || numFailedTestSuites > 0)) {
    failed = Math.max(1, numFailedTestSuites);
    note = 'failed outside of a test';
  }
  if (CI && skipped > 0) {
    failed += skipped;
    note = 'skipped tests are failures in CI';
  }
  return { passed: numPassedTests, failed, skipped, note };
}

/** Says what is missing: a failure in CI, else a skip. */
function missing(what, how) {
  say(`${CI ? 'FAILED' : 'skipped'}: ${what} is not on this machine. ${how}`);
  return CI ? { passed: 0, failed: 1, note: `no ${what}` } : { passed: 0, failed: 0, skipped: 1, note: `no ${what}` };
}

async function verify() {
  const biome = bin('@biomejs', 'biome', 'bin', 'biome');
  await step('format', async () => single(await show(process.execPath, [biome, 'format', '.'])));
  await step('lint', async () => single(await show(process.execPath, [biome, 'check', '--formatter-enabled=false', '.'])));
  await step('types', async () =>
    single(await show(process.execPath, [bin('typescript', 'bin', 'tsc'), '-p', 'tsconfig.json', '--noEmit'])),
  );
  await step('tidy', () => vitest('tidy', ['--project', 'tidy']));
  await step('unit', () => vitest('unit', ['--project', 'unit']));
}

async function findServers() {
  const { findRedis } = await import(pathToFileURL(join(ROOT, 'dist', 'ops', 'start', 'index.js')).href);
  const redis = await findRedis(process.env, join(ROOT, '.data'), say);
  process.env.REDIS_SERVER = redis;
  say(`Redis: ${redis}`);
  const browser = process.env.CHROMIUM || onPath(['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']);
  if (browser !== undefined) process.env.CHROMIUM = browser;
  say(`Postgres: ${process.env.TEST_POSTGRES_URL ? 'TEST_POSTGRES_URL' : 'embedded'}`);
  return browser === undefined
    ? missing('Chromium', 'The browser test needs it: sudo apt-get install chromium, or set CHROMIUM to one.')
    : { passed: 1, failed: 0 };
}

async function loadSmoke() {
  const entry = join(ROOT, 'dist', 'loadtest', 'main.js');
  if (!existsSync(entry)) return { passed: 0, failed: 0, note: 'not in this tree' };
  if (onPath(['k6', 'go']) === undefined) return missing('k6', 'Install k6 2.x or Go 1.24 or newer (k6 is then built once).');
  return single(await show(process.execPath, [entry, 'smoke']));
}

function summary() {
  say('\n── summary');
  for (const { name, passed, failed, skipped, note, seconds } of results) {
    const parts = [`${passed} passed`, ...(failed > 0 ? [`${failed} FAILED`] : []), ...(skipped > 0 ? [`${skipped} skipped`] : [])];
    say(`${failed > 0 ? '✗' : '✓'} ${name.padEnd(12)} ${parts.join(', ').padEnd(34)} ${seconds.toFixed(1).padStart(6)} s  ${note}`);
  }
  const total = (key) => results.reduce((sum, result) => sum + result[key], 0);
  say(`\n${total('passed')} passed, ${total('failed')} failed`);
  return total('failed') === 0 && total('passed') > 0 ? 0 : 1;
}

await orExplain(async () => {
  const args = process.argv.slice(2);
  const only = args[0] === '--only' ? args[1] : undefined;
  if (args.length > 0 && (only !== 'verify' || args.length > 2)) {
    process.stderr.write(`unknown option ${args.join(' ')}; known: --only verify\n`);
    process.exit(2);
  }
  delete process.env.NODE_ENV;
  await prepare({ say, withBuild: false });
  await verify();
  if (only === undefined) {
    const ready =
      (await step('build', async () => {
        await prepare({ say });
        return { passed: 1, failed: 0 };
      })) && (await step('machine', findServers));
    if (existsSync(join(ROOT, 'dist', 'ops', 'start', 'index.js')))
      await step('integration', () => vitest('integration', ['--project', 'integration']));
    if (ready) await step('k6 smoke', loadSmoke);
  }
  process.exit(summary());
});
