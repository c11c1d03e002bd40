import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { page, type Written } from './page.ts';

/**
 * `npm run results [-- --folder docs/results]`: writes the pages from the JSON files of chaos, sim, fuzz and bench runs beside them. Nothing on a page
 * is written by hand; to bring a figure up to date, run its command with `--json docs/results/<file>` and this again.
 */
const PAGES = [
  {
    file: 'ownership.md',
    title: 'Ownership: results',
    intro: `Made by \`npm run results\` from the JSON files in this folder; not written by hand. What is promised, and what is not, is in
[ownership.md](../ownership.md); what each column means is in
[actors/testing/README.md](../../actors/testing/README.md). Times are in ms where no unit is given. Everything ran on one machine together, the load and the
phones too.`,
    runs: [
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
    ],
  },
  {
    file: 'gateway.md',
    title: 'Gateway: results',
    intro: `Made by \`npm run results\` from the JSON files in this folder; not written by hand. What each bench does, and what it does not measure, stands at the head of
its file in [loadtest/bench](../../loadtest/README.md); why a frame costs what it costs is in [decision 6](../decisions/0006-own-subscription-protocol.md).
Everything ran on one machine together: servers, peers, readers, Redis and Postgres.`,
    runs: ['bench-fanout', 'bench-connections', 'bench-live', 'bench-resume', 'bench-queries', 'bench-link', 'chaos-gateway', 'fuzz'],
  },
  {
    file: 'whatsapp.md',
    title: 'WhatsApp devices: results',
    intro: `Made by \`npm run results\` from the JSON files in this folder; not written by hand. SIMULATED: nothing here has spoken to WhatsApp. Real Baileys devices, real Redis
and Postgres (with fsync), and a WhatsApp-shaped server of our own on loopback (real Noise handshake, real Signal sessions) with programs in the place of phones, all on one
machine together. What each run does stands at the head of its file: [the acceptance](../../actors/testing/demo/whatsapp-pairing.ts),
[the bench of sessions](../../loadtest/bench/sessions/index.ts). Times are without a network and without people.`,
    runs: ['demo-whatsapp', 'demo-whatsapp-doubled', 'bench-sessions'],
  },
] as const;

const at = process.argv.indexOf('--folder');
const folder = resolve(at === -1 ? join('docs', 'results') : (process.argv[at + 1] ?? ''));
const known: readonly string[] = PAGES.flatMap(({ runs }) => runs.map((run) => `${run}.json`));
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
const unknown = files.filter((name) => !known.includes(name));
if (unknown.length === files.length) {
  process.stderr.write(`results: no runs in ${folder}; expected some of ${known.join(', ')}\n`);
  process.exitCode = 2;
} else {
  if (unknown.length > 0) process.stdout.write(`on no page: ${unknown.join(', ')}\n`);
  for (const { file, title, intro, runs } of PAGES) {
    const written = runs
      .map((run) => join(folder, `${run}.json`))
      .filter((path) => existsSync(path))
      .map((path) => JSON.parse(readFileSync(path, 'utf8')) as Written);
    if (written.length === 0) continue;
    writeFileSync(join(folder, file), page(title, intro, written));
    process.stdout.write(`${join(folder, file)}: ${written.length} runs\n`);
  }
}
