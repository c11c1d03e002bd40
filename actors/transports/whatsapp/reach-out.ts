import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import type { SendOutcome } from '../port.ts';

/** What WhatsApp says about starting new chats. */
export interface ReachOut {
  readonly locked: boolean;
  /** wall ms; null = it did not say */
  readonly until: number | null;
}

/**
 * After a 463 a device starts no new chats for as long as WhatsApp says: every attempt would make it worse. People who know the device
 * are written to as before.
 * Owns: the lock of one device, the question to WhatsApp (at most one a minute). Called by device-connection.ts.
 *
 * R1. Locked: nothing to a stranger leaves; the answer is WHATSAPP_463, final, without an attempt.
 * R2. The lock ends when WhatsApp says so, or at its own end; when WhatsApp could not be asked, after `fallbackMs`.
 */
export interface ReachOutGuard {
  /** null: go on */
  refusal(to: string): Promise<Extract<SendOutcome, { kind: 'rejected' }> | null>;
  /** a message was refused with 463 */
  refused(): void;
  /** WhatsApp spoke by itself, or answered */
  told(standing: ReachOut): void;
  readonly locked: boolean;
  stop(): void;
}

const ASK_MS = 60_000;

export function createReachOutGuard(deps: {
  readonly clock: Clock;
  readonly log: Log;
  readonly fallbackMs: number;
  ask(): Promise<ReachOut>;
  isWarm(to: string): Promise<boolean>;
  changed(locked: boolean): void;
}): ReachOutGuard {
  const { clock, log } = deps;
  let locked = false;
  let askedAt = Number.NEGATIVE_INFINITY;
  let cancel = (): void => {};
  const told = ({ locked: now, until }: ReachOut): void => {
    cancel();
    if (now) {
      const ms = until === null ? deps.fallbackMs : Math.max(1000, until - clock.wall());
      cancel = clock.after(ms, () => told({ locked: false, until: null }), { background: true });
    }
    if (now === locked) return;
    locked = now;
    log.warn('whatsapp.reach.out', { locked, until });
    deps.changed(locked);
  };
  return {
    async refusal(to) {
      if (!locked || (await deps.isWarm(to)) || !locked) return null;
      const detail = 'WhatsApp lets this account start no new chats now; nothing was sent';
      return { kind: 'rejected', retry: false, code: 'WHATSAPP_463', detail };
    },
    refused() {
      if (clock.monotonic() - askedAt < ASK_MS) return;
      askedAt = clock.monotonic();
      deps.ask().then(told, (error: unknown) => {
        log.warn('whatsapp.reach.out.ask', {}, error);
        told({ locked: true, until: null });
      });
    },
    told,
    get locked() {
      return locked;
    },
    stop: () => cancel(),
  };
}
