import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { RunResult } from '../../../ops/report/index.ts';
import { makeTestBuild } from '../chaos/plants.ts';
import { MUTANTS, type Mutant, type Seeds } from './mutants.ts';
import { runPool } from './pool.ts';
import { runUnitTests } from './unit-tests.ts';

/** Plants each fault in a copy of the build and runs worlds of it until one goes wrong. */
export interface MutantsRun {
  readonly clock: Clock;
  readonly workers: number;
  /** only those whose name has one of these texts in it, separated by | */
  readonly only: string | undefined;
  /** run the unit tests against each instead of worlds */
  readonly unit: boolean;
  write(text: string): void;
}

/** Longest search for one fault, worlds. */
const MOST_WORLDS = 1000;
/** All of them. */
const TARGET_SECONDS = 600;

interface Found {
  readonly seed: number;
  readonly worlds: number;
  readonly violation: string;
}
interface Search {
  readonly found: Found | undefined;
  readonly worlds: number;
  readonly cpuMs: number;
}

function* upwards({ first, every }: Seeds): Generator<number, void> {
  for (let world = 0; world < MOST_WORLDS; world++) yield first + world * every;
}

async function find(run: MutantsRun, mutant: Mutant, distDir: string, home: string): Promise<Search> {
  const build = makeTestBuild(distDir, home, [mutant]);
  let worlds = 0;
  let cpuMs = 0;
  let found: Found | undefined;
  await runPool(
    run.clock,
    { workerFile: join(build, 'actors', 'testing', 'sim', 'worker.js'), workers: run.workers, faults: mutant.seeds.faults },
    upwards(mutant.seeds),
    (outcome, tookMs) => {
      worlds += 1;
      cpuMs += tookMs;
      if (outcome.violations.length === 0) return true;
      found ??= { seed: outcome.seed, worlds, violation: outcome.violations[0] ?? '' };
      return false;
    },
  );
  return { found, worlds, cpuMs };
}

export async function runMutants(run: MutantsRun): Promise<RunResult> {
  const distDir = fileURLToPath(new URL('../../../', import.meta.url)).replace(/\/$/, '');
  const wanted = run.only?.split('|');
  const chosen = MUTANTS.filter((mutant) => wanted === undefined || wanted.some((text) => mutant.name.includes(text)));
  if (run.unit) return runUnitTests({ clock: run.clock, distDir, mutants: chosen, write: run.write });
  const began = run.clock.monotonic();
  const missed: string[] = [];
  let most = 0;
  let worlds = 0;
  let cpuMs = 0;
  for (const mutant of chosen) {
    const home = mkdtempSync(join(tmpdir(), 'flotilla-mutant-'));
    const from = run.clock.monotonic();
    try {
      const { found, worlds: tried, cpuMs: took } = await find(run, mutant, distDir, home);
      worlds += tried;
      cpuMs += took;
      const seconds = ((run.clock.monotonic() - from) / 1000).toFixed(1);
      if (found === undefined) missed.push(mutant.name);
      else most = Math.max(most, found.worlds);
      const words =
        found === undefined ? 'NOT FOUND' : `found by seed ${found.seed} after ${found.worlds} worlds: ${found.violation.slice(0, 110)}`;
      run.write(`[${seconds.padStart(5)} s] ${mutant.name} (${mutant.breaks}): ${words}\n`);
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  }
  const seconds = Math.round((run.clock.monotonic() - began) / 1000);
  // what else runs on the machine takes time from the workers, and is none of their doing
  const byCpu = Math.round(cpuMs / 1000 / run.workers);
  return {
    name: 'sim-mutants',
    ok: missed.length === 0 && chosen.length > 0 && (run.only !== undefined || Math.min(seconds, byCpu) <= TARGET_SECONDS),
    figures: {
      planted: chosen.length,
      found: chosen.length - missed.length,
      missed: missed.join('; '),
      mostWorlds: most,
      worlds,
      wallSeconds: seconds,
      secondsByCpu: byCpu,
      workers: run.workers,
    },
    targets: { found: `all, at least 20`, secondsByCpu: `<= ${TARGET_SECONDS}, the workers having a core each` },
  };
}
