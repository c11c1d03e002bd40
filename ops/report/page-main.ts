import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { page, type Written } from './page.ts';

/**
 * `npm run results [-- --folder docs/results]`: writes ownership.md from the JSON files of chaos, sim and bench runs beside it. Nothing on the page
 * is written by hand; to bring a figure up to date, run its command with `--json docs/results/<file>` and this again.
 */
const RUNS = [
  'chaos-all',
  'chaos-kill',
  'chaos-pause',
  'chaos-soak',
  'chaos-peers',
  'chaos-smoke',
  'chaos-no-fence',
  'chaos-pause-no-fence',
  'sim',
  'sim-mutants',
  'bench-ownership',
] as const;
const INTRO = `Made by \`npm run results\` from the JSON files in this folder; not written by hand. What is promised, and what is not, is in
[ownership.md](../ownership.md); what each column means is in
[actors/testing/README.md](../../actors/testing/README.md). Times are in ms where no unit is given. Everything ran on one machine together, the load and the
phones too.`;

const at = process.argv.indexOf('--folder');
const folder = resolve(at === -1 ? join('docs', 'results') : (process.argv[at + 1] ?? ''));
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
const unknown = files.filter((name) => !RUNS.some((run) => name === `${run}.json`));
const runs = RUNS.map((run) => join(folder, `${run}.json`))
  .filter((path) => existsSync(path))
  .map((path) => JSON.parse(readFileSync(path, 'utf8')) as Written);
if (runs.length === 0) {
  process.stderr.write(`results: no runs in ${folder}; expected some of ${RUNS.map((run) => `${run}.json`).join(', ')}\n`);
  process.exitCode = 2;
} else {
  writeFileSync(join(folder, 'ownership.md'), page('Ownership: results', INTRO, runs));
  process.stdout.write(
    `${join(folder, 'ownership.md')}: ${runs.length} runs${unknown.length === 0 ? '' : `; not on the page: ${unknown.join(', ')}`}\n`,
  );
}
