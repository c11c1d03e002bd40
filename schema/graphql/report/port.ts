import type { QueueDepth, ReportAsk, ReportCause, ReportGrain, ReportStep } from '../../sql/index.ts';

export type { QueueDepth, ReportAsk, ReportCause, ReportGrain, ReportStep };

/** Reads of reports: rollups and counters, never the ledger. Every one is confined to a tenant. */
export interface ReportReads {
  /** at most `limit` steps, in the order of subject and start */
  steps(tenantId: string, ask: ReportAsk, limit: number): Promise<readonly ReportStep[]>;
  /** all steps together, the most frequent first */
  causes(tenantId: string, ask: ReportAsk, limit: number): Promise<readonly ReportCause[]>;
  /** of all devices, one, or those of a node */
  depths(tenantId: string, only: { readonly node?: string; readonly deviceId?: string }): Promise<readonly QueueDepth[]>;
}
