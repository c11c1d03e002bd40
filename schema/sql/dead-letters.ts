import { readAsset } from '../../ops/lifecycle/index.ts';
import type { MessageState } from '../domain/index.ts';
import { arrayLiteral, type Parameter, query, type SqlRunner } from './statement.ts';

/** Messages that ended DEAD or FAILED and were not put back: pages of them, and what they died of. */

const PAGE = readAsset(import.meta.url, './dead-letters-page.sql');
const GROUPS = readAsset(import.meta.url, './dead-letter-groups.sql');

/** Letters looked at for one answer: 0.2 s. Guess. */
export const GROUPED_LETTERS = 200_000;

/** Which dead letters: all that is given must hold. */
export interface DeadLetterFilter {
  readonly states?: readonly ('DEAD' | 'FAILED')[] | null;
  readonly causes?: readonly string[] | null;
  readonly deviceIds?: readonly string[] | null;
  /** number of a campaign or sequence */
  readonly flowNo?: number | null;
  /** ended at or after, wall ms */
  readonly since?: number | null;
  /** ended before, wall ms */
  readonly until?: number | null;
}

/** The filter as parameters, in the order that all statements take it: states, causes, devices, flow, since, until. */
export function filterParameters(filter: DeadLetterFilter): Parameter[] {
  const list = (values: readonly string[] | null | undefined): string | null =>
    values === null || values === undefined ? null : arrayLiteral(values);
  return [
    list(filter.states),
    list(filter.causes),
    list(filter.deviceIds),
    filter.flowNo ?? null,
    filter.since ?? null,
    filter.until ?? null,
  ];
}

export interface DeadLetterRow {
  readonly messageId: string;
  readonly deviceId: string;
  readonly state: MessageState;
  readonly cause: string;
  readonly attempts: number;
  readonly lastError: string | null;
  readonly redrives: number;
  /** µs since 1970; with messageId the cursor */
  readonly createdMicros: number;
}

/** A page of the dead letters that were not redriven, newest first. */
export async function deadLettersPage(
  sql: SqlRunner,
  tenantId: string,
  filter: DeadLetterFilter,
  after: { readonly createdMicros: number; readonly messageId: string } | null,
  limit: number,
): Promise<readonly DeadLetterRow[]> {
  const rows = await query<{
    message_id: string;
    device_id: string;
    state: MessageState;
    cause: string;
    attempts: number;
    last_error: string | null;
    redrives: number;
    created_micros: number;
  }>(sql, PAGE, [tenantId, ...filterParameters(filter), after?.createdMicros ?? null, after?.messageId ?? null, limit]);
  return rows.map((row) => ({
    messageId: row.message_id,
    deviceId: row.device_id,
    state: row.state,
    cause: row.cause,
    attempts: row.attempts,
    lastError: row.last_error,
    redrives: row.redrives,
    createdMicros: row.created_micros,
  }));
}

export interface DeadLetterGroup {
  readonly cause: string;
  readonly state: 'DEAD' | 'FAILED';
  readonly letters: number;
  readonly devices: number;
  /** wall ms */
  readonly oldest: number;
  readonly newest: number;
  /** one of the newest messages */
  readonly messageId: string;
}
export interface DeadLetterGroups {
  /** false: there are more letters than were looked at */
  readonly whole: boolean;
  /** largest first, at most 200 */
  readonly groups: readonly DeadLetterGroup[];
}

/** What messages died of: the newest GROUPED_LETTERS of a tenant, those that fit, by cause and state. */
export async function deadLetterGroups(
  sql: SqlRunner,
  tenantId: string,
  filter: DeadLetterFilter,
  most: number = GROUPED_LETTERS,
): Promise<DeadLetterGroups> {
  type Group = Omit<DeadLetterGroup, 'messageId'> & { readonly message_id: string };
  const [row] = await query<{ looked: number; groups: readonly Group[] }>(sql, GROUPS, [tenantId, ...filterParameters(filter), most]);
  return {
    whole: (row?.looked ?? 0) < most,
    groups: (row?.groups ?? []).map(({ message_id: messageId, ...group }) => ({ ...group, messageId })),
  };
}
