import { readAsset } from '../../ops/lifecycle/index.ts';
import { lowestUuidV7 } from '../domain/index.ts';
import { query, type SqlRunner } from './statement.ts';

/**
 * People who are erased: everything that is known of them goes, a hash stays so that nothing is ever sent to them again (erase-person.sql, erase-messages.sql).
 * No step holds the number after the first: a process that dies leaves the rest to the next one (`goOnErasing`).
 */
const PERSON = readAsset(import.meta.url, './erase-person.sql');
const MESSAGES = readAsset(import.meta.url, './erase-messages.sql');
const OPEN = readAsset(import.meta.url, './open-erasures.sql');

/** messages of one statement: some 50 ms. Guess. */
const CHUNK = 5000;
/** ids are made before the message is accepted: so long before */
const LATE_MS = 60_000;
const ERASURES = 100;

export interface Erased {
  readonly leads: number;
  readonly inbound: number;
  readonly messages: number;
  /** the ledger has been looked through; else upkeep goes on with it */
  readonly whole: boolean;
}

/**
 * Erases the person with this number, and under the LIDs it is known by, from everything but the ledger. Safe to repeat.
 * @returns how much is gone; `eraseChunk` empties the ledger
 */
export async function erasePerson(
  sql: SqlRunner,
  person: { readonly id: string; readonly tenantId: string; readonly phone: string; readonly nowMs: number },
): Promise<Pick<Erased, 'leads' | 'inbound'>> {
  const first = lowestUuidV7(person.nowMs - LATE_MS);
  const [gone] = await query<Pick<Erased, 'leads' | 'inbound'>>(sql, PERSON, [person.id, person.tenantId, person.phone, first]);
  return { leads: gone?.leads ?? 0, inbound: gone?.inbound ?? 0 };
}

/** Empties the next messages of the ledger; null: it is done already, or another is at it. `messages`: so far. */
export async function eraseChunk(sql: SqlRunner, id: string): Promise<Pick<Erased, 'messages' | 'whole'> | null> {
  return (await query<Pick<Erased, 'messages' | 'whole'>>(sql, MESSAGES, [id, CHUNK]))[0] ?? null;
}

/** Goes on with what a process left, and looks once more for what was being accepted meanwhile. `pause`: between two statements. */
export async function goOnErasing(sql: SqlRunner, pause: () => Promise<void>): Promise<void> {
  for (const { id } of await query<{ id: string }>(sql, OPEN, [ERASURES])) {
    while ((await eraseChunk(sql, id))?.whole === false) await pause();
  }
}
