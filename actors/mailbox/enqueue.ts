import { defineScript } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { BELL, LANES, type Lane, partitionKeys, partitionOf } from '../../schema/domain/index.ts';
import { type Call, type MailboxRedis, runAll } from './script.ts';

const script = defineScript(readAsset(import.meta.url, './enqueue.lua'));
/** entries in one run of the script: keeps it under a millisecond (guess) */
const CHUNK = 200;
/** entries whose round is under way: some 20 MB at most. Guess */
const MOST_UNDER_WAY = 50_000;

export interface EnqueueEntry {
  readonly deviceId: string;
  readonly lane: Lane;
  readonly seq: number;
  readonly messageId: string;
  /** empty or null: not traced */
  readonly traceparent: string | null;
}

/**
 * Tells mailboxes about messages that are committed in the ledger.
 *
 * Owns: the entries of the present tick and a cache of generations. Called by whoever makes messages due (gateway accept, promotion).
 * I1 Never fails and never delays its caller's answer by more than one round trip: what is not told is refilled by the owner.
 * I2 Entries of one device keep their order.
 * I3 While Redis hangs no more than `mostUnderWay` entries are kept; others are dropped (outcome DROPPED): each is a hint, and refilled.
 */
export interface Enqueuer {
  /** resolves when Redis has answered or failed to; never rejects */
  enqueue(entries: readonly EnqueueEntry[]): Promise<void>;
  /** a commit had no answer: the ledger may hold messages of these that nobody told of. Their owners are asked to look; lossy, never throws */
  missed(deviceIds: Iterable<string>): void;
}

export interface EnqueuerDeps {
  readonly redis: MailboxRedis;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
}

interface Batch {
  readonly byPartition: Map<number, EnqueueEntry[]>;
  readonly done: Promise<void>;
}

export interface EnqueuerOptions {
  /** entries of one lane kept in Redis (setting MAILBOX_WINDOW) */
  readonly window: number;
  readonly mostUnderWay?: number;
}

export function createEnqueuer(deps: EnqueuerDeps, options: EnqueuerOptions = { window: 50 }): Enqueuer {
  const { redis, telemetry } = deps;
  const mostUnderWay = options.mostUnderWay ?? MOST_UNDER_WAY;
  let underWay = 0;
  const generations = new Map<number, string>();
  let batch: Batch | undefined;

  const readGenerations = async (partitions: readonly number[]): Promise<void> => {
    if (partitions.length === 0) return;
    const pipeline = redis.pipeline();
    for (const partition of partitions) pipeline.get(partitionKeys(partition).generation);
    const replies = (await pipeline.exec()) ?? [];
    partitions.forEach((partition, index) => {
      const value = replies[index]?.[1];
      if (typeof value === 'string') generations.set(partition, value);
    });
  };

  /** one round; gives back the partitions whose generation was not the one believed in */
  const round = async (work: ReadonlyMap<number, readonly EnqueueEntry[]>): Promise<Set<number>> => {
    await readGenerations([...work.keys()].filter((partition) => !generations.has(partition)));
    const lost = new Set<number>();
    const calls: Call[] = [];
    const of: number[] = [];
    for (const [partition, entries] of work) {
      const generation = generations.get(partition);
      if (generation === undefined) {
        lost.add(partition);
        continue;
      }
      for (let from = 0; from < entries.length; from += CHUNK) {
        calls.push(callOf(partition, generation, options.window, entries.slice(from, from + CHUNK)));
        of.push(partition);
      }
    }
    const codes = { O: 0, D: 0, B: 0 };
    const replies = await runAll(redis, script, calls);
    replies.forEach((reply, index) => {
      if (reply instanceof Error) throw reply;
      const [status, letters] = reply as [string, string?];
      if (status === 'LOST') lost.add(of[index] ?? -1);
      else for (const letter of letters ?? '') codes[letter as keyof typeof codes] += 1;
    });
    if (codes.O > 0) telemetry.count('enqueue.outcome', codes.O, { outcome: 'OK' });
    if (codes.D > 0) telemetry.count('enqueue.outcome', codes.D, { outcome: 'DONE' });
    if (codes.B > 0) telemetry.count('enqueue.outcome', codes.B, { outcome: 'BEHIND' });
    return lost;
  };

  const run = async (work: ReadonlyMap<number, readonly EnqueueEntry[]>): Promise<void> => {
    try {
      const lost = await round(work);
      if (lost.size === 0) return;
      for (const partition of lost) generations.delete(partition);
      const again = new Map([...work].filter(([partition]) => lost.has(partition)));
      const still = await round(again);
      for (const partition of still) {
        generations.delete(partition);
        telemetry.count('enqueue.outcome', again.get(partition)?.length ?? 0, { outcome: 'LOST' });
      }
    } catch (error) {
      telemetry.count('enqueue.outcome', count(work), { outcome: 'ERROR' });
      telemetry.log.debug('enqueue.failed', { error: error instanceof Error ? error.message : String(error) });
    }
  };

  const open = (): Batch => {
    const byPartition = new Map<number, EnqueueEntry[]>();
    const done = new Promise<void>((resolve) => {
      setImmediate(() => {
        batch = undefined;
        const entries = count(byPartition);
        void run(byPartition).then(() => {
          underWay -= entries;
          resolve();
        });
      });
    });
    return { byPartition, done };
  };

  return {
    enqueue(entries) {
      const room = Math.max(0, mostUnderWay - underWay);
      const taken = entries.length <= room ? entries : entries.slice(0, room);
      if (taken.length < entries.length) telemetry.count('enqueue.outcome', entries.length - taken.length, { outcome: 'DROPPED' });
      if (taken.length === 0) return Promise.resolve();
      underWay += taken.length;
      batch ??= open();
      for (const entry of taken) {
        const partition = partitionOf(entry.deviceId);
        const queue = batch.byPartition.get(partition);
        if (queue === undefined) batch.byPartition.set(partition, [entry]);
        else queue.push(entry);
      }
      return batch.done;
    },
    missed(deviceIds) {
      const pipeline = redis.pipeline();
      for (const deviceId of new Set(deviceIds)) pipeline.publish(partitionKeys(partitionOf(deviceId)).bell, BELL.missed + deviceId);
      pipeline.exec().catch((error: unknown) => telemetry.log.debug('enqueue.missed', { error: String(error) }));
    },
  };
}

function callOf(partition: number, generation: string, window: number, entries: readonly EnqueueEntry[]): Call {
  const keys = partitionKeys(partition);
  const args: (string | number)[] = [generation, window, keys.bell];
  for (const entry of entries) args.push(entry.deviceId, LANES.indexOf(entry.lane), entry.seq, entry.messageId, entry.traceparent ?? '');
  return { keys: [keys.generation, keys.ready], args };
}

function count(work: ReadonlyMap<number, readonly EnqueueEntry[]>): number {
  let total = 0;
  for (const entries of work.values()) total += entries.length;
  return total;
}
