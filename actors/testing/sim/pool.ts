import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Outcome } from './world.ts';

/**
 * Everything a world makes dies with it: with room for one whole world among the young objects and one collection after each world
 * (worker.ts), next to nothing is ever copied. One thread for it, because the workers take all cores.
 */
const execArgv = ['--expose-gc', '--single-threaded-gc', '--min-semi-space-size=128', '--max-semi-space-size=128'];

/**
 * A world takes a fifth of a second. One that has used this much CPU time goes round in circles; on a machine whose cores are taken by others it
 * may wait for long until it gets that far, so the wall clock says nothing.
 */
const PATIENCE_CPU_MS = 30_000;
const LOOK_MS = 10_000;
/** where CPU time cannot be read */
const PATIENCE_MS = 600_000;
/** USER_HZ of Linux: the ticks of /proc */
const TICK_MS = 10;

/** What a process has used of its cores so far, ms; undefined where there is no /proc. */
function cpuOf(pid: number | undefined): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // after the name in parentheses: state is field 3, utime 14, stime 15
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return undefined;
  }
}

/**
 * Worker processes that run worlds, one seed at a time each.
 * Owns: the processes. P1 A worker that ends or does not come to an end counts as a world gone wrong, and another takes its place.
 */
export interface PoolOptions {
  /** built worker.js, of the product's build or of a test build */
  readonly workerFile: string;
  readonly workers: number;
  /** the only faults of these worlds, separated by |; undefined = all */
  readonly faults?: string | undefined;
}

/** Runs worlds until the seeds are used up or `on` answers false. */
export function runPool(
  clock: Pick<Clock, 'after' | 'monotonic'>,
  options: PoolOptions,
  seeds: Iterator<number>,
  on: (outcome: Outcome, cpuMs: number) => boolean,
): Promise<void> {
  let stopped = false;
  const lane = async (): Promise<void> => {
    let child: ChildProcess | undefined;
    for (let next = seeds.next(); !stopped && next.done !== true; next = seeds.next()) {
      child ??= fork(options.workerFile, options.faults === undefined ? [] : [options.faults], {
        execArgv,
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      });
      const { outcome, cpuMs } = await one(clock, child, next.value);
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

function one(clock: Pick<Clock, 'after' | 'monotonic'>, child: ChildProcess, seed: number): Promise<Answer> {
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
    const [since, before] = [clock.monotonic(), cpuOf(child.pid)];
    let cancel = (): void => {};
    const look = (): void => {
      const used = cpuOf(child.pid);
      const over = used === undefined || before === undefined ? clock.monotonic() - since > PATIENCE_MS : used - before > PATIENCE_CPU_MS;
      if (over) settle(gone(`the world did not end within ${PATIENCE_CPU_MS / 1000} s of CPU time`));
      else cancel = clock.after(LOOK_MS, look);
    };
    cancel = clock.after(LOOK_MS, look);
    child.on('message', onMessage);
    child.on('exit', onExit);
    child.stderr?.on('data', onError);
    child.send(seed);
  });
}
