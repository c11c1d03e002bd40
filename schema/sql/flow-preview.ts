import { readAsset } from '../../ops/lifecycle/index.ts';
import { query, type SqlRunner } from './statement.ts';

/** A look at what a flow would do. */
const PREVIEW = readAsset(import.meta.url, './preview-flow.sql');

export interface FlowPreview {
  readonly looked: number;
  readonly belonging: number;
  readonly suppressed: number;
  /** not counted as suppressed */
  readonly unconsented: number;
  /** these were all leads of the tenant */
  readonly whole: boolean;
  readonly samples: readonly {
    readonly id: string;
    readonly phone: string | null;
    readonly name: string | null;
    readonly attributes: Readonly<Record<string, unknown>>;
    readonly deviceId: string | null;
    /** which text: place in the flow's variants, from 1; null: it has none */
    readonly variant: number | null;
  }[];
}
/** Who a flow would write to (preview-flow.sql). @returns null: the tenant has no such flow */
export async function previewFlow(
  sql: SqlRunner,
  tenantId: string,
  flowId: string,
  most: { readonly looked: number; readonly samples: number; readonly leadId: string | null },
): Promise<FlowPreview | null> {
  const rows = await query<FlowPreview>(sql, PREVIEW, [tenantId, flowId, most.looked, most.samples, most.leadId]);
  return rows[0] ?? null;
}
