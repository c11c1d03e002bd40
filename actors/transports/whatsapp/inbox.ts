import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import type { InboundText } from './line-port.ts';

/**
 * Hands inbound messages on, one after the other, and repeats one that could not be stored. WhatsApp has been told already that we
 * have it (Baileys acks by itself), so nobody else will repeat it. Bounded: over `MOST` the newest is dropped and said so.
 */
export interface Inbox {
  add(message: InboundText): void;
}

const MOST = 1000;
const TRIES = 8;
const FIRST_WAIT_MS = 250;

export function createInbox(deps: {
  readonly clock: Clock;
  readonly log: Log;
  store(message: InboundText): Promise<void>;
  isOver(): boolean;
}): Inbox {
  const queue: InboundText[] = [];
  let running = false;
  const run = async (): Promise<void> => {
    for (let message = queue.shift(); message !== undefined; message = queue.shift()) await storeOne(message);
    running = false;
  };
  const storeOne = async (message: InboundText): Promise<void> => {
    for (let attempt = 1; attempt <= TRIES && !deps.isOver(); attempt++) {
      try {
        await deps.store(message);
        return;
      } catch (error) {
        deps.log.warn('whatsapp.inbound.retry', { attempt }, error);
        if (attempt < TRIES) await deps.clock.sleep(FIRST_WAIT_MS * 2 ** (attempt - 1));
      }
    }
    deps.log.error('whatsapp.inbound.lost');
  };
  return {
    add(message) {
      if (queue.length >= MOST) return deps.log.error('whatsapp.inbound.lost', { cause: 'full' });
      queue.push(message);
      if (running) return;
      running = true;
      void run();
    },
  };
}
