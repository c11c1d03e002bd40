import { defineScript } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';
import { partitionKeys } from '../../schema/domain/index.ts';
import { type Call, type MailboxRedis, runAll } from './script.ts';

const peekScript = defineScript(readAsset(import.meta.url, './peek.lua'));
const lookScript = defineScript(readAsset(import.meta.url, './look.lua'));
const astrayScript = defineScript(readAsset(import.meta.url, './astray.lua'));
const refillScript = defineScript(readAsset(import.meta.url, './refill.lua'));
/** devices in one run of a script, and rows in one run of refill: keep a run near a millisecond (guess) */
const DEVICES = 100;
const ROWS = 500;
/** devices listed by one sweep of a partition */
const LISTED = 1000;

/** A place in a mailbox: lane number (index of LANES) and seq. */
export interface MailboxPlace {
  readonly lane: number;
  readonly seq: number;
}
export interface MailboxHead extends MailboxPlace {
  readonly messageId: string;
  /** empty: not traced */
  readonly traceparent: string;
}
export interface PeekAsk {
  readonly deviceId: string;
  readonly partition: number;
  readonly epoch: number;
  /** places whose messages have ended: taken away first */
  readonly acks: readonly MailboxPlace[];
}
/** LOST: Redis lost the partition or this fence. FENCED: a newer owner. BARE: the mailbox was never started in this generation. */
export type PeekAnswer =
  | { readonly kind: 'FENCED' | 'LOST' | 'BARE' }
  /** heads per lane number, oldest first; `behind`: the ledger is known to hold more for these lanes, and they have room */
  | { readonly kind: 'OK'; readonly behind: readonly number[]; readonly lanes: readonly (readonly MailboxHead[])[] };

export interface LaneLook {
  /** count of `behind` marks; to be handed to the refill that follows */
  readonly marks: number;
  /** last seq put into the lane; means nothing while not started */
  readonly last: number;
  readonly entries: number;
}
/** `started` false: the mailbox was never started in this generation. */
export interface Look {
  readonly started: boolean;
  readonly lanes: readonly LaneLook[];
}
export interface RefillRow {
  readonly seq: number;
  readonly messageId: string;
  readonly traceparent: string | null;
}
export interface LaneRefill {
  readonly lane: number;
  /** from the look that came before the ledger was read */
  readonly marks: number;
  /** the rows are all that the ledger holds above `last` */
  readonly complete: boolean;
  /** clear the lane and start it after this seq; undefined = go on */
  readonly start: number | undefined;
  /** the last seq of that look: the rows were read behind it. A lane that ends before it (Redis was rolled back meanwhile) takes none of them. */
  readonly after: number;
  /** rising seq */
  readonly rows: readonly RefillRow[];
}
export interface RefillOrder {
  readonly deviceId: string;
  readonly partition: number;
  readonly epoch: number;
  /** to start a mailbox all three lanes are given, each with `start` */
  readonly lanes: readonly LaneRefill[];
}
/** MORE: something is still behind; ask again when there is room. */
export type RefillAnswer = 'OK' | 'MORE' | 'BARE' | 'FENCED' | 'LOST';

/**
 * The owner's view of the mailboxes in Redis: windows over the ledger, never the only copy.
 *
 * Owns: the peeks of the present tick. Called by actors/node only.
 * I1 Every change is fenced by (generation, epoch) inside the script.
 * I2 All peeks of a tick go out as one script run per partition, all runs in one pipeline.
 */
export interface Mailbox {
  /** takes acks away, then shows up to `heads` per lane; rejects when Redis does not answer (the outcome is unknown, a repeat is harmless) */
  peek(ask: PeekAsk): Promise<PeekAnswer>;
  /** takes acks away without looking */
  ack(ask: PeekAsk): Promise<PeekAnswer>;
  look(devices: readonly { readonly deviceId: string; readonly partition: number }[]): Promise<(Look | 'LOST')[]>;
  refill(orders: readonly RefillOrder[]): Promise<RefillAnswer[]>;
  /** per lane: has it gone past this seq, that of its oldest open message, without holding it? false also where the partition is lost */
  astray(lanes: readonly (MailboxPlace & { readonly deviceId: string; readonly partition: number })[]): Promise<boolean[]>;
  /** devices with work, per partition, oldest wait first; a hint */
  ready(partitions: readonly number[]): Promise<string[][]>;
}

export interface MailboxDeps {
  readonly redis: MailboxRedis;
  /** the partition's generation as this node knows it; undefined while lost */
  generation(partition: number): string | undefined;
}
export interface MailboxOptions {
  readonly window: number;
  /** heads shown per lane and peek */
  readonly heads: number;
}

interface Waiting {
  readonly ask: PeekAsk;
  resolve(answer: PeekAnswer): void;
  reject(error: Error): void;
}

export function createMailbox(deps: MailboxDeps, options: MailboxOptions): Mailbox {
  const { redis } = deps;

  /** one function per number of heads, each with its own batch */
  const peeker = (heads: number): ((ask: PeekAsk) => Promise<PeekAnswer>) => {
    let waiting: Waiting[] = [];
    const flush = (): void => {
      const batch = waiting;
      waiting = [];
      void peekAll(deps, heads, Math.floor(options.window / 2), batch);
    };
    return (ask) =>
      new Promise((resolve, reject) => {
        if (waiting.length === 0) setImmediate(flush);
        waiting.push({ ask, resolve, reject });
      });
  };

  return {
    peek: peeker(options.heads),
    ack: peeker(0),
    async look(devices) {
      const answers: (Look | 'LOST')[] = new Array(devices.length).fill('LOST');
      const calls: Call[] = [];
      const places: number[][] = [];
      for (const [partition, indexes] of byPartition(devices)) {
        const generation = deps.generation(partition);
        if (generation === undefined) continue;
        for (let from = 0; from < indexes.length; from += DEVICES) {
          const chunk = indexes.slice(from, from + DEVICES);
          calls.push({
            keys: [partitionKeys(partition).generation],
            args: [generation, ...chunk.map((index) => devices[index]?.deviceId ?? '')],
          });
          places.push(chunk);
        }
      }
      const replies = await runAll(redis, lookScript, calls);
      replies.forEach((reply, call) => {
        if (reply instanceof Error) throw reply;
        const [status, rows] = reply as [string, number[][]?];
        if (status === 'LOST') return;
        rows?.forEach((raw, row) => {
          answers[places[call]?.[row] ?? -1] = {
            started: raw[0] === 1,
            lanes: [1, 4, 7].map((at) => ({ marks: raw[at] ?? 0, last: raw[at + 1] ?? 0, entries: raw[at + 2] ?? 0 })),
          };
        });
      });
      return answers;
    },
    refill: (orders) => refillAll(deps, options.window, orders),
    astray: (lanes) => astrayAll(deps, lanes),
    async ready(partitions) {
      const pipeline = redis.pipeline();
      for (const partition of partitions) pipeline.zrange(partitionKeys(partition).ready, '0', String(LISTED - 1));
      const replies = (await pipeline.exec()) ?? [];
      return partitions.map((_partition, index) => {
        const reply = replies[index];
        if (reply === undefined || reply[0] !== null) throw reply?.[0] ?? new Error('the pipeline answered too little');
        return reply[1] as string[];
      });
    },
  };
}

async function peekAll(deps: MailboxDeps, heads: number, room: number, batch: readonly Waiting[]): Promise<void> {
  const calls: Call[] = [];
  const asked: Waiting[][] = [];
  for (const [partition, indexes] of byPartition(batch.map((one) => one.ask))) {
    const generation = deps.generation(partition);
    const members = indexes.map((index) => batch[index]).filter((one) => one !== undefined);
    if (generation === undefined) {
      for (const one of members) one.resolve({ kind: 'LOST' });
      continue;
    }
    const keys = partitionKeys(partition);
    for (let from = 0; from < members.length; from += DEVICES) {
      const chunk = members.slice(from, from + DEVICES);
      const args: (string | number)[] = [generation, heads, room];
      for (const { ask } of chunk) {
        args.push(ask.deviceId, ask.epoch, ask.acks.length);
        for (const place of ask.acks) args.push(place.lane, place.seq);
      }
      calls.push({ keys: [keys.generation, keys.ready], args });
      asked.push(chunk);
    }
  }
  try {
    const replies = await runAll(deps.redis, peekScript, calls);
    replies.forEach((reply, call) => {
      answerPeeks(reply, asked[call] ?? []);
    });
  } catch (error) {
    for (const one of batch) one.reject(error as Error);
  }
}

async function astrayAll(deps: MailboxDeps, lanes: Parameters<Mailbox['astray']>[0]): Promise<boolean[]> {
  const answers: boolean[] = new Array(lanes.length).fill(false);
  const calls: Call[] = [];
  const places: number[][] = [];
  for (const [partition, indexes] of byPartition(lanes)) {
    const generation = deps.generation(partition);
    if (generation === undefined) continue;
    for (let from = 0; from < indexes.length; from += DEVICES) {
      const chunk = indexes.slice(from, from + DEVICES);
      const args: (string | number)[] = [generation];
      for (const index of chunk) {
        const place = lanes[index];
        if (place !== undefined) args.push(place.deviceId, place.lane, place.seq);
      }
      calls.push({ keys: [partitionKeys(partition).generation], args });
      places.push(chunk);
    }
  }
  const replies = await runAll(deps.redis, astrayScript, calls);
  replies.forEach((reply, call) => {
    if (reply instanceof Error) throw reply;
    const [, letters = ''] = reply as [string, string?];
    places[call]?.forEach((index, at) => {
      answers[index] = letters[at] === 'A';
    });
  });
  return answers;
}

const ALL_THERE: readonly number[] = [];
type RawPeek = 'FENCED' | 'LOST' | 'BARE' | [number, string[], string[], string[]];
function answerPeeks(reply: unknown, asked: readonly Waiting[]): void {
  if (reply instanceof Error) {
    for (const one of asked) one.reject(reply);
    return;
  }
  const [status, raws] = reply as [string, RawPeek[]?];
  asked.forEach((one, index) => {
    const raw = status === 'LOST' ? 'LOST' : (raws?.[index] ?? 'LOST');
    if (typeof raw === 'string') one.resolve({ kind: raw });
    else {
      const behind = raw[0] === 0 ? ALL_THERE : [0, 1, 2].filter((lane) => (raw[0] & (1 << lane)) !== 0);
      one.resolve({ kind: 'OK', behind, lanes: [headsOf(0, raw[1]), headsOf(1, raw[2]), headsOf(2, raw[3])] });
    }
  });
}

function headsOf(lane: number, flat: readonly string[]): MailboxHead[] {
  const heads: MailboxHead[] = [];
  for (let i = 0; i < flat.length; i += 3) {
    heads.push({ lane, seq: Number(flat[i]), messageId: flat[i + 1] ?? '', traceparent: flat[i + 2] ?? '' });
  }
  return heads;
}

async function refillAll(deps: MailboxDeps, window: number, orders: readonly RefillOrder[]): Promise<RefillAnswer[]> {
  const answers: RefillAnswer[] = new Array(orders.length).fill('LOST');
  const calls: Call[] = [];
  const places: number[][] = [];
  for (const [partition, indexes] of byPartition(orders)) {
    const generation = deps.generation(partition);
    if (generation === undefined) continue;
    const keys = partitionKeys(partition);
    let args: (string | number)[] = [generation, window];
    let chunk: number[] = [];
    let rows = 0;
    const close = (): void => {
      if (chunk.length === 0) return;
      calls.push({ keys: [keys.generation, keys.ready], args });
      places.push(chunk);
      args = [generation, window];
      chunk = [];
      rows = 0;
    };
    for (const index of indexes) {
      const order = orders[index];
      if (order === undefined) continue;
      if (chunk.length > 0 && rows + rowsOf(order) > ROWS) close();
      pushOrder(args, order);
      chunk.push(index);
      rows += rowsOf(order);
    }
    close();
  }
  const replies = await runAll(deps.redis, refillScript, calls);
  replies.forEach((reply, call) => {
    if (reply instanceof Error) throw reply;
    const [status, words] = reply as [string, RefillAnswer[]?];
    if (status === 'LOST') return;
    words?.forEach((word, row) => {
      answers[places[call]?.[row] ?? -1] = word;
    });
  });
  return answers;
}

function rowsOf(order: RefillOrder): number {
  return order.lanes.reduce((sum, lane) => sum + lane.rows.length, 0);
}

function pushOrder(args: (string | number)[], order: RefillOrder): void {
  args.push(order.deviceId, order.epoch, order.lanes.length);
  for (const lane of order.lanes) {
    args.push(lane.lane, lane.marks, lane.complete ? 1 : 0, lane.start ?? '', lane.start ?? lane.after, lane.rows.length);
    for (const row of lane.rows) args.push(row.seq, row.messageId, row.traceparent ?? '');
  }
}

/** indexes into the list, by partition */
function byPartition(list: readonly { readonly partition: number }[]): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  list.forEach((one, index) => {
    const group = groups.get(one.partition);
    if (group === undefined) groups.set(one.partition, [index]);
    else group.push(index);
  });
  return groups;
}
