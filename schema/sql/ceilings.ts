import { readAsset } from '../../ops/lifecycle/index.ts';
import { assert } from '../domain/index.ts';
import { column, query, type SqlRunner } from './statement.ts';

/** Ceilings: how many messages of a campaign or sequence, and of all of a tenant, may be made in a minute. */
const TAKE = readAsset(import.meta.url, './take-ceilings.sql');

export interface CeilingAsk {
  readonly flowNo: number;
  readonly tenantId: string;
  readonly wanted: number;
}
export interface CeilingLeave {
  readonly flowNo: number;
  /** up to `wanted` */
  readonly many: number;
  /** more may be had after this; 0 where all wanted was given */
  readonly waitMs: number;
}

/** Takes leave for flows, each named once (take-ceilings.sql). A flow without any ceiling has leave for all. In no particular order. */
export async function takeCeilings(sql: SqlRunner, asks: readonly CeilingAsk[]): Promise<readonly CeilingLeave[]> {
  if (asks.length === 0) return [];
  assert(new Set(asks.map((ask) => ask.flowNo)).size === asks.length, 'takeCeilings: each flow once');
  const rows = await query<{ flow_no: number; many: number; wait_ms: number }>(sql, TAKE, [
    column(asks, (ask) => ask.flowNo),
    column(asks, (ask) => ask.wanted),
    column(asks, (ask) => ask.tenantId),
  ]);
  return rows.map((row) => ({ flowNo: row.flow_no, many: row.many, waitMs: row.wait_ms }));
}
