import type { Clock } from '../../../ops/lifecycle/index.ts';
import { whatsappIdOf } from '../../../schema/domain/index.ts';
import type { OutboundMessage, SendOutcome } from '../port.ts';
import type { Line } from './line-port.ts';
import { rejectionFor } from './rejections.ts';

/**
 * The sends of one device that wait for their answer.
 * Owns: which attempt waits for which WhatsApp id. Does not own: the socket. Called by device-connection.ts.
 *
 * S1. An attempt settles once: by the server's ack, by its timeout, or because the socket went.
 * S2. `not-sent` is said only when no byte can have left; from the last look before the bytes on (ratchets.ts T1), the answer is `unknown`.
 * S3. An attempt that has settled is stopped if it has not been written yet.
 */
export interface Sends {
  /** `wire`: what is sent when it is more than a text */
  send(line: Line, message: OutboundMessage, timeoutMs: number, wire?: Uint8Array): Promise<SendOutcome>;
  /** true when an attempt waited for it */
  acknowledged(wireId: string, error: string | null): boolean;
  /** whom the attempt that waits for this id is for (E.164) */
  recipientOf(wireId: string): string | undefined;
  /** settles everything: the socket is gone */
  lost(): void;
  readonly waiting: number;
}

interface Waiting {
  readonly attempt: number;
  readonly to: string;
  settle(outcome: SendOutcome): void;
  /** bytes may have left (S2) */
  left: boolean;
}

export function createSends(deps: {
  readonly clock: Clock;
  canAct(): boolean;
  /** the bytes of this ledger message are out */
  written(messageId: string): void;
  /** an attempt that began then (monotonic ms) got no answer in its time */
  unanswered(beganAt: number): void;
}): Sends {
  const waiting = new Map<string, Waiting>();

  const send: Sends['send'] = (line, message, timeoutMs, wire) => {
    const wireId = whatsappIdOf(message.id);
    waiting.get(wireId)?.settle({ kind: 'unknown', code: 'REPEATED' });
    return new Promise((resolve) => {
      let settled = false;
      const beganAt = deps.clock.monotonic();
      const cancel = deps.clock.after(timeoutMs, () => {
        entry.settle(entry.left ? { kind: 'unknown', code: 'NO_ACK' } : { kind: 'not-sent', code: 'OFFLINE' });
        deps.unanswered(beganAt);
      });
      const entry: Waiting = {
        attempt: message.attempt,
        to: message.to,
        left: false,
        settle(outcome) {
          if (settled) return;
          settled = true;
          cancel();
          if (waiting.get(wireId) === entry) waiting.delete(wireId);
          resolve(outcome);
        },
      };
      waiting.set(wireId, entry);
      const gate = (): boolean => {
        if (settled) return false;
        if (deps.canAct()) return true;
        entry.settle({ kind: 'not-sent', code: 'FENCED' });
        return false;
      };
      void line
        .send({ wireId, to: message.to, body: message.body, ...(wire === undefined ? {} : { wire }) }, gate, () => (entry.left = true))
        .then((answer) => {
          if (answer.written) {
            if (!settled) deps.written(message.id);
          } else if (!entry.left && !answer.open) {
            entry.settle({ kind: 'not-sent', code: 'OFFLINE' });
          } else if (!entry.left) {
            entry.settle({
              kind: 'rejected',
              retry: true,
              code: 'SEND_FAILED',
              detail: 'the message could not be prepared; nothing was written',
            });
          }
          // left and then failed: an ack can still come, and if it does not the timeout says unknown
        });
    });
  };

  return {
    send,
    acknowledged(wireId, error) {
      const entry = waiting.get(wireId);
      if (entry === undefined) return false;
      entry.settle(error === null ? { kind: 'sent', at: deps.clock.wall() } : rejectionFor(error, entry.attempt));
      return true;
    },
    recipientOf: (wireId) => waiting.get(wireId)?.to,
    lost() {
      for (const entry of [...waiting.values()]) {
        entry.settle(entry.left ? { kind: 'unknown', code: 'CONNECTION_LOST' } : { kind: 'not-sent', code: 'OFFLINE' });
      }
    },
    get waiting() {
      return waiting.size;
    },
  };
}
