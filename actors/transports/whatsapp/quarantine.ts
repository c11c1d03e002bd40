import type { Redis, Sql } from '../../../ops/connect/index.ts';
import { type Clock, readAsset } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import { BELL, partitionKeys, partitionOf } from '../../../schema/domain/index.ts';
import { setQuarantine } from '../../../schema/sql/index.ts';

/**
 * Devices that a person must look at: their session cannot be read, or the server refuses it again and again. Nothing of theirs is wiped.
 * Owns: who waits here to be released, and one sweep for all of them. Called by device-connection.ts.
 */
export interface Quarantine {
  /** puts the device there and calls `released` once when an operator has let it go; the result stops waiting */
  enter(deviceId: string, reason: string, released: () => void): () => void;
  close(): void;
}

const SWEEP_MS = 2000;
const readReleased = readAsset(import.meta.url, './released.sql');

export function createQuarantine(deps: {
  readonly sql: Sql;
  readonly redis: Pick<Redis, 'publish'>;
  readonly clock: Clock;
  readonly log: Log;
}): Quarantine {
  const { sql, clock, log } = deps;
  const waiting = new Map<string, () => void>();
  let cancel: (() => void) | undefined;
  let closed = false;

  const sweep = async (): Promise<void> => {
    try {
      const rows = await sql.unsafe<{ id: string }[]>(readReleased, [[...waiting.keys()]], { prepare: true });
      for (const { id } of rows) {
        const released = waiting.get(id);
        waiting.delete(id);
        if (!closed) released?.();
      }
    } catch (error) {
      log.warn('quarantine.sweep', {}, error);
    }
    cancel = undefined;
    plan();
  };
  const plan = (): void => {
    if (closed || waiting.size === 0 || cancel !== undefined) return;
    cancel = clock.after(SWEEP_MS, () => void sweep(), { background: true });
  };
  const enter = async (deviceId: string, reason: string, released: () => void): Promise<void> => {
    try {
      await setQuarantine(sql, deviceId, reason);
      log.error('device.quarantined', { deviceId, reason });
      await deps.redis.publish(partitionKeys(partitionOf(deviceId)).bell, `${BELL.changed}${deviceId}`);
    } catch (error) {
      log.warn('quarantine.enter', { deviceId, reason }, error);
    }
    // only now: a row that is not marked yet would count as released
    if (waiting.get(deviceId) === undefined && !closed) waiting.set(deviceId, released);
    plan();
  };
  return {
    enter(deviceId, reason, released) {
      let over = false;
      void enter(deviceId, reason, () => !over && released());
      return () => {
        over = true;
        waiting.delete(deviceId);
      };
    },
    close() {
      closed = true;
      cancel?.();
      waiting.clear();
    },
  };
}
