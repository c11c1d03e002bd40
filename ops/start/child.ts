import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Clock } from '../lifecycle/index.ts';
import type { Guardian } from './guardian.ts';

export interface ChildOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** servers outlive the apps that use them when the guardian has to clear up */
  readonly kind: 'app' | 'server';
  /** the signal that asks for a graceful end */
  readonly stopSignal: NodeJS.Signals;
  /** each line of stdout and stderr */
  readonly onLine: (line: string, stream: 'out' | 'err') => void;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running process in a process group of its own: the terminal's Ctrl-C reaches only the supervisor. */
export interface Child {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  running(): boolean;
  kill(signal: NodeJS.Signals): void;
  /** asks it to end, waits, then SIGKILL; idempotent */
  stop(graceMs: number): Promise<Exit>;
}

/** Starts a process under the guardian's eye. @throws Error when it cannot be started at all */
export async function startChild(deps: { readonly clock: Clock; readonly guardian: Guardian }, options: ChildOptions): Promise<Child> {
  const child = spawn(options.command, [...options.args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: Object.fromEntries(Object.entries(options.env).filter(([, value]) => value !== undefined)),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const pid = child.pid;
  if (pid !== undefined) deps.guardian.watch(pid, options.kind, options.stopSignal);
  createInterface({ input: child.stdout }).on('line', (line) => options.onLine(line, 'out'));
  createInterface({ input: child.stderr }).on('line', (line) => options.onLine(line, 'err'));
  let over = false;
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      over = true;
      if (pid !== undefined) deps.guardian.forget(pid);
      resolve({ code, signal });
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(new Error(`${options.name} could not be started: ${error.message}`)));
  });
  if (pid === undefined) throw new Error(`${options.name} could not be started`);
  const kill = (signal: NodeJS.Signals): void => {
    if (over) return;
    try {
      process.kill(-pid, signal);
    } catch {
      child.kill(signal);
    }
  };
  return {
    pid,
    exited,
    running: () => !over,
    kill,
    async stop(graceMs) {
      if (over) return exited;
      kill(options.stopSignal);
      kill('SIGCONT');
      const cancel = deps.clock.after(graceMs, () => kill('SIGKILL'));
      const exit = await exited;
      cancel();
      return exit;
    },
  };
}
