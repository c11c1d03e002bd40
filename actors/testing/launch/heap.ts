import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { StackNode } from '../../../ops/start/index.ts';

/**
 * The heap of processes that are not ours to ask: a few lines, loaded before their own code, collect and write the size down when they are
 * signalled. Owns a folder below the run's.
 */
export interface HeapProbe {
  /** settings for the processes to be asked */
  readonly env: Readonly<Record<string, string>>;
  /** bytes in use after a collection */
  used(clock: Clock, node: StackNode): Promise<number>;
}

const SCRIPT = (folder: string): string => `
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { renameSync, writeFileSync } from 'node:fs';
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
process.on('SIGUSR2', () => {
  collect();
  collect();
  const file = ${JSON.stringify(folder)} + '/' + process.pid;
  writeFileSync(file + '.new', String(process.memoryUsage().heapUsed));
  renameSync(file + '.new', file);
});
`;
const PATIENCE_MS = 30_000;

export function createHeapProbe(work: string): HeapProbe {
  const folder = mkdtempSync(join(work, 'heap-'));
  const script = join(folder, 'probe.mjs');
  writeFileSync(script, SCRIPT(folder));
  return {
    env: { NODE_OPTIONS: `--import=${pathToFileURL(script).href}` },
    async used(clock, node) {
      const file = join(folder, String(node.pid));
      rmSync(file, { force: true });
      node.kill('SIGUSR2');
      for (const end = clock.monotonic() + PATIENCE_MS; !existsSync(file); await clock.sleep(20))
        if (clock.monotonic() > end) throw new Error(`${node.id} did not tell its heap`);
      return Number(readFileSync(file, 'utf8'));
    },
  };
}
