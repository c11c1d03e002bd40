import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { type Figure, finish, type RunResult, table } from '../../../ops/report/index.ts';
import { runMutants } from './mutate.ts';
import { runPool } from './pool.ts';
import { createSums } from './sums.ts';
import { type Outcome, runWorldSoon, settingsOf } from './world.ts';

/**
 * `npm run sim -- --seeds N [--from S] [--json FILE]`: N worlds; right when none breaks an invariant and all had enough of everything.
 * `npm run sim -- --seed S [--trace]`: one world again, with every event. `--faults 'NAME|NAME'`: other worlds, with these faults alone. `npm run sim -- --mutants [--only TEXT|TEXT] [--unit]`: planted
 * faults, which worlds must find; with --unit: which the unit tests must not find.
 */
const USAGE =
  'usage: npm run sim -- (--seeds N [--from S] [--faults TEXT|TEXT] | --seed S [--trace] [--faults TEXT|TEXT] | --mutants [--only TEXT|TEXT] [--unit]) [--workers W] [--json FILE]';
const PROGRESS_MS = 3000;
/** a run of at least this many worlds is also judged by its speed */
const MEASURED = 1000;
const TIMES_REAL_TIME = 500;
const write = (text: string): void => void process.stdout.write(text);
const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));

function* range(from: number, count: number): Generator<number, void> {
  for (let seed = from; seed < from + count; seed++) yield seed;
}

function describe(outcome: Outcome, chosen: string | undefined): string {
  const faults = outcome.faults.map((fault) => `${(fault.at / 1000).toFixed(1)} s ${fault.name}`).join(', ');
  return [
    `seed ${outcome.seed} (replay: npm run sim -- --seed ${outcome.seed}${chosen === undefined ? '' : ` --faults '${chosen}'`} --trace)`,
    `  ${faults}`,
    ...outcome.violations.map((line) => `  ${line}`),
  ].join('\n');
}

async function runSeeds(from: number, count: number, workers: number, faults: string | undefined): Promise<RunResult> {
  const sums = createSums();
  const began = systemClock.monotonic();
  const seconds = (): number => (systemClock.monotonic() - began) / 1000;
  const speed = (): number => Math.round(sums.simulatedMs / 1000 / seconds());
  let saidAt = 0;
  let first: string | undefined;
  let cpuMs = 0;
  await runPool(systemClock, { workerFile: WORKER, workers, faults }, range(from, count), (outcome, tookMs) => {
    cpuMs += tookMs;
    if (outcome.seed === from) first = outcome.hash;
    sums.add(outcome);
    if (outcome.violations.length > 0 && sums.bad.length <= 10) write(`${describe(outcome, faults)}\n`);
    if (systemClock.monotonic() - saidAt > PROGRESS_MS) {
      saidAt = systemClock.monotonic();
      write(`[${sums.worlds}/${count}] ${sums.bad.length} bad, ${speed()}x real time\n`);
    }
    return true;
  });
  const ran = seconds();
  const timesRealTime = speed();
  // what else runs on the machine takes time from the workers, and is none of their doing
  const timesRealTimeByCpu = Math.round(sums.simulatedMs / (cpuMs / workers));
  const again = await runWorldSoon(from, settingsOf(faults));
  // chosen faults need not bring about everything
  const zeros = faults === undefined ? sums.zeros() : [];
  if (zeros.length > 0) write(`nothing proven: no ${zeros.join(', no ')}\n`);
  if (again.hash !== first) write(`seed ${from} gave another trace the second time: ${first} and ${again.hash}\n`);
  const fastEnough = count < MEASURED || Math.max(timesRealTime, timesRealTimeByCpu) >= TIMES_REAL_TIME;
  return {
    name: 'sim',
    ok: sums.bad.length === 0 && zeros.length === 0 && again.hash === first && fastEnough,
    figures: {
      ...sums.figures(),
      firstSeed: from,
      sameTraceTwice: again.hash === first,
      wallSeconds: Math.round(ran * 10) / 10,
      timesRealTime,
      timesRealTimeByCpu,
      cpuSeconds: Math.round(cpuMs / 1000),
      workers,
    },
    targets: {
      badWorlds: 0,
      fencedWrites: '> 0',
      unknowns: '> 0',
      takeovers: '> 0',
      losts: '> 0',
      refills: '> 0',
      sameTraceTwice: true,
      timesRealTimeByCpu: `>= ${TIMES_REAL_TIME}, the workers having a core each (runs of ${MEASURED} worlds and more)`,
    },
  };
}

async function runOne(seed: number, trace: boolean, faults: string | undefined): Promise<RunResult> {
  const outcome = await runWorldSoon(seed, settingsOf(faults), trace ? { trace: (line) => write(`${line}\n`) } : {});
  write(`${describe(outcome, faults)}\n`);
  const sums = createSums();
  sums.add(outcome);
  return {
    name: 'sim',
    ok: outcome.violations.length === 0,
    figures: { ...sums.figures(), hash: outcome.hash },
    targets: { badWorlds: 0 },
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false },
      mutants: { type: 'boolean', default: false },
      only: { type: 'string' },
      faults: { type: 'string' },
      unit: { type: 'boolean', default: false },
      workers: { type: 'string', default: String(availableParallelism()) },
      json: { type: 'string' },
    },
  });
  const whole = (name: 'seeds' | 'from' | 'seed' | 'workers', text: string, low: number): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < low) throw new Error(`--${name}: expected a whole number from ${low}, got "${text}"`);
    return value;
  };
  const workers = whole('workers', values.workers, 1);
  const from = whole('from', values.from, 0);
  let result: RunResult;
  if (values.mutants) result = await runMutants({ clock: systemClock, workers, only: values.only, unit: values.unit, write });
  else if (values.seed !== undefined) result = await runOne(whole('seed', values.seed, 0), values.trace, values.faults);
  else if (values.seeds !== undefined) result = await runSeeds(from, whole('seeds', values.seeds, 1), workers, values.faults);
  else throw new Error('say how many worlds, or which one');
  const rows: Figure[][] = Object.entries(result.figures).map(([name, value]) => [name, value, result.targets[name] ?? '']);
  write(`\n${table([['figure', 'value', 'target'], ...rows])}\n\n`);
  finish(result, { write, jsonFile: values.json });
}

try {
  await main();
} catch (error) {
  process.stderr.write(`sim: ${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
  process.exitCode = 2;
}
