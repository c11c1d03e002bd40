import { randomBytes } from 'node:crypto';
import { defineScript, type Redis } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';
import { type DeviceRecord, isRemoved, liveKeys, type MessageEventRecord, type RemovedDevice } from '../../schema/domain/index.ts';

export type LiveStreamName = 'devices' | 'messages';
export interface StreamPosition {
  readonly epoch: string;
  readonly seq: number;
}
/** `created`: the stream has a new epoch. `counted`: records that were not stale. */
export interface AppendResult extends StreamPosition {
  readonly created: boolean;
  readonly counted: number;
}

const appendScript = defineScript(readAsset(import.meta.url, './live-append.lua'));
const snapshotScript = defineScript(readAsset(import.meta.url, './live-snapshot.lua'));

/** Batches kept for readers that missed some: at 20 batches a second about 100 s. */
export const LOG_LENGTH = 2_000;
/** A removed device is told apart from one nobody has spoken of for this long: far longer than any late word of an old owner. */
const REMOVAL_LIFE_MS = 600_000;
/** Random name of a stream's life. */
export const newEpoch = (): string => randomBytes(9).toString('base64url');

export interface Append {
  readonly tenantId: string;
  /** wall ms */
  readonly at: number;
  /** what this writer saw last of the stream */
  readonly seen: StreamPosition | undefined;
  /** events were dropped: readers must see a break */
  readonly reset: boolean;
  readonly records:
    | { readonly stream: 'devices'; readonly list: readonly (DeviceRecord | RemovedDevice)[] }
    | { readonly stream: 'messages'; readonly list: readonly MessageEventRecord[] };
}

/** Runs live-append.lua. May be repeated after an unknown outcome: device records do not count twice, events repeat (readers drop them). */
export async function append(redis: Redis, batch: Append): Promise<AppendResult> {
  const { stream } = batch.records;
  const keys = liveKeys(batch.tenantId, stream);
  const args: (string | number)[] = [
    keys.channel,
    newEpoch(),
    batch.seen?.epoch ?? '',
    batch.seen?.seq ?? 0,
    batch.at,
    LOG_LENGTH,
    batch.reset ? '1' : '0',
    stream,
    REMOVAL_LIFE_MS,
  ];
  if (batch.records.stream === 'devices') {
    for (const record of batch.records.list) {
      if (isRemoved(record)) args.push(record.id, 'removed', 0, JSON.stringify(record));
      else args.push(record.id, record.epoch, record.version, JSON.stringify(record));
    }
  } else {
    for (const record of batch.records.list) args.push(JSON.stringify(record));
  }
  const own = stream === 'devices' ? [keys.state, keys.removed] : [keys.log, keys.log];
  const reply = await appendScript.run(redis, [keys.position, keys.log, ...own], args);
  const [epoch, seq, created, counted] = reply as [string, string, number, number];
  return { epoch, seq: Number(seq), created: created === 1, counted };
}

/** Runs live-snapshot.lua: the position and, for devices, every record. */
export async function snapshot(
  redis: Redis,
  tenantId: string,
  stream: LiveStreamName,
): Promise<{ readonly position: StreamPosition; readonly records: readonly DeviceRecord[] }> {
  const keys = liveKeys(tenantId, stream);
  const state = stream === 'devices' ? keys.state : keys.position;
  const reply = (await snapshotScript.run(redis, [keys.position, state], [newEpoch(), stream])) as string[];
  const records: DeviceRecord[] = [];
  for (let at = 3; at < reply.length; at += 2) {
    const text = reply[at] ?? '';
    if (text === 'removed') continue;
    records.push(JSON.parse(text.slice(text.indexOf('{'))) as DeviceRecord);
  }
  return { position: { epoch: reply[0] ?? '', seq: Number(reply[1]) }, records };
}
