import { join } from 'node:path';
import { connectRedis } from '../../../../ops/connect/index.ts';
import { type Clock, seededDice } from '../../../../ops/lifecycle/index.ts';
import { drain, onStack, playOn, type Scene, until } from '../scene.ts';
import type { Findings, Position } from './checker.ts';
import { type Recorder, startRecorder } from './recorder.ts';
import { createWatcher, type Watcher } from './watcher.ts';

/**
 * Two gateways, two nodes, live subscriptions, and one gateway after the other killed under them while messages flow. Every subscription
 * resumes at the other gateway. Owns the stack, the watchers and the recorder.
 */
export interface GatewayRunOptions {
  readonly distDir: string;
  readonly runs: number;
  readonly seed: number;
  readonly devices: number;
  readonly subscriptions: number;
  /** messages a second */
  readonly rate: number;
  readonly keep: boolean;
  readonly say: (line: string) => void;
}
export interface GatewayRunResult {
  readonly kills: number;
  readonly subscriptions: number;
  readonly events: number;
  readonly delivered: number;
  readonly reconnects: number;
  /** operations refused as UNAVAILABLE while a gateway looked up hundreds of devices, and asked for again */
  readonly retries: number;
  /** of each kill: until the last subscription was asked for again, ms */
  readonly resumeMs: readonly number[];
  readonly gaps: number;
  readonly duplicates: number;
  readonly foreign: number;
  /** operations that ended, RESYNC_REQUIRED among them */
  readonly ended: number;
  /** fleets that do not show in the end what the stream's state shows */
  readonly wrongFleets: number;
  readonly epochs: number;
  readonly drained: boolean;
  readonly examples: readonly string[];
}

const PER_SOCKET = 4;
const SETTLE_MS = 30_000;

/** Of every 50 subscriptions 10 to the fleet, one to all events, the rest to those of one device each. */
function makeWatchers(scene: Scene, options: GatewayRunOptions, start: Position): Watcher[] {
  const { clock, dice, stack, deviceIds } = scene;
  const kinds = Array.from({ length: options.subscriptions }, (_, n): 'fleet' | string | null =>
    n % 50 === 0 ? null : n % 5 === 1 ? 'fleet' : (deviceIds[n % deviceIds.length] ?? null),
  );
  return Array.from({ length: Math.ceil(kinds.length / PER_SOCKET) }, (_, n) => {
    const mine = kinds.slice(n * PER_SOCKET, (n + 1) * PER_SOCKET);
    return createWatcher(
      { clock, dice },
      {
        name: `client ${n}`,
        gateways: stack.gateways.map(({ url }) => url),
        key: stack.adminKey,
        start,
        events: mine.filter((kind) => kind !== 'fleet'),
        fleets: mine.filter((kind) => kind === 'fleet').length,
      },
    );
  });
}

async function killOne(scene: Scene, watchers: readonly Watcher[], number: number): Promise<number> {
  const { clock, dice, stack, say } = scene;
  await clock.sleep(500 + dice.next() * 1_000);
  const victim = stack.gateways[number % stack.gateways.length];
  if (victim === undefined) throw new Error('there is no gateway to kill');
  const hit = watchers.filter((watcher) => watcher.at === victim.url);
  const at = clock.monotonic();
  victim.kill('SIGKILL');
  const back = await until(clock, SETTLE_MS, () => hit.every((watcher) => watcher.live && watcher.liveAt > at));
  const ms = Math.round(Math.max(0, ...hit.map((watcher) => watcher.liveAt - at)));
  say(`killed ${victim.name} under ${hit.length} of ${watchers.length} clients: ${back ? `all back after ${ms} ms` : 'NOT all back'}`);
  await clock.sleep(300);
  await victim.restart();
  return back ? ms : Number.POSITIVE_INFINITY;
}

interface Sum {
  gaps: number;
  duplicates: number;
  foreign: number;
  readonly examples: string[];
}
function add(sum: Sum, findings: Findings): void {
  sum.gaps += findings.gaps;
  sum.duplicates += findings.duplicates;
  sum.foreign += findings.foreign;
  sum.examples.push(...findings.examples.slice(0, 3));
}

function judgeAll(watchers: readonly Watcher[], recorder: Recorder): Sum {
  const sum: Sum = { gaps: 0, duplicates: 0, foreign: 0, examples: [] };
  for (const watcher of watchers) {
    for (const subscription of watcher.events) add(sum, recorder.log.judge(subscription));
    for (const fleet of watcher.fleets) add(sum, fleet.findings());
  }
  return sum;
}

const equal = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  a.size === b.size && [...a].every(([id, row]) => b.get(id) === row);

async function wrongFleets(scene: Scene, watchers: readonly Watcher[], recorder: Recorder): Promise<number> {
  let wrong = Number.NaN;
  await until(scene.clock, SETTLE_MS, async () => {
    const truth = await recorder.devices();
    wrong = watchers.flatMap(({ fleets }) => fleets).filter(({ rows }) => !equal(rows, truth)).length;
    return wrong === 0;
  });
  return wrong;
}

async function play(scene: Scene, options: GatewayRunOptions): Promise<GatewayRunResult> {
  const { clock, stack, sender, say } = scene;
  const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'chaos' });
  let watchers: Watcher[] = [];
  let recorder: Recorder | undefined;
  try {
    sender.rate(options.rate);
    await clock.sleep(1_500);
    const recording = await startRecorder(redis, clock);
    recorder = recording;
    // some seconds of traffic behind the start, so that a resume has something to give
    await clock.sleep(500);
    watchers = makeWatchers(scene, options, recording.start);
    const up = await until(clock, SETTLE_MS, () => watchers.every(({ live }) => live));
    if (!up) throw new Error('not all clients could connect');
    say(`${options.subscriptions} subscriptions on ${watchers.length} sockets`);
    const resumeMs: number[] = [];
    for (let n = 0; n < options.runs; n++) resumeMs.push(await killOne(scene, watchers, n));
    await clock.sleep(1_000);
    await sender.stop();
    const drained = await drain(scene, 60_000);
    await clock.sleep(500);
    await recording.read();
    // what is on its way is given a while; what is lost never comes
    await until(clock, SETTLE_MS, () => judgeAll(watchers, recording).gaps === 0);
    const sum = judgeAll(watchers, recording);
    const ended = watchers.flatMap(({ refused }) => refused);
    return {
      kills: options.runs,
      subscriptions: options.subscriptions,
      events: recording.log.size,
      delivered: watchers.flatMap(({ events }) => events).reduce((total, { received }) => total + received.length, 0),
      reconnects: watchers.reduce((total, { connects }) => total + connects - 1, 0),
      retries: watchers.reduce((total, { retries }) => total + retries, 0),
      resumeMs,
      gaps: sum.gaps,
      duplicates: sum.duplicates,
      foreign: sum.foreign,
      ended: ended.length,
      wrongFleets: await wrongFleets(scene, watchers, recording),
      epochs: recording.log.epochs.size,
      drained,
      examples: [...ended.slice(0, 5), ...sum.examples.slice(0, 5)],
    };
  } finally {
    for (const watcher of watchers) watcher.close();
    await recorder?.close();
    redis.disconnect();
  }
}

/** @throws Error when the run could not be made; what the checker finds is in the result */
export async function runGateway(
  clock: Clock,
  options: GatewayRunOptions,
): Promise<{ readonly result: GatewayRunResult; readonly folder: string | undefined }> {
  return onStack(
    (home) => ({
      dataDir: join(home, 'data'),
      distDir: options.distDir,
      nodes: 2,
      gateways: 2,
      durable: false,
      phones: { args: ['--seed', String(options.seed), '--latency', '5-40'] },
      env: { PACING: 'off' },
    }),
    (stack, home) =>
      playOn(
        { clock, dice: seededDice(options.seed) },
        stack,
        home,
        { seed: options.seed, devices: options.devices, messages: 10_000_000, burst: 1, say: options.say },
        (scene) => play(scene, options),
      ),
    (result) => result.examples.length === 0 && !options.keep,
  );
}
