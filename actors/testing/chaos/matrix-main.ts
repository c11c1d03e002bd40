import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock, systemDice } from '../../../ops/lifecycle/index.ts';
import { finish, table } from '../../../ops/report/index.ts';
import { allFaults, type Fault, type Ground, soak } from './faults/index.ts';
import { type Part, type Played, playGround } from './matrix.ts';
import { HEAD, type MatrixOutcome, matrixResult, type NotRun, plantedResult, sums, wrongs } from './matrix-report.ts';
import { makeTestBuild, PLANTS } from './plants.ts';

/** `npm run chaos -- <fault|all|soak> [--runs N] [--minutes N] [--seed S] [--devices N] [--rate N] [--json FILE] [--keep]`. */
export const MATRIX_USAGE = `       npm run chaos -- <fault,...|all|soak> [--runs N] [--minutes N] [--seed S] [--devices N] [--rate N] [--plant ${Object.keys(PLANTS).join('|')}] [--json FILE] [--keep]
       faults: ${allFaults()
         .map(({ name }) => name)
         .join(', ')}`;

const write = (text: string): void => void process.stdout.write(text);

interface MatrixSettings {
  readonly wanted: string;
  readonly faults: readonly Fault[];
  readonly runs: number;
  readonly seed: number;
  readonly devices: number;
  readonly rate: number;
  /** a test build without something: right when the judge sees it */
  readonly plant: string | undefined;
  readonly json: string | undefined;
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
      plant: { type: 'string' },
      json: { type: 'string' },
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
  if (values.plant !== undefined && PLANTS[values.plant] === undefined)
    throw new Error(`--plant: expected one of ${Object.keys(PLANTS).join(', ')}`);
  const every = allFaults();
  const known = [...every, soak(whole('minutes', 30, 1, 10_000))];
  // `all` is the matrix; the soak takes its own time
  const faults = wanted === 'all' ? every : known.filter(({ name }) => names.includes(name));
  if (positionals.length !== 1 || faults.length === 0 || (wanted !== 'all' && faults.length !== names.length))
    throw new Error(`unknown fault "${positionals.join(' ')}"`);
  return {
    wanted,
    faults,
    runs: whole('runs', 1, 1, 10_000),
    seed: whole('seed', Math.floor(systemDice.next() * 1_000_000), 0, 0xffffffff),
    devices: whole('devices', 3000, 6, 3000),
    rate: whole('rate', 500, 10, 5000),
    plant: values.plant,
    json: values.json,
    keep: values.keep,
  };
}

/** Strikes that a fault still owes. */
interface Owed {
  readonly fault: Fault;
  left: number;
  /** stacks on which it broke off */
  broke: number;
}

/** What the next stack of this ground plays. */
const partsOf = (owed: readonly Owed[]): Part[] =>
  owed.filter(({ left }) => left > 0).map(({ fault, left }) => ({ fault, strikes: Math.min(left, fault.strikes ?? 1) }));

function tell(one: Played, say: (line: string) => void): void {
  for (const example of one.verdict.examples) say(example);
  if (Object.keys(one.figures).length > 0) say(`${one.fault}: ${JSON.stringify(one.figures)}`);
  if (one.backs.length > 1)
    say(`${one.fault}: full rate again after ${one.backs.map((ms) => (ms === null ? 'never' : Math.round(ms))).join(', ')} ms`);
  const wrong = wrongs(one);
  say(`${one.fault}: ${wrong.length === 0 ? 'right' : `WRONG: ${wrong.join(', ')}`}`);
}

const BROKEN_STACKS = 2;

async function playAll(settings: MatrixSettings, distDir: string, home: string): Promise<MatrixOutcome> {
  const played: Played[] = [];
  const notRun: NotRun[] = [];
  const broken: string[] = [];
  const across: string[] = [];
  const began = systemClock.monotonic();
  const { devices, rate: perSecond, keep, runs } = settings;
  let stacks = 0;
  for (const ground of new Set(settings.faults.map((fault) => fault.ground))) {
    const owed: Owed[] = settings.faults
      .filter((fault) => fault.ground === ground)
      .map((fault) => ({ fault, left: Math.min(Math.max(runs, fault.atLeast ?? 1), fault.atMost ?? Number.POSITIVE_INFINITY), broke: 0 }));
    const say = (line: string): void => write(`[${ground.name} ${Math.round((systemClock.monotonic() - began) / 1000)} s] ${line}\n`);
    const why = await ground.missing?.();
    if (why !== undefined) {
      for (const { fault } of owed) notRun.push({ fault: fault.name, why });
      say(`NOT RUN: ${why}`);
      continue;
    }
    const build = buildFor(ground, settings.plant, distDir, home);
    for (let parts = partsOf(owed), failures = 0; parts.length > 0 && failures < BROKEN_STACKS; parts = partsOf(owed)) {
      const seed = settings.seed + stacks++;
      try {
        const stack = await playGround(systemClock, ground, parts, { distDir: build, devices, perSecond, seed, keep, say });
        for (const one of stack.played) {
          played.push(one);
          const debt = owed.find(({ fault }) => fault.name === one.fault);
          if (debt !== undefined) debt.left -= Math.max(1, one.runs);
          tell(one, say);
        }
        if (stack.played.length > 0) write(`${table([HEAD, ...sums(stack.played, [])])}\n`);
        for (const [figure, count] of Object.entries(stack.across)) across.push(`${ground.name}, seed ${seed}: ${figure} ${count}`);
        const { broken: off } = stack;
        if (off !== undefined) {
          broken.push(`${off.fault}: ${off.why}`);
          say(`BROKE OFF: ${broken.at(-1)}`);
          const debt = owed.find(({ fault }) => fault.name === off.fault);
          if (debt !== undefined && ++debt.broke >= BROKEN_STACKS) debt.left = 0;
        }
        if (stack.folder !== undefined) say(`kept in ${stack.folder}`);
      } catch (error) {
        failures += 1;
        const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
        broken.push(`${ground.name}: ${error instanceof Error ? error.message : String(error)}${cause}`);
        say(`BROKE OFF: ${broken.at(-1)}`);
      }
    }
  }
  return { played, notRun, broken, across, stacks };
}

function buildFor(ground: Ground, plant: string | undefined, distDir: string, home: string): string {
  const swaps = [...(ground.swaps ?? []), ...(PLANTS[plant ?? ''] ?? [])];
  return swaps.length === 0 ? distDir : makeTestBuild(distDir, join(home, ground.name.replaceAll(' ', '-')), swaps);
}

/** @throws Error on wrong arguments */
export async function runMatrix(args: readonly string[], distDir: string): Promise<void> {
  const settings = settingsFrom(args);
  const home = mkdtempSync(join(tmpdir(), 'flotilla-build-'));
  try {
    const began = systemClock.monotonic();
    const outcome = await playAll(settings, distDir, home);
    const { runs, seed, devices, rate } = settings;
    const minutes = Math.round((systemClock.monotonic() - began) / 6000) / 10;
    const told = { wantedRuns: runs, seed, devices, rate, minutes };
    const { plant } = settings;
    const result =
      plant === undefined ? matrixResult(settings.wanted, outcome, told) : plantedResult(settings.wanted, plant, outcome, told);
    write(`\n${table([HEAD, ...sums(outcome.played, outcome.notRun)])}\n\n`);
    for (const line of [...outcome.broken, ...outcome.across]) write(`${line}\n`);
    if (settings.json !== undefined) mkdirSync(dirname(settings.json), { recursive: true });
    const notes = Object.fromEntries(settings.faults.map(({ name, what, case: number }) => [name, `${what} (${number})`]));
    finish({ ...result, notes, command: `npm run chaos -- ${args.join(' ')}` }, { write, jsonFile: settings.json });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
