import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import { FlotillaError } from '../../../schema/domain/index.ts';

/**
 * Whatever Baileys makes of a message that came, it answers WhatsApp, and an error is an answer too: WhatsApp forgets the message. So while a store does not
 * answer, Baileys is kept waiting; and where this owner can never store anything again, until the socket is gone. Then nothing is answered, and
 * WhatsApp delivers the message again.
 * Owns: whether its socket is over. Called by ratchets.ts and line.ts, one per socket.
 *
 * P1. What failed because the store did not answer is done again until it succeeds or the socket is over.
 * P2. What another owner stands against ends the socket first, and fails only then.
 */
export interface StoreWait {
  /** @throws what no repeat cures (a damaged key); the last error when the socket is over */
  insist<T>(task: () => Promise<T>): Promise<T>;
  /** waits for `task`. @throws when the socket is over, whatever comes of it */
  hold(task: Promise<void>): Promise<void>;
  /** nothing can be answered over the socket any more */
  end(): void;
}

const FIRST_MS = 250;
/** guess: a store that is back is found within this */
const MOST_MS = 2000;

/** Time before the next try. */
export const pauseAfter = (failures: number): number => Math.min(FIRST_MS * 2 ** Math.min(failures - 1, 10), MOST_MS);

export function createStoreWait(deps: {
  readonly clock: Clock;
  readonly log: Log;
  /** another owner has the device: the socket is to be let go of */
  fenced(error: FlotillaError): void;
}): StoreWait {
  const controller = new AbortController();
  const { signal } = controller;
  const over = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  return {
    async insist(task) {
      for (let failures = 1; ; failures++) {
        try {
          return await task();
        } catch (error) {
          if (error instanceof FlotillaError && error.policy === 'fenced') {
            deps.fenced(error);
            await over;
          }
          if (signal.aborted || (error instanceof FlotillaError && error.policy !== 'retryable')) throw error;
          if (failures === 1) deps.log.warn('whatsapp.store.waits', {}, error);
        }
        await deps.clock.sleep(pauseAfter(failures), signal);
      }
    },
    hold: (task) =>
      new Promise((resolve, reject) => {
        const end = (): void => reject(signal.reason as Error);
        if (signal.aborted) return end();
        signal.addEventListener('abort', end, { once: true });
        task.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
      }),
    end: () => controller.abort(new Error('the socket is over')),
  };
}
