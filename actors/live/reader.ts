import type { Redis } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { type DeviceRecord, type LiveBatch, liveKeys, type MessageEventRecord, type RemovedDevice } from '../../schema/domain/index.ts';
import { type LiveStreamName, LOG_LENGTH, type StreamPosition, snapshot } from './append.ts';

/**
 * The reading side of the live streams.
 * Owns: per tenant and stream a position, and the proof that everything up to it was handed to the sink.
 * Does not own: the state (the sink keeps it). Called by gateway/hub.
 * I1 A sink sees `reset` first, then batches with `from` equal to its position; a break is always another `reset`.
 * I2 Batches that arrive while a snapshot or a range is loaded are buffered, and those at or below the loaded position dropped.
 * I3 A lost publication is found by the next one, by a look every `checkMs`, or when the subscriber comes back, and read from the
 *    log; when the log no longer has it, or the epoch is another, a fresh snapshot is taken.
 */
export interface LiveRecords {
  readonly devices: DeviceRecord | RemovedDevice;
  readonly messages: MessageEventRecord;
}
export interface LiveSink<T> {
  /**
   * everything known before is void; `records` is the whole state (empty for messages, without removed devices) at `position`; `history` are the newest
   * batches up to it, without a hole between them, as far as the log has them
   */
  reset(position: StreamPosition, records: readonly T[], history: readonly LiveBatch<T>[]): void;
  batch(batch: LiveBatch<T>): void;
}
export interface LiveSubscription {
  /** resolves at the first `reset` */
  readonly ready: Promise<void>;
  close(): void;
}
export interface LiveReader {
  open<S extends LiveStreamName>(tenantId: string, stream: S, sink: LiveSink<LiveRecords[S]>): LiveSubscription;
  close(): void;
}
export interface LiveReaderDeps {
  /** role general */
  readonly redis: Redis;
  /** role subscriber; may be shared, other channels are left alone */
  readonly subscriber: Redis;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}
export interface LiveReaderOptions {
  /** time between looks at the positions; default 2 000 */
  readonly checkMs?: number;
}

const MAX_BUFFERED = 2_000;
/** batches read at a reset, so that clients of another gateway can resume here. Guess: 10 s of device changes; of events all
 * that is kept, since a reader that stands further back has to start over. */
const HISTORY: Readonly<Record<LiveStreamName, number>> = { devices: 200, messages: LOG_LENGTH };
type AnyBatch = LiveBatch<DeviceRecord & MessageEventRecord>;
type AnySink = LiveSink<DeviceRecord & MessageEventRecord>;

interface Stream {
  readonly tenantId: string;
  readonly name: LiveStreamName;
  readonly sink: AnySink;
  position: StreamPosition | undefined;
  /** not undefined while something is loaded */
  buffer: AnyBatch[] | undefined;
  /** loads that failed one after the other */
  failures: number;
  closed: boolean;
  readonly opened: () => void;
}

export function createLiveReader(deps: LiveReaderDeps, options: LiveReaderOptions = {}): LiveReader {
  const { redis, subscriber, clock, telemetry } = deps;
  const checkMs = options.checkMs ?? 2_000;
  const streams = new Map<string, Stream>();
  let closed = false;

  const take = (stream: Stream, batch: AnyBatch): 'taken' | 'old' | 'hole' | 'epoch' => {
    const at = stream.position;
    if (at === undefined || batch.epoch !== at.epoch) return 'epoch';
    if (batch.seq <= at.seq) return 'old';
    if (batch.from > at.seq) return 'hole';
    stream.position = { epoch: batch.epoch, seq: batch.seq };
    stream.sink.batch(batch);
    return 'taken';
  };
  /** Hands over what was buffered; false when it shows that more must be loaded. */
  const drainBuffer = (stream: Stream): boolean => {
    const buffered = stream.buffer ?? [];
    stream.buffer = undefined;
    if (buffered.length > MAX_BUFFERED) return false;
    for (const batch of buffered) {
      const outcome = take(stream, batch);
      if (outcome === 'hole' || outcome === 'epoch') return false;
    }
    return true;
  };
  const loadSnapshot = async (stream: Stream): Promise<void> => {
    const loaded = await snapshot(redis, stream.tenantId, stream.name);
    const history = await loadHistory(stream, loaded.position);
    if (stream.closed) return;
    stream.position = loaded.position;
    stream.sink.reset(loaded.position, loaded.records as (DeviceRecord & MessageEventRecord)[], history);
  };
  const loadHistory = async (stream: Stream, at: StreamPosition): Promise<AnyBatch[]> => {
    const { log } = liveKeys(stream.tenantId, stream.name);
    const entries = at.seq === 0 ? [] : await redis.xrevrange(log, `${at.seq}-0`, '-', 'COUNT', HISTORY[stream.name]);
    const history: AnyBatch[] = [];
    let next = at.seq;
    for (const [, fields] of entries) {
      const batch = JSON.parse(fields[1] ?? 'null') as AnyBatch;
      if (batch.epoch !== at.epoch || batch.seq !== next) break;
      next = batch.from;
      history.push(batch);
    }
    return history.reverse();
  };
  /** Reads what is missing from the log; false when it is not all there. */
  const loadRange = async (stream: Stream, at: StreamPosition): Promise<boolean> => {
    const keys = liveKeys(stream.tenantId, stream.name);
    const [entries, epoch] = await Promise.all([redis.xrange(keys.log, `(${at.seq}-0`, '+'), redis.hget(keys.position, 'epoch')]);
    if (stream.closed) return true;
    if (epoch !== at.epoch) return false;
    for (const [, fields] of entries) {
      const outcome = take(stream, JSON.parse(fields[1] ?? 'null') as AnyBatch);
      if (outcome === 'hole' || outcome === 'epoch') return false;
    }
    return entries.length > 0;
  };
  const load = async (stream: Stream, how: 'range' | 'snapshot'): Promise<void> => {
    if (stream.buffer !== undefined || stream.closed) return;
    stream.buffer = [];
    try {
      const at = stream.position;
      const recovered = how === 'range' && at !== undefined && (await loadRange(stream, at));
      if (!recovered) await loadSnapshot(stream);
      telemetry.count('live.recover', 1, { outcome: recovered ? 'gap-range' : 'gap-snapshot' });
      stream.failures = 0;
      if (stream.closed) return;
      stream.opened();
      if (!drainBuffer(stream)) await load(stream, 'range');
    } catch (error) {
      stream.buffer = undefined;
      stream.failures += 1;
      if (stream.failures === 1) telemetry.log.warn('live.load', { stream: stream.name }, error);
      clock.after(Math.min(1_000, 50 * 2 ** Math.min(stream.failures, 5)), () => void load(stream, how), { background: true });
    }
  };
  const onMessage = (channel: string, text: string): void => {
    const stream = streams.get(channel);
    if (stream === undefined) return;
    const batch = JSON.parse(text) as AnyBatch;
    telemetry.record('live.lag', Math.max(0, clock.wall() - batch.at) / 1000);
    if (stream.buffer !== undefined) {
      if (stream.buffer.length <= MAX_BUFFERED) stream.buffer.push(batch);
      return;
    }
    const outcome = take(stream, batch);
    if (outcome === 'hole') void load(stream, 'range');
    else if (outcome === 'epoch') void load(stream, 'snapshot');
  };
  const check = async (stream: Stream): Promise<void> => {
    const at = stream.position;
    if (at === undefined || stream.buffer !== undefined) return;
    const [epoch, seq] = await redis.hmget(liveKeys(stream.tenantId, stream.name).position, 'epoch', 'seq');
    if (stream.position !== at || stream.buffer !== undefined || stream.closed) return;
    if (epoch !== at.epoch || Number(seq) < at.seq) await load(stream, 'snapshot');
    else if (Number(seq) > at.seq) await load(stream, 'range');
  };
  const checkAll = (): Promise<unknown> => Promise.allSettled([...streams.values()].map(check));
  const onReady = (): void => void checkAll();
  const checkLater = (): (() => void) =>
    clock.after(
      checkMs,
      () => {
        void checkAll().finally(() => {
          if (!closed) cancelCheck = checkLater();
        });
      },
      { background: true },
    );
  let cancelCheck = checkLater();
  subscriber.on('message', onMessage);
  subscriber.on('ready', onReady);

  const subscribe = async (stream: Stream, channel: string): Promise<void> => {
    while (!stream.closed) {
      try {
        await subscriber.subscribe(channel);
        break;
      } catch (error) {
        telemetry.log.warn('live.subscribe', { stream: stream.name }, error);
        await clock.sleep(500);
      }
    }
    await load(stream, 'snapshot');
  };

  return {
    open(tenantId, name, sink) {
      const channel = liveKeys(tenantId, name).channel;
      if (streams.has(channel)) throw new Error(`the ${name} stream of this tenant is open already`);
      let opened = (): void => {};
      const ready = new Promise<void>((resolve) => {
        opened = resolve;
      });
      const stream: Stream = {
        tenantId,
        name,
        sink: sink as unknown as AnySink,
        position: undefined,
        buffer: undefined,
        failures: 0,
        closed: false,
        opened,
      };
      streams.set(channel, stream);
      void subscribe(stream, channel);
      return {
        ready,
        close() {
          if (stream.closed) return;
          stream.closed = true;
          streams.delete(channel);
          subscriber.unsubscribe(channel).catch(() => undefined);
        },
      };
    },
    close() {
      closed = true;
      cancelCheck();
      subscriber.off('message', onMessage);
      subscriber.off('ready', onReady);
      for (const stream of streams.values()) stream.closed = true;
      streams.clear();
    },
  };
}
