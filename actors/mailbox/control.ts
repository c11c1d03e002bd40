import { defineScript } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';
import { LINK_ACK_STATUSES, type LinkAckStatus, partitionKeys, partitionOf } from '../../schema/domain/index.ts';
import { type Call, type MailboxRedis, runAll } from './script.ts';

/**
 * The control lane of link devices: what they said about messages, kept in Redis from the moment a gateway has it until the ledger has it, so
 * that neither a gateway's nor a node's death takes it away. The device keeps it as well until it is told that the ledger has it: losing
 * Redis loses nothing that the device does not say again.
 *
 * Owns nothing but the shape of the entries. Gateways `keep`, owners `read` and `remove`.
 * A1 An entry is removed only once the ledger has it, or once it can say nothing any more; removing by a stale owner is therefore harmless.
 * A2 A partition holds a bounded number of entries; above it nothing is kept and the device's repeat is what is left.
 */
export interface DeviceAck {
  readonly deviceId: string;
  readonly messageId: string;
  readonly status: LinkAckStatus;
  readonly epoch: number;
  readonly error: string | null;
  /** wall ms at which the gateway got it */
  readonly at: number;
}
export type AckPlace = Pick<DeviceAck, 'deviceId' | 'messageId' | 'status'>;

export interface ControlLane {
  /** how many of them were kept; rejects when Redis did not answer (they may have been kept) */
  keep(acks: readonly DeviceAck[]): Promise<number>;
  /** all that is kept in these partitions, of any device */
  read(partitions: readonly number[]): Promise<readonly DeviceAck[]>;
  remove(acks: readonly AckPlace[]): Promise<void>;
}

/** entries of one partition: 256 x 5000 x 200 bytes are 256 MB at worst (guess) */
const MOST = 5000;
const LIFE_MS = 48 * 3_600_000;

const keepScript = defineScript(readAsset(import.meta.url, './keep-acks.lua'));
const fieldOf = ({ deviceId, messageId, status }: AckPlace): string => `${deviceId}:${messageId}:${status}`;

function ackOf(field: string, value: string): DeviceAck | undefined {
  const [deviceId, messageId, said] = field.split(':');
  const status = LINK_ACK_STATUSES.find((one) => one === said);
  const parsed: unknown = JSON.parse(value);
  if (deviceId === undefined || messageId === undefined || status === undefined || !Array.isArray(parsed)) return undefined;
  const [epoch, at, error] = parsed as unknown[];
  if (typeof epoch !== 'number' || typeof at !== 'number') return undefined;
  return { deviceId, messageId, status, epoch, at, error: typeof error === 'string' ? error : null };
}

function byPartition<T extends { readonly deviceId: string }>(items: readonly T[]): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const partition = partitionOf(item.deviceId);
    const group = groups.get(partition);
    if (group === undefined) groups.set(partition, [item]);
    else group.push(item);
  }
  return groups;
}

export function createControlLane(redis: MailboxRedis, options: { readonly most?: number } = {}): ControlLane {
  const most = options.most ?? MOST;
  return {
    async keep(acks) {
      const calls: Call[] = [...byPartition(acks)].map(([partition, group]) => ({
        keys: [partitionKeys(partition).acks],
        args: [most, LIFE_MS, ...group.flatMap((ack) => [fieldOf(ack), JSON.stringify([ack.epoch, ack.at, ack.error])])],
      }));
      let kept = 0;
      for (const answer of await runAll(redis, keepScript, calls)) {
        if (answer instanceof Error) throw answer;
        for (const one of answer as number[]) kept += one;
      }
      return kept;
    },
    async read(partitions) {
      const pipeline = redis.pipeline();
      for (const partition of partitions) pipeline.hgetall(partitionKeys(partition).acks);
      const found: DeviceAck[] = [];
      for (const [error, fields] of (await pipeline.exec()) ?? []) {
        if (error !== null) throw error;
        for (const [field, value] of Object.entries(fields as Record<string, string>)) {
          const ack = ackOf(field, value);
          if (ack !== undefined) found.push(ack);
        }
      }
      return found;
    },
    async remove(acks) {
      const pipeline = redis.pipeline();
      for (const [partition, group] of byPartition(acks)) pipeline.hdel(partitionKeys(partition).acks, ...group.map(fieldOf));
      for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
    },
  };
}
