import type { Redis } from '../../../../ops/connect/index.ts';
import type { Clock } from '../../../../ops/lifecycle/index.ts';
import { type DeviceRecord, type LiveBatch, liveKeys, type MessageEventRecord } from '../../../../schema/domain/index.ts';
import { createEventLog, type EventLog, type Position } from './checker.ts';

/** Reads the event stream of the only tenant from Redis, all of it from a position on, while it is written. */
export interface Recorder {
  readonly start: Position;
  readonly log: EventLog;
  /** how far it has read */
  readonly seq: number;
  /** up to what Redis has now; @throws when something was trimmed before it was read */
  read(): Promise<void>;
  /** the devices as the stream's state has them: `<state> <node>` by id */
  devices(): Promise<Map<string, string>>;
  close(): Promise<void>;
}

const READ_MS = 500;

export async function startRecorder(redis: Redis, clock: Clock): Promise<Recorder> {
  const [key] = await redis.keys(liveKeys('*', 'messages').position);
  if (key === undefined) throw new Error('there is no stream of message events yet');
  const tenantId = /\{live:(.*)\}/.exec(key)?.[1] ?? '';
  const keys = liveKeys(tenantId, 'messages');
  const [epoch, seq] = await redis.hmget(keys.position, 'epoch', 'seq');
  const start: Position = { epoch: epoch ?? '', seq: Number(seq) };
  const log = createEventLog();
  let at = start.seq;
  let reading: Promise<void> | undefined;
  let failure: Error | undefined;
  let closed = false;

  const readOn = async (): Promise<void> => {
    for (const [, fields] of await redis.xrange(keys.log, `(${at}-0`, '+')) {
      const batch = JSON.parse(fields[1] ?? 'null') as LiveBatch<MessageEventRecord>;
      if (batch.from !== at) throw new Error(`the log was trimmed before it was read: ${batch.from} after ${at}`);
      for (const [index, event] of batch.records.entries()) log.add(batch.epoch, batch.seq - batch.records.length + 1 + index, event);
      at = batch.seq;
    }
  };
  const read = (): Promise<void> => {
    if (failure !== undefined) return Promise.reject(failure);
    reading ??= readOn().finally(() => {
      reading = undefined;
    });
    return reading;
  };
  const loop = async (): Promise<void> => {
    while (!closed) {
      await read().catch((error: Error) => {
        failure = error;
        closed = true;
      });
      await clock.sleep(READ_MS);
    }
  };
  const looping = loop();
  return {
    start,
    log,
    get seq() {
      return at;
    },
    read,
    async devices() {
      const all = await redis.hgetall(liveKeys(tenantId, 'devices').state);
      const rows = Object.entries(all).filter(([, text]) => text !== 'removed');
      return new Map(
        rows.map(([id, text]) => {
          const record = JSON.parse(text.slice(text.indexOf('{'))) as DeviceRecord;
          return [id, `${record.state} ${record.node ?? ''}`];
        }),
      );
    },
    async close() {
      closed = true;
      await looping;
    },
  };
}
