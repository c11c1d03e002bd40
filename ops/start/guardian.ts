import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Owns the guardian process (guard.mjs) and the list of children it watches. Callers announce every child right after the spawn, in the
 * same tick. Invariants: (I1) a guardian that dies is started again and told everything; (I2) after `close` the guardian ends by itself
 * and finds nobody to end, because the callers took their children back when these exited.
 */
export interface Guardian {
  watch(pid: number, kind: 'app' | 'server', signal: NodeJS.Signals): void;
  forget(pid: number): void;
  close(): void;
}

export function createGuardian(): Guardian {
  const watched = new Map<number, string>();
  let process_: ChildProcess | undefined;
  let closed = false;
  const tell = (line: string): void => {
    process_?.stdin?.write(`${line}\n`);
  };
  const start = (): void => {
    const child = spawn(process.execPath, [fileURLToPath(new URL('./guard.mjs', import.meta.url))], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { PATH: process.env['PATH'] },
    });
    process_ = child;
    child.stdin?.on('error', () => {});
    child.on('error', () => {});
    child.on('exit', () => {
      if (!closed) start();
    });
    child.unref();
    (child.stdin as unknown as { unref?: () => void } | null)?.unref?.();
    for (const line of watched.values()) tell(line);
  };
  start();
  return {
    watch(pid, kind, signal) {
      const line = `+ ${pid} ${kind} ${signal}`;
      watched.set(pid, line);
      tell(line);
    },
    forget(pid) {
      watched.delete(pid);
      tell(`- ${pid}`);
    },
    close() {
      closed = true;
      process_?.stdin?.end();
    },
  };
}
