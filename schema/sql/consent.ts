import { readAsset } from '../../ops/lifecycle/index.ts';
import { arrayLiteral, column, query, type SqlRunner } from './statement.ts';

/** What tenants promise the people they write to: consent, and the words that end and begin it. */
const SET_RULES = readAsset(import.meta.url, './set-tenant-rules.sql');
const OPT_WORDS = readAsset(import.meta.url, './load-opt-words.sql');
const LIFT = readAsset(import.meta.url, './lift-opt-outs.sql');

/** At most so many messages of campaigns to the same person in so many days. */
export interface RecipientCap {
  /** 1 to 100 */
  readonly messages: number;
  /** 1 to 90, each 24 hours */
  readonly days: number;
}
export interface TenantRules {
  readonly consentRequired?: boolean;
  /** as plainWords writes them */
  readonly stopWords?: readonly string[];
  readonly startWords?: readonly string[];
  /** null: none */
  readonly recipientCap?: RecipientCap | null;
  /** 1 to 1,000,000; null: no ceiling */
  readonly flowsPerMinute?: number | null;
}
/** What is left out stays. False: there is no such tenant. */
export async function setTenantRules(sql: SqlRunner, tenantId: string, rules: TenantRules): Promise<boolean> {
  const list = (words: readonly string[] | undefined): string | null => (words === undefined ? null : arrayLiteral(words));
  const cap = [rules.recipientCap !== undefined, rules.recipientCap?.messages ?? null, rules.recipientCap?.days ?? null];
  const parameters = [
    tenantId,
    rules.consentRequired ?? null,
    list(rules.stopWords),
    list(rules.startWords),
    ...cap,
    rules.flowsPerMinute !== undefined,
    rules.flowsPerMinute ?? null,
  ];
  return (await query<{ id: string }>(sql, SET_RULES, parameters)).length === 1;
}

export interface OptWords {
  readonly id: string;
  readonly stop: readonly string[];
  readonly start: readonly string[];
}
/** Tenants among these that have words of their own. */
export async function loadOptWords(sql: SqlRunner, tenantIds: readonly string[]): Promise<readonly OptWords[]> {
  return await query<OptWords>(sql, OPT_WORDS, [arrayLiteral(tenantIds)]);
}

/** Somebody said start. */
export interface OptIn {
  readonly tenantId: string;
  readonly phone: string | null;
  readonly lid: string | null;
  readonly deviceId: string;
  /** of the message */
  readonly id: string;
  /** wall ms */
  readonly receivedAt: number;
}
/** Takes back what these people themselves said stop to (lift-opt-outs.sql). Before their messages are stored. @returns how many rows went */
export async function liftOptOuts(sql: SqlRunner, items: readonly OptIn[]): Promise<number> {
  if (items.length === 0) return 0;
  const gone = await query<{ id: string }>(sql, LIFT, [
    column(items, (item) => item.tenantId),
    column(items, (item) => item.phone),
    column(items, (item) => item.lid),
    column(items, (item) => item.deviceId),
    column(items, (item) => item.id),
    column(items, (item) => item.receivedAt),
  ]);
  return gone.length;
}
