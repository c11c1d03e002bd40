import type { Telemetry } from '../../ops/telemetry/index.ts';
import { BELL, partitionKeys } from '../../schema/domain/index.ts';
import type { Subscriptions } from './subscriptions.ts';

/** Listens to the doorbells of the partitions it owns devices in. Lossy by nature: sweeps repair. */
export interface Bells {
  on(partition: number): void;
}

export function createBells(
  subscriptions: Subscriptions,
  telemetry: Pick<Telemetry, 'log'>,
  handlers: { work(deviceId: string): void; missed(deviceId: string): void; changed(deviceId: string): void; link(deviceId: string): void },
): Bells {
  const heard = new Set<number>();
  return {
    on(partition) {
      if (heard.has(partition)) return;
      heard.add(partition);
      subscriptions
        .on(partitionKeys(partition).bell, (text) => {
          const kind = text.charAt(0);
          const deviceId = text.slice(1);
          if (kind === BELL.work || kind === BELL.behind) handlers.work(deviceId);
          else if (kind === BELL.missed) handlers.missed(deviceId);
          else if (kind === BELL.changed) handlers.changed(deviceId);
          else if (kind === BELL.link) handlers.link(deviceId);
        })
        .catch((error: unknown) => {
          heard.delete(partition);
          telemetry.log.warn('bell.subscribe', { partition }, error);
        });
    },
  };
}
