import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';

/** One arm with its subscribers, each in a process of its own. */
export interface Rig {
  readonly arm: string;
  readonly sockets: number;
  /** from the first dial until the last socket has its subscription, and what that cost the server for each */
  readonly connected: { readonly ms: number; readonly cpuUs: number };
  /** publishes `times` at `hz`, waits until all who read have all frames (or 10 s) */
  measure(times: number, hz: number): Promise<Measured>;
  /** the readers that may stall stop reading, or go on */
  stall(on: boolean): void;
  memory(): Promise<Memory>;
  close(): void;
}
export interface Measured {
  readonly delivered: number;
  readonly expected: number;
  readonly cpuUsPerMessage: number;
  /** how much of it the kernel took: the writes themselves */
  readonly kernelUsPerMessage: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}
export interface Memory {
  readonly heapUsed: number;
  readonly external: number;
  readonly rss: number;
  /** bytes that wait in the server for readers that do not read */
  readonly held: number;
}
export interface RigOptions {
  readonly sockets: number;
  /** 0: each socket has a subscription of its own */
  readonly groups: number;
  readonly payloadBytes: number;
  /** so many of the sockets stop reading when they are told to; what they get is not counted */
  readonly stalled?: number;
  /** how often each of those subscribes; more fill the kernel's buffers (4 MB) sooner, and only then the server notices */
  readonly stalledOperations?: number;
  readonly tickMs?: number;
  /** ids of operations: `own` = a UUID for each, as most clients make them; default `same` */
  readonly ids?: 'same' | 'own';
  /** the dials are spread over this long; default 1 ms for each socket */
  readonly spreadMs?: number;
}

/** sockets still come in: a busy machine takes its time; without a new one for this long it has failed */
const CONNECT_MS = 60_000;

function answer<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`a process of the bench ended with ${code}`));
    child.once('exit', ended);
    child.once('message', (said) => {
      child.off('exit', ended);
      resolve(said as T);
    });
  });
}
function ask<T>(child: ChildProcess, message: object): Promise<T> {
  child.send(message);
  return answer(child);
}
const first = <T>(child: ChildProcess): Promise<T> => answer<T>(child);
const start = (file: string, args: readonly (string | number)[]): ChildProcess =>
  fork(fileURLToPath(new URL(`./${file}.js`, import.meta.url)), args.map(String), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);
/** to a tenth */
export const round = (value: number): number => Math.round(value * 10) / 10;

/** `baseline` is told the memory of the server before anybody has come. */
export async function startRig(arm: string, options: RigOptions, baseline: (memory: Memory) => void = () => {}): Promise<Rig> {
  const server = start('server', [arm, options.payloadBytes, options.tickMs ?? 0]);
  const { port } = await first<{ port: number }>(server);
  baseline(await ask<Memory>(server, { ask: 'memory' }));
  const cpu = (): Promise<{ readonly cpuUs: number; readonly kernelUs: number }> => ask(server, { ask: 'cpu' });
  const cpuBefore = await cpu();
  const { sockets, groups, stalled = 0, stalledOperations = 1, ids = 'same', spreadMs = sockets } = options;
  const loader = start('loader', [port, sockets, groups, stalled, ids, spreadMs, stalledOperations]);
  await first(loader);
  const count = (): Promise<{ live: number; frames: number }> => ask(loader, { ask: 'count' });
  const began = clock.monotonic();
  for (let most = { live: 0, at: began }; most.live < sockets; await clock.sleep(50)) {
    const { live } = await count();
    if (live > most.live) most = { live, at: clock.monotonic() };
    if (clock.monotonic() - most.at > CONNECT_MS) throw new Error(`${arm}: only ${live} of ${sockets} sockets are live`);
  }
  const ms = clock.monotonic() - began;
  const connected = { ms, cpuUs: ((await cpu()).cpuUs - cpuBefore.cpuUs) / sockets };
  await clock.sleep(1_000);
  return {
    arm,
    sockets,
    connected,
    async measure(times, hz) {
      await ask(loader, { ask: 'latencies' });
      const before = { frames: (await count()).frames, cpu: await cpu() };
      const begun = clock.monotonic();
      for (let n = 0; n < times; n++) {
        await clock.sleep(Math.max(0, begun + (n * 1000) / hz - clock.monotonic()));
        server.send({ publish: performance.timeOrigin + clock.monotonic() });
      }
      const expected = times * (sockets - stalled);
      const until = clock.monotonic() + 10_000;
      let delivered = 0;
      do {
        await clock.sleep(50);
        delivered = (await count()).frames - before.frames;
      } while (delivered < expected && clock.monotonic() < until);
      const { latencies } = await ask<{ latencies: number[] }>(loader, { ask: 'latencies' });
      const used = await cpu();
      return {
        delivered,
        expected,
        cpuUsPerMessage: (used.cpuUs - before.cpu.cpuUs) / delivered,
        kernelUsPerMessage: (used.kernelUs - before.cpu.kernelUs) / delivered,
        p50Ms: percentile(latencies, 0.5),
        p99Ms: percentile(latencies, 0.99),
      };
    },
    stall: (on) => void loader.send({ stall: on }),
    memory: () => ask(server, { ask: 'memory' }),
    close() {
      for (const child of [loader, server]) {
        child.removeAllListeners('exit');
        child.disconnect();
      }
    },
  };
}
