import { join } from 'node:path';
import type { Clock } from '../lifecycle/index.ts';
import { type Child, startChild } from './child.ts';
import type { Guardian } from './guardian.ts';
import { openLogFile } from './log-file.ts';
import type { Ready } from './service.ts';

/** A line that a process wrote, as far as it is worth showing to a person: warnings, errors and what is not JSON on stderr. */
export interface LogLine {
  readonly type: 'log';
  readonly name: string;
  readonly level: 'warn' | 'error';
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface AppOptions {
  readonly name: string;
  /** built tree and the entry file in it */
  readonly distDir: string;
  readonly entry: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logDir: string;
  /** words before the command: `ip netns exec …`; default none */
  readonly launcher?: readonly string[];
  readonly readyWithinMs: number;
  readonly onLog: (line: LogLine) => void;
}

const STANDARD = new Set(['at', 'level', 'service', 'instance', 'event', 'stack', 'trace', 'span', 'traceId', 'spanId']);

/** Reads a JSON log line; undefined when it is not one. */
export function parseLine(line: string): { level: string; event: string; fields: Record<string, unknown> } | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const parsed = JSON.parse(line) as Record<string, unknown>;
    if (typeof parsed['event'] !== 'string') return undefined;
    const fields = Object.fromEntries(Object.entries(parsed).filter(([name]) => !STANDARD.has(name)));
    return { level: String(parsed['level'] ?? 'info'), event: parsed['event'], fields };
  } catch {
    return undefined;
  }
}

const asPort = (value: unknown): number | undefined => (typeof value === 'number' && value > 0 ? value : undefined);

/**
 * Starts one of our own processes (`node dist/<entry>`) and waits for its log line `{"event":"ready",…}`.
 * @throws Error with its last words when it ends or stays silent before that
 */
export async function startApp(
  deps: { readonly clock: Clock; readonly guardian: Guardian },
  options: AppOptions,
  began: (child: Child) => void,
): Promise<{ child: Child; ready: Ready }> {
  const file = openLogFile(join(options.logDir, `${options.name}.log`));
  const words: string[] = [];
  let onReady: (ready: Ready) => void = () => {};
  const said = new Promise<Ready>((resolve) => {
    onReady = resolve;
  });
  const onLine = (line: string, stream: 'out' | 'err'): void => {
    file.write(line);
    words.push(line);
    if (words.length > 8) words.shift();
    const parsed = parseLine(line);
    if (parsed === undefined) {
      if (stream === 'err' && line.trim() !== '') {
        options.onLog({ type: 'log', name: options.name, level: 'error', event: 'stderr', fields: { text: line.trimEnd() } });
      }
      return;
    }
    const { level, event, fields } = parsed;
    if (event === 'ready') onReady({ port: asPort(fields['port']), metricsPort: asPort(fields['metricsPort']) });
    if (level === 'warn' || level === 'error') options.onLog({ type: 'log', name: options.name, level, event, fields });
  };
  const [command = '', ...args] = [...(options.launcher ?? []), process.execPath, join(options.distDir, options.entry), ...options.args];
  const child = await startChild(deps, {
    name: options.name,
    command,
    args,
    env: options.env,
    kind: 'app',
    stopSignal: 'SIGTERM',
    onLine,
  });
  began(child);
  void child.exited.then(() => file.close());
  const aborted = new AbortController();
  const ready = await Promise.race([
    said,
    child.exited.then((exit) => `ended with ${exit.signal ?? `code ${exit.code}`} before it was ready`),
    deps.clock.sleep(options.readyWithinMs, aborted.signal).then(
      () => `was not ready within ${options.readyWithinMs / 1000} s`,
      () => '',
    ),
  ]);
  aborted.abort(new Error('answered'));
  if (typeof ready !== 'string') return { child, ready };
  await child.stop(1_000);
  throw new Error(`${options.name} ${ready}; its last words:\n${words.map((line) => `  ${line}`).join('\n')}`);
}

/** Runs one of our own processes to its end. @throws Error with its last words when it fails */
export async function runApp(
  deps: { readonly clock: Clock; readonly guardian: Guardian },
  options: Omit<AppOptions, 'readyWithinMs' | 'onLog'>,
  began: (child: Child) => void,
): Promise<void> {
  const file = openLogFile(join(options.logDir, `${options.name}.log`));
  const words: string[] = [];
  const child = await startChild(deps, {
    name: options.name,
    command: process.execPath,
    args: [join(options.distDir, options.entry), ...options.args],
    env: options.env,
    kind: 'app',
    stopSignal: 'SIGTERM',
    onLine(line) {
      file.write(line);
      words.push(line);
      if (words.length > 12) words.shift();
    },
  });
  began(child);
  const exit = await child.exited;
  await file.close();
  if (exit.code !== 0) throw new Error(`${options.name} ended with ${exit.signal ?? `code ${exit.code}`}:\n${words.join('\n')}`);
}
