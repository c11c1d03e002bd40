import type { Clock } from '../../ops/lifecycle/index.ts';
import type { IntentItem, IntentVerdict, ResultItem, ResultOutcome } from '../../schema/sql/index.ts';
import type { ActorLedger } from '../device/index.ts';
import { createBatcher } from './batcher.ts';
import type { Gate } from './gate.ts';
import type { TurnStatements } from './statements.ts';

/** items in one statement */
const BATCH = 500;
/**
 * Between two statements that record what came of sends, and between two that record receipts. At 1,000 messages a second with their receipts Postgres
 * takes 0.5 of a core with these rests, 0.7 without (bench `pinned`). The next message of a device waits for a result, nobody for a receipt.
 */
const RESULT_REST_MS = 10;
const RECEIPT_REST_MS = 40;
/** after the last device that was taken over, before the rest of its like's backlog goes on. Guess. */
const LATE_REST_MS = 150;

export interface NodeLedger extends ActorLedger {
  /** proof from a transport: repeated until the ledger answers */
  receipt(item: ResultItem): Promise<ResultOutcome>;
}

/** A refusal of the statement that a repeat cannot cure: bad data, broken constraint, bad syntax (SQLSTATE classes 22, 23, 42). */
export function poisoned(error: unknown): boolean {
  const code = (error as { readonly code?: unknown } | null)?.code;
  return typeof code === 'string' && /^(22|23|42)[0-9A-Z]{3}$/.test(code);
}

/**
 * The turns of all actors of a node as batched statements.
 * I1 An intent is never repeated here: what its actor did not hear of it asks for again (actor I5).
 * I2 A result is repeated until the ledger answers: (epoch, attempt) make a repeat harmless.
 * I3 After the death of another node thousands of devices come with what waited meanwhile: the first message of each goes before the second of any, and
 *    what was not waiting goes as ever.
 */
export function createNodeLedger(statements: TurnStatements, gate: Gate, clock: Clock): NodeLedger {
  const guarded = async <T>(run: () => Promise<T>): Promise<T> => {
    await gate.up();
    try {
      return await run();
    } catch (error) {
      if (!poisoned(error)) gate.failed(error);
      throw error;
    }
  };
  const insist = async <T>(run: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await guarded(run);
      } catch (error) {
        if (poisoned(error)) throw error;
        // rejects when the node is going down, which ends the repeating
        await gate.up();
      }
    }
  };
  const intents = createBatcher({
    max: BATCH,
    late: { clock, ms: LATE_REST_MS },
    poison: poisoned,
    run: async (items: readonly IntentItem[]) => {
      const verdicts = new Map<IntentItem, IntentVerdict>();
      for (const round of oncePerDevice(items)) {
        const answers = await guarded(() => statements.intent(round));
        round.forEach((item, index) => {
          const answer = answers[index];
          if (answer !== undefined) verdicts.set(item, answer);
        });
      }
      return items.map((item) => verdicts.get(item)).filter((verdict) => verdict !== undefined);
    },
  });
  const recorder = (restMs: number): ((item: ResultItem) => Promise<ResultOutcome>) => {
    const batcher = createBatcher({
      max: BATCH,
      poison: poisoned,
      rest: { clock, ms: restMs },
      run: (items: readonly ResultItem[]) => insist(() => statements.result(items)),
    });
    return (item) => batcher.add(item);
  };
  return {
    intent: (item, urgency) => intents.add(item, urgency),
    result: recorder(RESULT_REST_MS),
    receipt: recorder(RECEIPT_REST_MS),
    get open() {
      return gate.open;
    },
    up: () => gate.up(),
  };
}

/** The statement takes one message per device: an ended ownership's last intent and its successor's first may meet in one batch. */
function oncePerDevice(items: readonly IntentItem[]): IntentItem[][] {
  const rounds: IntentItem[][] = [[]];
  const seen = new Map<string, number>();
  for (const item of items) {
    const round = seen.get(item.deviceId) ?? 0;
    seen.set(item.deviceId, round + 1);
    const list = rounds[round];
    if (list === undefined) rounds.push([item]);
    else list.push(item);
  }
  return rounds;
}
