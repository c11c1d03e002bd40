import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { InboundItem } from '../../schema/sql/index.ts';

/**
 * Stores inbound messages in batches and says `ok` afterwards, never before: a device repeats what it has no `ok` for, so a failure or
 * a full queue here loses nothing. Owns: the messages not yet stored.
 */
export interface InboundQueue {
  add(item: InboundItem, ok: () => void): void;
}

const MOST = 20_000;
const BATCH = 500;

export function createInboundQueue(deps: {
  readonly store: (items: readonly InboundItem[]) => Promise<unknown>;
  readonly telemetry: Telemetry;
}): InboundQueue {
  let queue: { item: InboundItem; ok: () => void }[] = [];
  let running = false;
  const run = async (): Promise<void> => {
    while (queue.length > 0) {
      const taken = queue.slice(0, BATCH);
      queue = queue.slice(BATCH);
      // a statement takes each (device, id) once
      const unique = new Map(taken.map(({ item }) => [`${item.deviceId} ${item.id}`, item]));
      try {
        await deps.store([...unique.values()]);
        deps.telemetry.count('inbound', unique.size, { transport: 'link' });
        for (const { ok } of taken) ok();
      } catch (error) {
        deps.telemetry.log.warn('link.inbound.failed', { items: taken.length }, error);
      }
    }
    running = false;
  };
  return {
    add(item, ok) {
      if (queue.length >= MOST) {
        deps.telemetry.count('limit.rejected', 1, { limit: 'link_inbound' });
        return;
      }
      queue.push({ item, ok });
      if (running) return;
      running = true;
      setImmediate(() => void run());
    },
  };
}
