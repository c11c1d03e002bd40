import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock, systemDice } from '../../../ops/lifecycle/index.ts';
import { finish, machine, table } from '../../../ops/report/index.ts';
import { FAULTS, type Fault, soak } from './faults/index.ts';
import { type Played, playFault } from './matrix.ts';
import { HEAD, markdown, matrixResult, type NotRun, rowOf, sums, wrongs } from './matrix-report.ts';
import { makeTestBuild } from './plants.ts';

/** `npm run chaos -- <fault|all|soak> [--runs N] [--minutes N] [--seed S] [--devices N] [--rate N] [--json FILE] [--page FOLDER] [--keep]`. */
export const MATRIX_USAGE = `       npm run chaos -- <fault|all|soak> [--runs N] [--minutes N] [--seed S] [--devices N] [--rate N] [--json FILE] [--page FOLDER] [--keep]
       faults: ${FAULTS.map(({ name }) => name).join(', ')}`;

const write = (text: string): void => void process.stdout.write(text);

interface MatrixSettings {
  readonly wanted: string;
  readonly faults: readonly Fault[];
  readonly runs: number;
  readonly seed: number;
  readonly devices: number;
  readonly rate: number;
  readonly json: string | undefined;
  readonly page: string | undefined;
  readonly keep: boolean;
}

function settingsFrom(args: readonly string[]): MatrixSettings {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      runs: { type: 'string' },
      seed: { type: 'string' },
      devices: { type: 'string' },
      rate: { type: 'string' },
      minutes: { type: 'string' },
      json: { type: 'string' },
      page: { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  });
  const [wanted = ''] = positionals;
  const names = wanted.split(',');
  const whole = (name: 'runs' | 'seed' | 'devices' | 'rate' | 'minutes', fallback: number, low: number, high: number): number => {
    const value = values[name] === undefined ? fallback : Number(values[name]);
    if (!Number.isInteger(value) || value < low || value > high)
      throw new Error(`--${name}: expected a whole number from ${low} to ${high}`);
    return value;
  };
  const known = [...FAULTS, soak(whole('minutes', 30, 1, 10_000))];
  // `all` is the matrix; the soak takes its own time
  const faults = wanted === 'all' ? FAULTS : known.filter(({ name }) => names.includes(name));
  if (positionals.length !== 1 || faults.length === 0 || (wanted !== 'all' && faults.length !== names.length))
    throw new Error(`unknown fault "${positionals.join(' ')}"`);
  return {
    wanted,
    faults,
    runs: whole('runs', 1, 1, 10_000),
    seed: whole('seed', Math.floor(systemDice.next() * 1_000_000), 0, 0xffffffff),
    devices: whole('devices', 300, 6, 3000),
    rate: whole('rate', 300, 10, 5000),
    json: values.json,
    page: values.page,
    keep: values.keep,
  };
}

/** The page of results: made from this run alone. */
function writePage(folder: string, settings: MatrixSettings, rows: ReturnType<typeof sums>, result: ReturnType<typeof matrixResult>): void {
  mkdirSync(folder, { recursive: true });
  const place = machine();
  const text = `# Chaos

Made by \`npm run chaos -- ${settings.wanted} --runs ${settings.runs} --seed ${settings.seed} --page docs/results\`; not written by hand.
Machine: ${place['cpu']}, ${place['cores']} cores, ${place['memoryGb']} GB, Node ${place['node']}; everything on it, other work too.
3 nodes, 2 gateways, ${settings.devices} devices, ${settings.rate} messages/s. What each column means: actors/testing/README.md.

${markdown(rows)}

${settings.faults.map(({ name, what }) => `- \`${name}\`: ${what}`).join('\n')}
`;
  writeFileSync(join(folder, 'chaos.md'), text);
  writeFileSync(join(folder, 'chaos.json'), `${JSON.stringify({ ...result, head: HEAD, rows, machine: place }, null, 2)}\n`);
}

async function playAll(settings: MatrixSettings, distDir: string, home: string) {
  const played: Played[] = [];
  const notRun: NotRun[] = [];
  const broken: string[] = [];
  let stacks = 0;
  for (const fault of settings.faults) {
    const why = await fault.missing?.();
    if (why !== undefined) {
      notRun.push({ fault: fault.name, why });
      write(`${fault.name}: NOT RUN: ${why}\n`);
      continue;
    }
    const swaps = fault.needs?.swaps ?? [];
    const build = swaps.length === 0 ? distDir : makeTestBuild(distDir, join(home, fault.name), swaps);
    for (let left = settings.runs, failed = 0; left > 0 && failed < 3; ) {
      const seed = settings.seed + stacks++;
      const began = systemClock.monotonic();
      const say = (line: string): void =>
        write(`[${fault.name}, ${left} to go, ${Math.round((systemClock.monotonic() - began) / 1000)} s] ${line}\n`);
      const { devices, rate: perSecond, keep } = settings;
      const strikes = Math.min(left, fault.strikes ?? 1);
      try {
        const one = await playFault(systemClock, fault, { distDir: build, devices, perSecond, seed, strikes, keep, say });
        played.push(one);
        left -= Math.max(1, one.runs);
        for (const example of one.verdict.examples) say(example);
        if (one.folder !== undefined) say(`kept in ${one.folder}`);
        if (Object.keys(one.figures).length > 0) say(JSON.stringify(one.figures));
        write(`${table([HEAD, rowOf([one])])}\n`);
        const wrong = wrongs(one);
        say(wrong.length === 0 ? 'right' : `WRONG: ${wrong.join(', ')}`);
      } catch (error) {
        failed += 1;
        const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
        broken.push(`${fault.name}: ${error instanceof Error ? error.message : String(error)}${cause}`);
        say(`BROKE OFF: ${broken.at(-1)}`);
      }
    }
  }
  return { played, notRun, broken };
}

/** @throws Error on wrong arguments */
export async function runMatrix(args: readonly string[], distDir: string): Promise<void> {
  const settings = settingsFrom(args);
  const home = mkdtempSync(join(tmpdir(), 'flotilla-build-'));
  try {
    const { played, notRun, broken } = await playAll(settings, distDir, home);
    const rows = sums(played, notRun);
    write(`\n${table([HEAD, ...rows])}\n\n`);
    const { runs, seed, devices, rate } = settings;
    const result = matrixResult(settings.wanted, played, notRun, broken, { wantedRuns: runs, seed, devices, rate });
    if (settings.page !== undefined) writePage(settings.page, settings, rows, result);
    if (settings.json !== undefined) mkdirSync(dirname(settings.json), { recursive: true });
    finish(result, { write, jsonFile: settings.json });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
