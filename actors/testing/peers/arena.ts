import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, type Dice, seededDice } from '../../../ops/lifecycle/index.ts';
import { createGuardian, type Stack, startStack } from '../../../ops/start/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { type Arrival, controlPhones } from '../../transports/simulator/index.ts';
import { createJudge, type Flow, readArrivals, type Verdict, watchFlow } from '../checker/index.ts';
import { type PeerWorkers, startWorkers } from './fleet.ts';
import type { Addresses, Peer, Producer } from './peer.ts';

/**
 * Plays one fault on one peer: a stack of Redis, Postgres and phones with fsync, three workers, messages at a rate, the fault, the time the
 * peer needs, the judgement by the checker that judges us. Owns the stack, the workers and the list of what was asked for.
 *
 * I1  Messages of one device are added one after the other: the next only when the last one's outcome is known. Their order is that of the adds.
 * I2  A message counts as accepted only when the peer said so. What is not certain may arrive or not.
 */
export interface ArenaOptions {
  readonly distDir: string;
  readonly devices: number;
  readonly perSecond: number;
  readonly seed: number;
  /** longest wait for what is left after the load */
  readonly waitMs: number;
  readonly say: (line: string) => void;
}

export interface ArenaStage {
  readonly clock: Clock;
  readonly stack: Stack;
  readonly workers: PeerWorkers;
  readonly peer: Peer;
  readonly say: (line: string) => void;
}

/** Strikes and heals. @returns wall ms of both */
export type ArenaStrike = (stage: ArenaStage) => Promise<{ readonly at: number; readonly healedAt: number }>;

export interface ArenaResult {
  readonly verdict: Verdict;
  /** accepted, not arrived, and the peer still means to send it one day */
  readonly stuck: number;
  /** accepted and not arrived, and the peer does not have it any more */
  readonly lost: number;
  readonly unsure: number;
  readonly flow: Flow;
  readonly fullRateMs: number | null;
  readonly restarts: number;
  /** end of the load to the last arrival, or null when something was left */
  readonly drainMs: number | null;
  readonly tookMs: number;
}

const WORKERS = 3;
const WARM_MS = 3000;
const AFTER_MS = 5000;
const TICK_MS = 50;
/** A peer whose count of jobs stays the same for this long has done what it will do soon. */
const FULL_SHARE = 0.9;

interface Entry {
  readonly id: string;
  readonly device: string;
  readonly seq: number;
  outcome: 'asked' | 'accepted' | 'unsure';
}

/** Adds messages at a rate (I1, I2). */
function createLoad(deps: { clock: Clock; dice: Dice }, producer: Producer, devices: readonly string[], perSecond: number) {
  const { clock, dice } = deps;
  const entries: Entry[] = [];
  const tails = new Map<string, Promise<void>>();
  const seqs = new Map<string, number>();
  let running = false;
  let owed = 0;
  const add = (device: string): void => {
    const tail = (tails.get(device) ?? Promise.resolve()).then(async () => {
      const seq = (seqs.get(device) ?? 0) + 1;
      seqs.set(device, seq);
      const entry: Entry = { id: uuidV7(clock.wall()), device, seq, outcome: 'asked' };
      entries.push(entry);
      try {
        await producer.add({ id: entry.id, device, to: '+14155550100' });
        entry.outcome = 'accepted';
      } catch {
        entry.outcome = 'unsure';
      }
    });
    tails.set(device, tail);
  };
  const tick = (): void => {
    if (!running) return;
    owed += (perSecond * TICK_MS) / 1000;
    for (; owed >= 1; owed -= 1) add(devices[Math.floor(dice.next() * devices.length)] ?? '');
    clock.after(TICK_MS, tick);
  };
  return {
    entries,
    start(): void {
      running = true;
      tick();
    },
    async stop(): Promise<void> {
      running = false;
      await Promise.all(tails.values());
    },
  };
}

async function judged(
  path: string,
  entries: readonly Entry[],
  each: (arrival: Arrival) => void,
): Promise<{ verdict: Verdict; missing: number }> {
  const arrivals: Arrival[] = [];
  for await (const arrival of readArrivals(path)) arrivals.push(arrival);
  const arrived = new Set(arrivals.map(({ id }) => id));
  const judge = createJudge();
  let missing = 0;
  for (const { id, device, seq, outcome } of entries) {
    // I2
    if (outcome !== 'accepted' && !arrived.has(id)) continue;
    if (!arrived.has(id)) missing += 1;
    judge.ledger({ id, device, lane: 'normal', seq, state: arrived.has(id) ? 'SENT' : 'QUEUED' });
    if (outcome === 'accepted') judge.answered(id);
  }
  for (const arrival of arrivals) {
    judge.arrival(arrival);
    each(arrival);
  }
  return { verdict: judge.verdict(), missing };
}

async function perform(
  stage: ArenaStage,
  dice: Dice,
  producer: Producer,
  strike: ArenaStrike,
  options: ArenaOptions,
  arrivalsPath: string,
): Promise<Omit<ArenaResult, 'tookMs'>> {
  const { clock, say, workers, stack } = stage;
  const devices = Array.from({ length: options.devices }, (_, n) => `device-${n + 1}`);
  const load = createLoad({ clock, dice }, producer, devices, options.perSecond);
  load.start();
  await clock.sleep(WARM_MS);
  const { healedAt } = await strike(stage);
  await clock.sleep(AFTER_MS);
  const loadedUntil = clock.wall();
  await load.stop();
  const stopped = clock.monotonic();
  let left = Number.NaN;
  while (clock.monotonic() - stopped < options.waitMs) {
    left = await producer.left().catch(() => Number.NaN);
    if (left === 0) break;
    await clock.sleep(500);
  }
  const drainMs = left === 0 ? clock.monotonic() - stopped : null;
  say(left === 0 ? `all done ${Math.round(drainMs ?? 0)} ms after the load` : `${left} jobs left after ${options.waitMs} ms`);
  const failed = await producer.failed().catch(() => Number.NaN);
  // the phones' file is written in batches; asking for figures ends one
  const phones = await controlPhones(`tcp://127.0.0.1:${stack.phones?.port ?? 0}`);
  await phones.figures();
  phones.close();
  const flow = watchFlow();
  const { verdict, missing } = await judged(arrivalsPath, load.entries, (arrival) => flow.arrival(arrival));
  const flowed = flow.result(loadedUntil);
  if (failed > 0) say(`${failed} jobs given up for good`);
  const stuck = Math.min(missing, Number.isNaN(left) ? 0 : left);
  return {
    verdict,
    stuck,
    lost: missing - stuck,
    unsure: load.entries.filter(({ outcome }) => outcome !== 'accepted').length,
    flow: flowed,
    fullRateMs: flowed.fullRateAfter(healedAt, options.perSecond * FULL_SHARE),
    restarts: workers.restarts,
    drainMs,
  };
}

/** @throws Error when the stack, the peer or its workers could not be started */
export async function playPeer(clock: Clock, peer: Peer, strike: ArenaStrike, options: ArenaOptions): Promise<ArenaResult> {
  const began = clock.monotonic();
  const { say, seed } = options;
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-peer-'));
  const arrivals = join(folder, 'arrivals.ndjson');
  const guardian = createGuardian();
  let stack: Stack | undefined;
  let workers: PeerWorkers | undefined;
  let producer: Producer | undefined;
  try {
    stack = await startStack({
      dataDir: join(folder, 'data'),
      distDir: options.distDir,
      nodes: 0,
      gateways: 0,
      durable: true,
      phones: { arrivals, args: ['--seed', String(seed), '--latency', '5-40', '--receipts', 'off'] },
    });
    const addresses: Addresses = { redisUrl: stack.redisUrl, databaseUrl: stack.databaseUrl };
    await peer.prepare(addresses);
    producer = await peer.produce(addresses);
    const env = {
      REDIS_URL: stack.redisUrl,
      DATABASE_URL: stack.databaseUrl,
      SIMULATOR_URL: `tcp://127.0.0.1:${stack.phones?.port ?? 0}`,
    };
    workers = await startWorkers({ clock, guardian }, { distDir: options.distDir, peer: peer.name, count: WORKERS, env });
    say(`${WORKERS} workers`);
    const stage: ArenaStage = { clock, stack, workers, peer, say };
    return { ...(await perform(stage, seededDice(seed), producer, strike, options, arrivals)), tookMs: clock.monotonic() - began };
  } finally {
    await workers?.stop();
    await producer?.close().catch(() => {});
    await stack?.stop();
    guardian.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
