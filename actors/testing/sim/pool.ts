import { type ChildProcess, fork } from 'node:child_process';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Outcome } from './world.ts';

/**
 * Everything a world makes dies with it: with room for one whole world among the young objects and one collection after each world
 * (worker.ts), next to nothing is ever copied. One thread for it, because the workers take all cores.
 */
const execArgv = ['--expose-gc', '--single-threaded-gc', '--min-semi-space-size=128', '--max-semi-space-size=128'];

/**
 * Worker processes that run worlds, one seed at a time each.
 * Owns: the processes. P1 A worker that ends or does not answer counts as a world gone wrong, and another takes its place.
 */
/** Longest wait for one world, ms: it takes a fifth of a second, on a machine that has nothing else to do. */
export const PATIENCE_MS = 240_000;

export interface PoolOptions {
  /** built worker.js, of the product's build or of a test build */
  readonly workerFile: string;
  readonly workers: number;
  /** longest wait for one world */
  readonly patienceMs: number;
}

/** Runs worlds until the seeds are used up or `on` answers false. */
export function runPool(
  clock: Pick<Clock, 'after'>,
  options: PoolOptions,
  seeds: Iterator<number>,
  on: (outcome: Outcome, cpuMs: number) => boolean,
): Promise<void> {
  let stopped = false;
  const lane = async (): Promise<void> => {
    let child: ChildProcess | undefined;
    for (let next = seeds.next(); !stopped && next.done !== true; next = seeds.next()) {
      child ??= fork(options.workerFile, [], { execArgv, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
      const { outcome, cpuMs } = await one(clock, child, next.value, options.patienceMs);
      if (cpuMs === undefined) {
        child.kill('SIGKILL');
        child = undefined;
      }
      if (!stopped && !on(outcome, cpuMs ?? 0)) stopped = true;
    }
    child?.kill('SIGKILL');
  };
  return Promise.all(Array.from({ length: options.workers }, lane)).then(() => undefined);
}

/** What a worker answers; without a time it is gone. */
interface Answer {
  readonly outcome: Outcome;
  readonly cpuMs?: number;
}

function one(clock: Pick<Clock, 'after'>, child: ChildProcess, seed: number, patienceMs: number): Promise<Answer> {
  const gone = (why: string): Answer => ({
    outcome: { seed, hash: '', events: 0, simulatedMs: 0, violations: [`I0: ${why}`], faults: [], figures: {} },
  });
  return new Promise((resolve) => {
    let said = '';
    const settle = (answer: Answer): void => {
      cancel();
      child.off('message', onMessage);
      child.off('exit', onExit);
      child.stderr?.off('data', onError);
      resolve(answer);
    };
    const onMessage = (answer: Answer): void => settle(answer);
    const onExit = (): void => settle(gone(`the world ended its process: ${said.slice(0, 600)}`));
    const onError = (chunk: Buffer): void => {
      said += String(chunk);
    };
    const cancel = clock.after(patienceMs, () => settle(gone(`the world did not end within ${patienceMs} ms`)));
    child.on('message', onMessage);
    child.on('exit', onExit);
    child.stderr?.on('data', onError);
    child.send(seed);
  });
}
