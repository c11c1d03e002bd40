import type { Redis } from '../../ops/connect/index.ts';
import { deviceKeys } from '../../schema/domain/index.ts';
import type { Core } from './core.ts';
import type { Locks } from './redlock.ts';

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
