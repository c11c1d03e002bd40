import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { RunResult } from '../../../ops/report/index.ts';
import { swapped } from '../chaos/plants.ts';
import { MUTANTS } from './mutants.ts';

/** A short simulation of the built product, as a person runs it: whole worlds, and planted faults that they must find. */
const home = mkdtempSync(join(tmpdir(), 'flotilla-sim-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

// this file is not built: dist/ is beside the sources
const dist = fileURLToPath(new URL('../../../dist', import.meta.url));

async function sim(...args: string[]): Promise<{ readonly code: number | null; readonly said: string; readonly result: RunResult }> {
  const file = join(home, `${args.length}-${args.join('').length}.json`);
  const main = join(dist, 'actors/testing/sim/main.js');
  const child = spawn(process.execPath, [main, ...args, '--json', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += String(chunk);
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, said, result: JSON.parse(readFileSync(file, 'utf8')) as RunResult };
}

describe('npm run sim', { timeout: 600_000 }, () => {
  it('finds nothing wrong in some worlds, which had enough of everything, and the same again with the same seeds', async () => {
    const { code, said, result } = await sim('--seeds', '10', '--from', '9000');
    expect(result.figures, said).toMatchObject({ worlds: 10, badWorlds: 0, sameTraceTwice: true });
    expect(code, said).toBe(0);
    expect(JSON.parse(said.trim().split('\n').at(-1) ?? '')).toMatchObject({ name: 'sim', ok: true });
    const again = await sim('--seeds', '10', '--from', '9000', '--workers', '1');
    expect(again.result.figures['digest']).toBe(result.figures['digest']);
  });

  it('finds nothing wrong where Redis goes back while the ledger is slow', async () => {
    const { code, said, result } = await sim('--seeds', '10', '--from', '20', '--faults', 'redis rolled back|postgres lossy|postgres cut');
    expect(result.figures, said).toMatchObject({ worlds: 10, badWorlds: 0 });
    expect(code, said).toBe(0);
  });

  // a long run is the wrong place to learn that the code has moved
  it.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))('can still be planted: %s', (_name, mutant) => {
    expect([...swapped(dist, mutant).keys()]).toHaveLength(1);
  });

  it('finds planted faults', async () => {
    const { code, said, result } = await sim(
      '--mutants',
      '--only',
      'a takeover adopts nothing|an enqueue ignores the gap|went back in time',
    );
    expect(result.figures, said).toMatchObject({ planted: 3, found: 3 });
    expect(code, said).toBe(0);
  });
});
