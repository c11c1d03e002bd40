import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { TransportKind } from '../../schema/domain/index.ts';
import type { InboundItem } from '../../schema/sql/index.ts';
import { createOptOut } from '../opt-out/index.ts';
import type { TransportEvents } from '../transports/port.ts';
import { createBatcher } from './batcher.ts';
import type { Gate } from './gate.ts';
import { poisoned } from './ledger.ts';
import type { DeviceStatements } from './statements.ts';

/**
 * Stores what comes in, once per (device, id); what it asks for (stop, start) is done before it counts as stored, so that a repeat by the
 * transport repairs a crash in between. Rejects when the ledger does not answer: the transport repeats the message.
 */
export function createInbound(deps: {
  readonly statements: DeviceStatements;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
}): (device: { readonly id: string; readonly tenantId: string; readonly transport: TransportKind }) => TransportEvents['inbound'] {
  const { statements, gate, telemetry } = deps;
  const optOut = createOptOut(statements, deps.clock);
  const batcher = createBatcher<InboundItem, true>({
    max: 200,
    poison: poisoned,
    async run(items) {
      await gate.up();
      await optOut(items);
      await statements.storeInbound(items);
      return items.map(() => true);
    },
  });
  return (device) => async (message) => {
    await batcher.add({
      deviceId: device.id,
      id: message.id,
      tenantId: device.tenantId,
      sender: message.from,
      senderLid: message.fromLid,
      body: message.body,
      receivedAt: message.at,
      media: message.media ?? null,
    });
    telemetry.count('inbound', 1, { transport: device.transport });
  };
}
