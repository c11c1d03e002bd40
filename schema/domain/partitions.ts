import { PARTITION_TAGS } from './partition-tags.ts';

/** How many partitions the devices are spread over: hash tag, doorbell and batching unit. Fixed for the life of an installation. */
export const PARTITIONS = 256;

/** The partition of a device: FNV-1a (32 bit) over the id's characters, modulo 256. */
export function partitionOf(deviceId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < deviceId.length; i++) {
    hash ^= deviceId.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  return ((hash >>> 0) ^ (hash >>> 16)) & 0xff;
}

/** The Redis Cluster hash tag of a partition, braces included. The table spreads the 256 tags evenly over the 16,384 slots. */
export function tagOf(partition: number): string {
  const tag = PARTITION_TAGS[partition];
  if (tag === undefined) throw new RangeError(`partition: expected 0 to ${PARTITIONS - 1}, got ${partition}`);
  return `{${tag}}`;
}
