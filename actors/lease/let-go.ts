import type { Redis } from '../../ops/connect/index.ts';
import { deviceKeys } from '../../schema/domain/index.ts';
import type { Core } from './core.ts';
import type { Locks } from './redlock.ts';
import type { OwnerRow } from './types.ts';

/** How long Redis remembers that a device was let go of its own accord; a restart of everything within a day is not taken for a crash. */
const REMEMBER_MS = 86_400_000;

/** Releases leases and, for those given up voluntarily, notes the epoch at which that was. Never throws: leases end by themselves. */
export function createLetGo(redis: Redis, locks: Locks): Core['letGo'] {
  return async (held, voluntary) => {
    if (held.length === 0) return;
    if (voluntary) {
      const note = redis.pipeline();
      for (const { device } of held) note.set(deviceKeys(device.deviceId).released, String(device.epoch), 'PX', REMEMBER_MS);
      await note.exec().catch(() => null);
    }
    await locks.release(held.map((one) => ({ deviceId: one.device.deviceId, token: one.token })));
  };
}

/** The epochs at which devices were let go of their own accord, where Redis still knows. */
export async function readReleased(redis: Redis, rows: readonly OwnerRow[]): Promise<Map<string, number>> {
  const released = new Map<string, number>();
  const asked = rows.filter((row) => row.node !== null);
  if (asked.length === 0) return released;
  const read = redis.pipeline();
  for (const row of asked) read.get(deviceKeys(row.deviceId).released);
  const replies = (await read.exec()) ?? [];
  asked.forEach((row, i) => {
    const text = replies[i]?.[1];
    if (typeof text === 'string') released.set(row.deviceId, Number(text));
  });
  return released;
}

/** Whom the ownership row names as the last owner that has not let go: this node, another one, or nobody. */
export function namedBy(row: OwnerRow, released: ReadonlyMap<string, number>, nodeId: string): 'me' | 'other' | 'nobody' {
  if (row.node === null || released.get(row.deviceId) === row.epoch) return 'nobody';
  return row.node === nodeId ? 'me' : 'other';
}
