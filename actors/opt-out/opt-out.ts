import type { Clock } from '../../ops/lifecycle/index.ts';
import { plainWords, uuidV7 } from '../../schema/domain/index.ts';
import type { InboundItem, Suppression } from '../../schema/sql/index.ts';

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
  return STOP_WORDS.has(plainWords(body));
}

/** The suppressions that these messages ask for: to be committed before the messages count as stored. */
export function optOutsOf(items: readonly InboundItem[], clock: Pick<Clock, 'wall'>): Suppression[] {
  return items.filter((item) => saysStop(item.body)).flatMap((item) => suppressionsOf(item, clock));
}

/** One row for the number and one for the LID of who said stop. */
function suppressionsOf(item: InboundItem, clock: Pick<Clock, 'wall'>): Suppression[] {
  const common = { tenantId: item.tenantId, reason: 'OPT_OUT', source: 'inbound' };
  const rows: Suppression[] = [];
  if (item.sender !== '') rows.push({ ...common, id: uuidV7(clock.wall()), phone: item.sender, lid: null });
  if (item.senderLid !== null) rows.push({ ...common, id: uuidV7(clock.wall()), phone: null, lid: item.senderLid });
  return rows;
}
