import type { Log } from '../../../ops/telemetry/index.ts';
import { whatsappIdOf } from '../../../schema/domain/index.ts';
import type { OutboundMessage, SendOutcome, TransportDevice } from '../port.ts';
import type { Account } from './account.ts';
import type { Contents } from './contents.ts';
import type { Line } from './line-port.ts';
import type { NumberCheck } from './number-check.ts';
import type { Sends } from './sends.ts';
import type { WireIds } from './wire-ids.ts';

/**
 * What stands between a message that may go and its attempt on a socket: may its recipient be written to now, is it on WhatsApp, is the content ready. Nothing
 * has left while this runs. Owns nothing. Called by device-connection.ts.
 */
export interface Outgoing {
  /** `line` undefined = no connection. Never rejects. */
  send(line: () => Line | undefined, message: OutboundMessage, timeoutMs: number): Promise<SendOutcome>;
}

const OFFLINE: SendOutcome = { kind: 'not-sent', code: 'OFFLINE' };

export function createOutgoing(
  deps: {
    readonly log: Log;
    readonly account: Pick<Account, 'refusal'>;
    readonly numbers: NumberCheck;
    readonly contents: Contents;
    readonly wireIds: WireIds;
    readonly sends: Sends;
  },
  device: TransportDevice,
): Outgoing {
  const refusal = async (line: () => Line | undefined, to: string): Promise<SendOutcome | null> => {
    const cold = await deps.account.refusal(to);
    if (cold !== null) return cold;
    return deps.numbers.refusal(to, () => line()?.isOnWhatsApp(to) ?? Promise.resolve(null));
  };
  return {
    async send(line, message, timeoutMs) {
      if (line() === undefined) return OFFLINE;
      if (!device.canAct()) return { kind: 'not-sent', code: 'FENCED' };
      try {
        const refused = await refusal(line, message.to);
        if (refused !== null) return refused;
      } catch (error) {
        // the ledger does not answer: nothing has left, the next attempt asks again
        deps.log.warn('whatsapp.send.refusal', { device: device.id }, error);
        return OFFLINE;
      }
      const { id, body, content } = message;
      const before = line();
      if (before === undefined) return OFFLINE;
      const prepared = content == null ? null : await deps.contents.prepare(device.id, before, { ...message, content });
      if (prepared?.kind === 'rejected') return prepared;
      const now = line();
      if (now === undefined) return OFFLINE;
      const wire = prepared?.wire;
      deps.wireIds.remember(device.id, whatsappIdOf(id), { id, body, ...(wire === undefined ? {} : { wire }) });
      return deps.sends.send(now, message, timeoutMs, wire);
    },
  };
}
