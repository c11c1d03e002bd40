import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { RunResult } from '../../../ops/report/index.ts';
import { makeTestBuild, type Swap } from '../chaos/plants.ts';
import type { Mutant } from './mutants.ts';

/**
 * The unit tests of the runtime against planted faults: says whether the simulation finds what they cannot. Each test file runs as it is, but
 * whatever it imports comes from a copy of the build in which the fault is planted.
 */
export interface UnitRun {
  readonly clock: Clock;
  readonly distDir: string;
  readonly mutants: readonly Mutant[];
  write(text: string): void;
}

/** Whose unit tests run what a node runs. The simulation's own small worlds are not among them. */
const FOLDERS = 'breaker,device,lease,live,mailbox,node,pacing,placement,retry';

/** Without it these tests could be running against the sources, and would pass whatever is planted. */
const CONTROL: Swap = {
  name: 'the deadline of a lease is not looked at',
  in: (path) => path === 'actors/lease/deadline.js',
  from: /return now < deadline - marginMs;/,
  to: 'return true;',
  atLeast: 1,
};

const configOf = (top: string, build: string): string => `
import { existsSync } from 'node:fs';
import { relative } from 'node:path';
const [top, build] = ${JSON.stringify([`${top}/`, build])};
const planted = {
  name: 'planted',
  enforce: 'pre',
  async resolveId(source, importer, options) {
    if (importer === undefined || importer.startsWith(build)) return null;
    const found = await this.resolve(source, importer, { ...options, skipSelf: true });
    const file = found?.id.split('?')[0] ?? '';
    if (!file.startsWith(top) || file.includes('/node_modules/') || !file.endsWith('.ts')) return null;
    const built = build + '/' + relative(top, file).replace(/\\.ts$/, '.js');
    return existsSync(built) ? built : null;
  },
};
export default {
  root: top,
  plugins: [planted],
  test: { pool: 'forks', maxWorkers: 2, testTimeout: 60000, include: ['actors/{${FOLDERS}}/**/*.test.ts'], exclude: ['**/node_modules/**'] },
};
`;

/** true = they passed */
function runTests(top: string, home: string, build: string): Promise<boolean> {
  const config = join(home, 'vitest.config.mjs');
  writeFileSync(config, configOf(top, build));
  return new Promise((resolve) => {
    const vitest = join(top, 'node_modules', 'vitest', 'vitest.mjs');
    const child = spawn(process.execPath, [vitest, 'run', '--config', config, '--bail', '1'], { cwd: top, stdio: 'ignore' });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

export async function runUnitTests(run: UnitRun): Promise<RunResult> {
  const top = dirname(run.distDir);
  const began = run.clock.monotonic();
  const passes = async (swaps: readonly Swap[]): Promise<boolean> => {
    const home = mkdtempSync(join(tmpdir(), 'flotilla-mutant-'));
    try {
      return await runTests(top, home, makeTestBuild(run.distDir, home, swaps));
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  };
  const unplanted = await passes([]);
  run.write(`without a fault: ${unplanted ? 'pass' : 'FAIL'}\n`);
  const controlFound = unplanted && !(await passes([CONTROL]));
  run.write(`${CONTROL.name} (control): ${controlFound ? 'found, as it must be' : 'NOT FOUND, so nothing here is proven'}\n`);
  const found: string[] = [];
  if (unplanted && controlFound) {
    for (const mutant of run.mutants) {
      const passed = await passes([mutant]);
      if (!passed) found.push(mutant.name);
      run.write(`${mutant.name}: ${passed ? 'the unit tests pass' : 'FOUND by the unit tests'}\n`);
    }
  }
  return {
    name: 'sim-mutants-unit',
    ok: unplanted && controlFound && found.length === 0,
    figures: {
      planted: run.mutants.length,
      passUnitTests: unplanted && controlFound ? run.mutants.length - found.length : 0,
      foundByUnitTests: found.join('; '),
      controlFound,
      wallSeconds: Math.round((run.clock.monotonic() - began) / 1000),
    },
    targets: { passUnitTests: 'all', controlFound: true },
  };
}
