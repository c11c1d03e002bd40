import { readAsset } from '../../ops/lifecycle/index.ts';
import { lowestUuidV7 } from '../domain/index.ts';
import { listPartitions } from './partitions.ts';
import { type Parameter, query, type SqlRunner } from './statement.ts';

/** What is kept for a time only, beside the ledger's partitions: idempotency keys, inbound messages, reports of imports, dead letters without a message. */

const KEYS = readAsset(import.meta.url, './purge-keys.sql');
const INBOUND = readAsset(import.meta.url, './purge-inbound.sql');
const LEAD_IMPORTS = readAsset(import.meta.url, './purge-lead-imports.sql');
const REDRIVES = readAsset(import.meta.url, './purge-redrives.sql');
const RECIPIENT_SENDS = readAsset(import.meta.url, './purge-recipient-sends.sql');
const WEBHOOKS = readAsset(import.meta.url, './purge-webhooks.sql');
const DEAD_LETTERS = readAsset(import.meta.url, './purge-dead-letters.sql');

export interface PurgeOptions {
  /** idempotency keys made before this are forgotten, wall ms */
  readonly keysBeforeMs: number;
  /** inbound messages received before this are forgotten, wall ms */
  readonly inboundBeforeMs: number;
  /** what became of files of leads begun before this is forgotten, wall ms; nothing when left out */
  readonly importsBeforeMs?: number;
  /** redrives that ended before this are forgotten, wall ms; nothing when left out */
  readonly redrivesBeforeMs?: number;
  /** what was told to webhooks before this is forgotten, wall ms; nothing when left out */
  readonly webhooksBeforeMs?: number;
  /** when campaigns last wrote to people is forgotten where it was before this, wall ms; nothing when left out */
  readonly recipientsBeforeMs?: number;
  /** rows of one statement */
  readonly chunk: number;
  /** statements of one call for each kind: what is left waits for the next call */
  readonly chunks: number;
  /** between two statements, so that senders do not wait behind them */
  pause(): Promise<void>;
}
export interface Purged {
  readonly keys: number;
  readonly inbound: number;
  readonly imports: number;
  readonly redrives: number;
  readonly webhooks: number;
  readonly recipients: number;
  readonly deadLetters: number;
}

/** Safe from several processes at once, and to repeat. */
export async function purge(sql: SqlRunner, options: PurgeOptions): Promise<Purged> {
  const all = async (text: string, below: Parameter): Promise<number> => {
    let gone = 0;
    for (let n = 0; n < options.chunks; n++) {
      if (n > 0) await options.pause();
      const rows = await query<{ gone: number }>(sql, text, [below, options.chunk]);
      gone += rows.length;
      if (rows.length < options.chunk) break;
    }
    return gone;
  };
  const [oldest] = await listPartitions(sql);
  return {
    keys: await all(KEYS, options.keysBeforeMs),
    inbound: await all(INBOUND, options.inboundBeforeMs),
    imports: options.importsBeforeMs === undefined ? 0 : await all(LEAD_IMPORTS, options.importsBeforeMs),
    redrives: options.redrivesBeforeMs === undefined ? 0 : await all(REDRIVES, options.redrivesBeforeMs),
    webhooks: options.webhooksBeforeMs === undefined ? 0 : await all(WEBHOOKS, options.webhooksBeforeMs),
    recipients: options.recipientsBeforeMs === undefined ? 0 : await all(RECIPIENT_SENDS, options.recipientsBeforeMs),
    deadLetters: oldest === undefined ? 0 : await all(DEAD_LETTERS, lowestUuidV7(oldest.startMs)),
  };
}
