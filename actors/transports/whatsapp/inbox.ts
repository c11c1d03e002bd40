import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import type { TransportDevice, TransportEvents } from '../port.ts';
import type { Identities } from './identities.ts';
import type { InboundText } from './line-port.ts';
import { pauseAfter } from './store-wait.ts';

/**
 * Hands inbound messages on, one after the other, each until it is stored. WhatsApp is told of a message only after that (incoming.ts), so one that is never stored is
 * delivered again, to this owner or the next.
 * Owns: what waits to be stored. Called by device-connection.ts.
 *
 * B1. A message is repeated until it is stored or the device is let go of; there is no last try.
 * B2. The same message twice is one: it waits once.
 * B3. What the ledger refuses for good (its data, not the moment) would hold up all that comes after it: said as an error, and counts as done.
 */
export interface Inbox {
  /** resolves once it is stored; pending for ever when the device is let go of before */
  add(message: InboundText): Promise<void>;
  /** one has waited for longer than a store that answers takes */
  readonly isStuck: boolean;
  /** resolves when nothing waits; pending for ever when the device is let go of before */
  empty(): Promise<void>;
  /** the device is let go of */
  close(): void;
}

/** guess */
const STUCK_MS = 1000;

/** The statement refused the data itself, or what they belong to is gone (SQLSTATE classes 22, 23). */
function isRefused(error: unknown): boolean {
  const code = (error as { readonly code?: unknown } | null)?.code;
  return typeof code === 'string' && /^2[23][0-9A-Z]{3}$/.test(code);
}

export function createInbox(
  deps: {
    readonly clock: Clock;
    readonly log: Log;
    readonly identities: Pick<Identities, 'phoneOf'>;
    /** somebody (E.164, or a LID) wrote */
    heard(from: string): void;
    inbound: TransportEvents['inbound'];
  },
  { id: device, tenantId }: Pick<TransportDevice, 'id' | 'tenantId'>,
): Inbox {
  const { clock, log } = deps;
  const controller = new AbortController();
  const { signal } = controller;
  const waiting = new Map<string, { readonly message: InboundText; readonly stored: Promise<void>; done(): void }>();
  const idle: (() => void)[] = [];
  let beganAt: number | null = null;

  const run = async (): Promise<void> => {
    for (const [id, { message, done }] of waiting) {
      beganAt = clock.monotonic();
      await storeOne(message);
      if (signal.aborted) return;
      waiting.delete(id);
      done();
    }
    beganAt = null;
    for (const go of idle.splice(0)) go();
  };
  const store = async (message: InboundText): Promise<void> => {
    // a number that WhatsApp did not say may have been learnt before
    const { from, fromLid } = message;
    const known = from === fromLid ? await deps.identities.phoneOf(tenantId, from) : null;
    deps.heard(known ?? from);
    await deps.inbound(known === null ? message : { ...message, from: known });
  };
  const storeOne = async (message: InboundText): Promise<void> => {
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        return await store(message);
      } catch (error) {
        if (isRefused(error)) return log.error('whatsapp.inbound.refused', { device }, error);
        if (failures === 1) log.warn('whatsapp.inbound.waits', { device }, error);
      }
      await clock.sleep(pauseAfter(failures), signal).catch(() => {});
    }
  };
  return {
    add(message) {
      const same = waiting.get(message.id);
      if (same !== undefined) return same.stored;
      let done = (): void => {};
      const stored = new Promise<void>((resolve) => {
        done = resolve;
      });
      waiting.set(message.id, { message, stored, done });
      if (waiting.size === 1) void run();
      return stored;
    },
    get isStuck() {
      return beganAt !== null && clock.monotonic() - beganAt >= STUCK_MS;
    },
    empty: () => (waiting.size === 0 ? Promise.resolve() : new Promise((resolve) => idle.push(resolve))),
    close: () => controller.abort(new Error('the device is let go of')),
  };
}
