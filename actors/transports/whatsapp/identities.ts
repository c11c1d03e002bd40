import type { Sql } from '../../../ops/connect/index.ts';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import { readAsset } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import { createBoundedMap } from './bounded-map.ts';

/**
 * Who is who: phone numbers and LIDs of the same people, and whether a number is on WhatsApp, per tenant.
 * Owns: the pairs on their way to the ledger, and which were written of late. Does not own: Baileys' own pairs (they live in the session). Called by
 * device-connection.ts and number-check.ts.
 *
 * I1. A pair is written once; when it could not be written, whoever tells it next has it written.
 * I2. Who said stop under one of the two is suppressed under the other: before the pair was learnt (learn-identities.sql), after it (suppress.sql), and at the same
 *     time: whoever writes something new looks a second time after its commit, so one of the two sees the other.
 */
export interface Identities {
  /** nothing is awaited */
  learn(tenantId: string, phone: string, lid: string): void;
  /** E.164; null = not known */
  phoneOf(tenantId: string, lid: string): Promise<string | null>;
  /** null: never asked for */
  registered(tenantId: string, phone: string): Promise<{ readonly registered: boolean; readonly ageMs: number } | null>;
  noteRegistered(tenantId: string, phone: string, registered: boolean): Promise<void>;
  /** resolves when nothing is on its way */
  settled(): Promise<void>;
}

interface Pair {
  readonly tenantId: string;
  readonly phone: string;
  readonly lid: string;
}
interface Found {
  readonly phone: string;
  readonly lid: string | null;
  readonly registered: boolean | null;
  readonly age_ms: number | null;
}

const BATCH = 500;
const DAY_MS = 86_400_000;
const learnPairs = readAsset(import.meta.url, './learn-identities.sql');
const findIdentity = readAsset(import.meta.url, './find-identity.sql');
const noteRegistered = readAsset(import.meta.url, './note-registered.sql');
const PHONE = /^\+\d{6,15}$/;
const LID = /^\d{3,20}@lid$/;

export function createIdentities(deps: { readonly sql: Sql; readonly clock: Clock; readonly log: Log }): Identities {
  const { sql, log } = deps;
  /** written of late, so that every message of the same person is not a statement */
  const written = createBoundedMap(deps.clock, { maxEntries: 50_000, lifeMs: DAY_MS });
  const waiting = new Map<string, Pair>();
  let running: Promise<void> | undefined;

  const run = async (): Promise<void> => {
    while (waiting.size > 0) {
      const batch = [...waiting].slice(0, BATCH);
      for (const [key] of batch) waiting.delete(key);
      const pairs = batch.map(([, pair]) => pair);
      try {
        const parameters = [pairs.map((pair) => pair.tenantId), pairs.map((pair) => pair.phone), pairs.map((pair) => pair.lid)];
        const made = await sql.unsafe(learnPairs, parameters, { prepare: true });
        // I2
        if (made.length > 0) await sql.unsafe(learnPairs, parameters, { prepare: true });
      } catch (error) {
        // I1
        for (const [key] of batch) written.del(key);
        log.warn('whatsapp.identities', { pairs: pairs.length }, error);
      }
    }
    running = undefined;
  };
  const find = async (tenantId: string, phone: string | null, lid: string | null): Promise<Found | undefined> =>
    (await sql.unsafe<Found[]>(findIdentity, [tenantId, phone, lid], { prepare: true }))[0];

  return {
    learn(tenantId, phone, lid) {
      const key = `${tenantId} ${phone}`;
      if (!PHONE.test(phone) || !LID.test(lid) || written.get(key) === lid) return;
      written.set(key, lid);
      waiting.set(key, { tenantId, phone, lid });
      running ??= run();
    },
    phoneOf: async (tenantId, lid) => (await find(tenantId, null, lid))?.phone ?? null,
    async registered(tenantId, phone) {
      const found = await find(tenantId, phone, null);
      return found === undefined || found.registered === null || found.age_ms === null
        ? null
        : { registered: found.registered, ageMs: found.age_ms };
    },
    async noteRegistered(tenantId, phone, registered) {
      await sql.unsafe(noteRegistered, [tenantId, phone, registered], { prepare: true });
    },
    settled: async () => {
      while (running !== undefined) await running;
    },
  };
}
