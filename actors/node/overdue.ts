import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { TransportKind } from '../../schema/domain/index.ts';
import type { ActorPorts } from '../device/index.ts';
import type { Slot } from './host.ts';
import type { TurnStatements } from './statements.ts';

export interface OverdueDeps {
  readonly slots: ReadonlyMap<string, Slot>;
  readonly statements: Pick<TurnStatements, 'overdue'>;
  readonly ledger: Pick<ActorPorts['ledger'], 'result'>;
  readonly news: ActorPorts['host']['news'];
  /** may a transport of this kind not repeat an attempt? */
  cautious(kind: TransportKind): boolean;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'count'>;
}

/**
 * Ends what no turn will end: a device that is offline, paused or logged out takes no turns, yet an attempt whose outcome is not known must
 * be resolved in bounded time. Set-based: one read for all devices whose transport may not repeat. An attempt in flight here is left alone.
 */
export function createOverdue(deps: OverdueDeps, options: { readonly unknownWaitMs: number }): () => Promise<void> {
  const { slots, clock } = deps;
  return async () => {
    const devices = [...slots.values()].filter((slot) => deps.cautious(slot.row.transport)).map((slot) => slot.owned.deviceId);
    const attempts = await deps.statements.overdue(devices, options.unknownWaitMs);
    for (const { id: messageId, deviceId, tenantId, epoch, attempt } of attempts) {
      const slot = slots.get(deviceId);
      if (slot === undefined || slot.owned.epoch !== epoch || slot.actor.attemptOf(messageId) !== undefined) continue;
      const item = { messageId, deviceId, epoch, attempt, state: 'DEAD', cause: 'OUTCOME_UNKNOWN', error: null, dueAt: null } as const;
      const answer = await deps.ledger.result({ ...item, at: clock.wall() });
      if (!answer.counted) continue;
      deps.telemetry.count('dead_letters', 1, { cause: 'OUTCOME_UNKNOWN' });
      deps.news(deviceId, tenantId, { messageId, state: 'DEAD', cause: 'OUTCOME_UNKNOWN', attempts: attempt });
      slot.actor.proven(messageId);
    }
  };
}
