import { type ChildProcess, fork } from 'node:child_process';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Outcome } from './world.ts';

/**
 * Worker processes that run worlds, one seed at a time each.
 * Owns: the processes. P1 A worker that ends or does not answer counts as a world gone wrong, and another takes its place.
 */
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
  on: (outcome: Outcome) => boolean,
): Promise<void> {
  let stopped = false;
  const lane = async (): Promise<void> => {
    let child: ChildProcess | undefined;
    for (let next = seeds.next(); !stopped && next.done !== true; next = seeds.next()) {
      child ??= fork(options.workerFile, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
      const outcome = await one(clock, child, next.value, options.patienceMs);
      if ('gone' in outcome) {
        child.kill('SIGKILL');
        child = undefined;
      }
      if (!stopped && !on('gone' in outcome ? outcome.gone : outcome)) stopped = true;
    }
    child?.kill('SIGKILL');
  };
  return Promise.all(Array.from({ length: options.workers }, lane)).then(() => undefined);
}

function one(clock: Pick<Clock, 'after'>, child: ChildProcess, seed: number, patienceMs: number): Promise<Outcome | { gone: Outcome }> {
  const gone = (why: string): { gone: Outcome } => ({
    gone: { seed, hash: '', events: 0, simulatedMs: 0, violations: [`I0: ${why}`], faults: [], figures: {} },
  });
  return new Promise((resolve) => {
    let said = '';
    const settle = (outcome: Outcome | { gone: Outcome }): void => {
      cancel();
      child.off('message', onMessage);
      child.off('exit', onExit);
      child.stderr?.off('data', onError);
      resolve(outcome);
    };
    const onMessage = (outcome: Outcome): void => settle(outcome);
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
