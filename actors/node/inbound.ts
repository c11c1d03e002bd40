import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { type TransportKind, uuidV7 } from '../../schema/domain/index.ts';
import type { InboundItem, Suppression } from '../../schema/sql/index.ts';
import type { TransportEvents } from '../transports/port.ts';
import { createBatcher } from './batcher.ts';
import type { Gate } from './gate.ts';
import { poisoned } from './ledger.ts';
import type { DeviceStatements } from './statements.ts';

/** Whole messages that mean "do not write to me again", lower case, without punctuation. Thin: more languages and wordings come with campaigns. */
const STOP_WORDS: ReadonlySet<string> = new Set([
  'stop',
  'stop all',
  'stopall',
  'unsubscribe',
  'cancel',
  'end',
  'quit',
  'optout',
  'opt out',
  'parar',
  'pare',
  'sair',
  'baja',
  'stopp',
  'abmelden',
  'arret',
  'arrêt',
  'desabonner',
]);

/** True when the whole message is a wish not to be messaged again. */
export function saysStop(body: string): boolean {
  const words = body
    .toLowerCase()
    .replace(/[\p{P}\p{S}]+/gu, ' ')
    .trim()
    .replace(/\s+/g, ' ');
  return STOP_WORDS.has(words);
}

/**
 * Stores what comes in, once per (device, id); who says stop is suppressed before the message counts as stored, so that a repeat by the
 * transport repairs a crash in between. Rejects when the ledger does not answer: the transport repeats the message.
 */
export function createInbound(deps: {
  readonly statements: DeviceStatements;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
}): (device: { readonly id: string; readonly tenantId: string; readonly transport: TransportKind }) => TransportEvents['inbound'] {
  const { statements, gate, telemetry } = deps;
  const batcher = createBatcher<InboundItem, true>({
    max: 200,
    poison: poisoned,
    async run(items) {
      await gate.up();
      const stops = items.filter((item) => saysStop(item.body));
      await statements.suppress(stops.flatMap((item) => suppressions(item, deps.clock)));
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
    });
    telemetry.count('inbound', 1, { transport: device.transport });
  };
}

/** One row for the number and one for the LID of who said stop. */
function suppressions(item: InboundItem, clock: Clock): Suppression[] {
  const common = { tenantId: item.tenantId, reason: 'OPT_OUT', source: 'inbound' };
  const rows: Suppression[] = [];
  if (item.sender !== '') rows.push({ ...common, id: uuidV7(clock.wall()), phone: item.sender, lid: null });
  if (item.senderLid !== null) rows.push({ ...common, id: uuidV7(clock.wall()), phone: null, lid: item.senderLid });
  return rows;
}
