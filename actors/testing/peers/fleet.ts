import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Guardian } from '../../../ops/start/index.ts';

/** The worker processes of a peer, kept running as a supervisor keeps them: one that ends is started again after a moment. */
export interface PeerWorkers {
  readonly count: number;
  kill(index: number, signal: NodeJS.Signals): void;
  /** how often one had to be started again */
  readonly restarts: number;
  stop(): Promise<void>;
}

const RESTART_MS = 500;
const READY_MS = 60_000;

export async function startWorkers(
  deps: { readonly clock: Clock; readonly guardian: Guardian },
  options: { readonly distDir: string; readonly peer: string; readonly count: number; readonly env: Readonly<Record<string, string>> },
): Promise<PeerWorkers> {
  const { clock, guardian } = deps;
  const children: (ChildProcess | undefined)[] = [];
  let stopping = false;
  let restarts = 0;
  const start = (index: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const entry = join(options.distDir, 'actors/testing/peers/worker-main.js');
      const child = spawn(process.execPath, [entry, options.peer, `worker-${index + 1}`], {
        stdio: ['ignore', 'pipe', 'ignore'],
        env: { ...process.env, ...options.env },
        detached: true,
      });
      const { pid } = child;
      if (pid !== undefined) guardian.watch(pid, 'app', 'SIGTERM');
      children[index] = child;
      child.stdout.once('data', () => resolve());
      child.once('error', reject);
      child.once('exit', () => {
        if (pid !== undefined) guardian.forget(pid);
        children[index] = undefined;
        if (stopping) return;
        restarts += 1;
        clock.after(RESTART_MS, () => {
          if (!stopping) start(index).catch(() => {});
        });
      });
    });
  const first = Promise.all(Array.from({ length: options.count }, (_, index) => start(index)));
  await Promise.race([
    first,
    clock.sleep(READY_MS).then(() => {
      throw new Error(`the workers of ${options.peer} were not ready in ${READY_MS / 1000} s`);
    }),
  ]);
  return {
    count: options.count,
    kill: (index, signal) => void children[index]?.kill(signal),
    get restarts() {
      return restarts;
    },
    async stop() {
      stopping = true;
      const over = children.flatMap((child) => (child === undefined ? [] : [new Promise((done) => child.once('exit', done))]));
      for (const child of children) child?.kill('SIGKILL');
      await Promise.all(over);
    },
  };
}
