import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import type { TransportEvents } from '../port.ts';
import type { WireIds } from './wire-ids.ts';

/** Acks and receipts of messages that no attempt waits for: proof of earlier ones, told by their ledger ids. */
export interface Proofs {
  prove(wireId: string, state: 'SENT' | 'DELIVERED' | 'READ'): void;
}

export function createProofs(deps: {
  readonly clock: Clock;
  readonly log: Log;
  readonly wireIds: WireIds;
  readonly deviceId: string;
  isOver(): boolean;
  receipt: TransportEvents['receipt'];
}): Proofs {
  const { deviceId } = deps;
  const prove = async (wireId: string, state: 'SENT' | 'DELIVERED' | 'READ'): Promise<void> => {
    try {
      const message = await deps.wireIds.find(deviceId, wireId);
      if (message !== null && !deps.isOver()) deps.receipt({ messageId: message.id, state, at: deps.clock.wall() });
    } catch (error) {
      deps.log.warn('whatsapp.receipt.unmatched', { device: deviceId }, error);
    }
  };
  return { prove: (wireId, state) => void prove(wireId, state) };
}
