import type { DeviceState, MessageState, TransportKind } from './states.ts';

/** The live record of one device. `epoch` then `version` order records of one device: a stale node's late word loses. */
export interface DeviceRecord {
  readonly id: string;
  readonly name: string;
  readonly state: DeviceState;
  /** machine-readable, UPPER_SNAKE, or null */
  readonly reason: string | null;
  readonly node: string | null;
  readonly epoch: number;
  /** rises with each change inside one epoch */
  readonly version: number;
  readonly transport: TransportKind;
  /** wall ms */
  readonly at: number;
}

/** A device that is gone for good. It beats whatever else is said of the device, for as long as it is kept (ten minutes). */
export interface RemovedDevice {
  readonly id: string;
  readonly removed: true;
}
export function isRemoved(record: DeviceRecord | RemovedDevice): record is RemovedDevice {
  return 'removed' in record;
}

/** A change of a message. Clients drop what they have by (message, rank of state). */
export interface MessageEventRecord {
  readonly messageId: string;
  readonly deviceId: string;
  readonly state: MessageState;
  readonly cause: string | null;
  readonly attempts: number;
  /** wall ms */
  readonly at: number;
}

/**
 * One numbered batch of a live stream, as published and logged: covers (from, seq]. A batch of devices counts as one, a batch of
 * message events as many as it has: the i-th event is from + 1 + i. `epoch` is a random string made when the stream is created; a
 * reader that sees another epoch, or `from` above its position, has a gap and takes a snapshot.
 */
export interface LiveBatch<T> {
  readonly epoch: string;
  readonly from: number;
  readonly seq: number;
  /** wall ms of the writer */
  readonly at: number;
  readonly records: readonly T[];
}
