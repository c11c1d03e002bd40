import type { Clock } from '../../ops/lifecycle/index.ts';
import { KEYWORD_LIMIT, plainWords, uuidV7 } from '../../schema/domain/index.ts';
import type { InboundItem, OptIn, OptWords, Suppression } from '../../schema/sql/index.ts';
import { START_WORDS, STOP_WORDS } from './words.ts';

/** What this folder asks of the ledger: the statements of schema/sql of the same names. */
export interface OptStatements {
  loadOptWords(tenantIds: readonly string[]): Promise<readonly OptWords[]>;
  suppress(items: readonly Suppression[]): Promise<unknown>;
  liftOptOuts(items: readonly OptIn[]): Promise<unknown>;
}

/** What a whole message asks for; null: nothing. Stop wins where a word is both. `own`: the words of the tenant, beside those that hold for everybody. */
export function wishOf(body: string, own?: Pick<OptWords, 'stop' | 'start'>): 'STOP' | 'START' | null {
  const words = plainWords(body);
  if (STOP_WORDS.has(words) || own?.stop.includes(words)) return 'STOP';
  if (START_WORDS.has(words) || own?.start.includes(words)) return 'START';
  return null;
}

/**
 * Does what people ask for in these messages: who says stop is suppressed, who says start is written to again. Before the messages count as stored, so that a
 * repeat of theirs repairs a crash in between. Who says both in one batch has said stop.
 */
export function createOptOut(statements: OptStatements, clock: Pick<Clock, 'wall'>): (items: readonly InboundItem[]) => Promise<void> {
  return async (items) => {
    const short = items.filter((item) => mayBeWish(item.body));
    if (short.length === 0) return;
    const own = new Map(
      (await statements.loadOptWords([...new Set(short.map((item) => item.tenantId))])).map((words) => [words.id, words]),
    );
    const says = (wish: 'STOP' | 'START'): InboundItem[] => short.filter((item) => wishOf(item.body, own.get(item.tenantId)) === wish);
    const stops = says('STOP').flatMap((item) => suppressionsOf(item, clock));
    if (stops.length > 0) await statements.suppress(stops);
    const starts = says('START').map(optInOf);
    if (starts.length > 0) await statements.liftOptOuts(starts);
  };
}

/** Cheap, and true of every message that could be a wish: most messages are none, and ask the ledger nothing. */
function mayBeWish(body: string): boolean {
  return body.length <= 2 * KEYWORD_LIMIT && plainWords(body) !== '';
}

/** One row for the number and one for the LID of who said stop. */
function suppressionsOf(item: InboundItem, clock: Pick<Clock, 'wall'>): Suppression[] {
  const common = { tenantId: item.tenantId, reason: 'OPT_OUT', source: 'inbound' };
  const rows: Suppression[] = [];
  if (item.sender !== '') rows.push({ ...common, id: uuidV7(clock.wall()), phone: item.sender, lid: null });
  if (item.senderLid !== null) rows.push({ ...common, id: uuidV7(clock.wall()), phone: null, lid: item.senderLid });
  return rows;
}

function optInOf({ tenantId, sender, senderLid, deviceId, id, receivedAt }: InboundItem): OptIn {
  return { tenantId, phone: sender === '' ? null : sender, lid: senderLid, deviceId, id, receivedAt };
}
