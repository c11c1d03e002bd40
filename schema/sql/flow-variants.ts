import { readAsset } from '../../ops/lifecycle/index.ts';
import { query, type SqlRunner } from './statement.ts';

/**
 * Variants of a campaign: several texts, each for a share of its leads. Which one a lead gets is a function of the numbers of both (`flow_variant` in the
 * database), drawn where the lead is enrolled and never again.
 */
const PROGRESS = readAsset(import.meta.url, './variant-progress.sql');

export interface FlowVariant {
  readonly name: string;
  readonly template: string;
  /** its share of the leads; those of a campaign add up to 100 */
  readonly percent: number;
}

export interface VariantPlace {
  /** place in the list of variants, from 1 */
  readonly variant: number;
  /** as in FlowPlace */
  readonly place: string;
  readonly leads: number;
}

/** How many leads of each variant are where. */
export async function variantProgress(sql: SqlRunner, flowNo: number): Promise<readonly VariantPlace[]> {
  return await query<VariantPlace>(sql, PROGRESS, [flowNo]);
}

/** What reports call a variant (kind FLOW); `variant` from 1. Pure. */
export function variantSubject(flowNo: number, variant: number): string {
  return `${flowNo}/${variant}`;
}
