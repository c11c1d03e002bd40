import type { Clock } from '../lifecycle/index.ts';
import type { Child, Exit } from './child.ts';

/** What a started process said about itself when it was ready: ports and the like. */
export interface Ready {
  readonly port?: number | undefined;
  readonly metricsPort?: number | undefined;
}

export type ServiceEvent =
  | { readonly type: 'exited'; readonly name: string; readonly exit: Exit; readonly restartInMs: number | undefined }
  | { readonly type: 'restarted'; readonly name: string; readonly pid: number; readonly tookMs: number }
  | { readonly type: 'restart-failed'; readonly name: string; readonly message: string; readonly restartInMs: number };

export interface ServiceOptions {
  readonly name: string;
  /** starts the process and resolves when it is ready; on a repeat it takes the ports of the first time */
  readonly launch: (began: (child: Child) => void) => Promise<{ readonly child: Child; readonly ready: Ready }>;
  /** start it again when it dies */
  readonly restart: boolean;
  /** how long a graceful end may take before SIGKILL */
  readonly graceMs: number;
  readonly onEvent: (event: ServiceEvent) => void;
}

/**
 * One process that is kept running. Owns its current child and its restart timer. Used by the stack.
 * I1 At most one child at a time. I2 After `stop` nothing is started. I3 Restarts wait 0.2 s, doubling to 5 s; a life of 10 s resets that.
 */
export interface Service {
  readonly name: string;
  /** pid of the current or last child; 0 before the first */
  readonly pid: number;
  readonly ready: Ready;
  running(): boolean;
  /** first start. @throws what the launch threw: nothing is retried then */
  start(): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** a graceful end if it runs, then a new start; resolves when it is ready */
  restart(): Promise<void>;
  /** a graceful end for good */
  stop(): Promise<void>;
}

const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;
const STEADY_MS = 10_000;

export function createService(deps: { readonly clock: Clock }, options: ServiceOptions): Service {
  const { clock } = deps;
  let child: Child | undefined;
  let ready: Ready = {};
  let stopped = false;
  let byHand = false;
  let waitMs = FIRST_WAIT_MS;
  let cancelTimer: () => void = () => {};
  let launching: Promise<void> | undefined;

  const launchOnce = async (): Promise<void> => {
    if (stopped) throw new Error(`${options.name} is stopped`);
    const began = clock.monotonic();
    const started = await options.launch((fresh) => {
      child = fresh;
      if (stopped) fresh.kill('SIGKILL');
    });
    child = started.child;
    ready = started.ready;
    void started.child.exited.then((exit) => onExit(exit, clock.monotonic() - began));
  };
  const launch = (): Promise<void> => {
    launching ??= launchOnce().finally(() => {
      launching = undefined;
    });
    return launching;
  };
  const again = async (): Promise<void> => {
    if (stopped) return;
    const began = clock.monotonic();
    try {
      await launch();
      if (!stopped) options.onEvent({ type: 'restarted', name: options.name, pid: child?.pid ?? 0, tookMs: clock.monotonic() - began });
    } catch (error) {
      if (stopped) return;
      const message = error instanceof Error ? error.message : String(error);
      options.onEvent({ type: 'restart-failed', name: options.name, message, restartInMs: waitMs });
      schedule();
    }
  };
  const schedule = (): number => {
    const wait = waitMs;
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
    cancelTimer = clock.after(wait, () => void again());
    return wait;
  };
  const onExit = (exit: Exit, livedMs: number): void => {
    if (stopped || byHand) return;
    if (livedMs > STEADY_MS) waitMs = FIRST_WAIT_MS;
    const restartInMs = options.restart ? waitMs : undefined;
    options.onEvent({ type: 'exited', name: options.name, exit, restartInMs });
    if (options.restart) schedule();
  };
  return {
    name: options.name,
    get pid() {
      return child?.pid ?? 0;
    },
    get ready() {
      return ready;
    },
    running: () => child?.running() ?? false,
    start: launch,
    kill: (signal) => child?.kill(signal),
    async restart() {
      byHand = true;
      cancelTimer();
      try {
        await launching?.catch(() => {});
        await child?.stop(options.graceMs);
        await launch();
      } finally {
        byHand = false;
      }
    },
    async stop() {
      stopped = true;
      cancelTimer();
      await child?.stop(options.graceMs);
      await launching?.catch(() => {});
    },
  };
}
