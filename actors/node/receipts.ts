import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { Actor, MessageNews } from '../device/index.ts';
import type { OwnedDevice } from '../lease/port.ts';
import type { TransportEvents } from '../transports/port.ts';
import type { NodeLedger } from './ledger.ts';

/**
 * Proof about messages, from transports to the ledger. SENT and above count whatever attempt they belong to; WRITTEN only for the
 * attempt under way.
 */
export function createReceipts(deps: {
  readonly ledger: Pick<NodeLedger, 'receipt'>;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
  news(deviceId: string, tenantId: string, news: MessageNews): void;
}): (slot: { readonly owned: OwnedDevice; readonly actor: Actor }, proof: Parameters<TransportEvents['receipt']>[0]) => void {
  return ({ owned, actor }, { messageId, state, at, settled }) => {
    const attempt = actor.attemptOf(messageId) ?? 0;
    if (state === 'WRITTEN' && attempt === 0) return;
    const { deviceId, epoch } = owned;
    deps.ledger.receipt({ messageId, deviceId, epoch, attempt, state, cause: null, error: null, dueAt: null, at }).then(
      (answer) => {
        deps.telemetry.count('results', 1, { state, counted: String(answer.counted) });
        settled?.();
        if (!answer.counted) return;
        if (answer.tenantId !== null) deps.news(deviceId, answer.tenantId, { messageId, state, cause: null, attempts: answer.attempt });
        if (state !== 'WRITTEN') actor.proven(messageId);
      },
      (error: unknown) => deps.telemetry.log.warn('receipt.lost', { deviceId }, error),
    );
  };
}
