import type { Lane, MessageState } from '../../schema/domain/index.ts';
import type { DeviceRow, IntentItem, IntentVerdict, RefillAsk, RefillEntry, ResultItem, ResultOutcome } from '../../schema/sql/index.ts';

/** The statements of schema/sql that a node runs, bound to its pool. `ledgerStatements(sql)` in bind.ts is the real one. */
export interface Statements {
  readonly turn: TurnStatements;
  readonly window: WindowStatements;
  readonly device: DeviceStatements;
  readonly upkeep: UpkeepStatements;
}

export interface AdoptedMessage {
  readonly id: string;
  readonly tenantId: string;
  readonly deviceId: string;
  readonly lane: Lane;
  readonly seq: number | null;
  readonly state: MessageState;
  readonly attempt: number;
}
export interface TurnStatements {
  intent(items: readonly IntentItem[]): Promise<readonly IntentVerdict[]>;
  result(items: readonly ResultItem[]): Promise<readonly ResultOutcome[]>;
  /** SENDING and WRITTEN become UNKNOWN; `ended`: what ended lately, to be said again */
  adopt(pairs: readonly { readonly deviceId: string; readonly epoch: number }[]): Promise<readonly AdoptedMessage[]>;
  /** any answer will do */
  ping(): Promise<unknown>;
}
export interface NextSeq {
  readonly deviceId: string;
  readonly lane: Lane;
  readonly nextSeq: number;
  readonly hasOpen: boolean;
}
export interface WindowStatements {
  /** open messages above `afterSeq`, at most `limit` per ask, rising seq per lane */
  refill(asks: readonly RefillAsk[], limit: number): Promise<readonly RefillEntry[]>;
  nextSeqs(deviceIds: readonly string[]): Promise<readonly NextSeq[]>;
  /** gives due messages without a seq their seq */
  promoteDue(limit: number): Promise<readonly RefillEntry[]>;
}
export interface InboundItem {
  readonly deviceId: string;
  readonly id: string;
  readonly tenantId: string;
  readonly from: string;
  readonly fromLid: string | null;
  readonly body: string;
  readonly at: number;
}
export interface SuppressItem {
  readonly tenantId: string;
  readonly phone: string | null;
  readonly lid: string | null;
  readonly reason: string;
  readonly source: string;
}
export interface DeviceStatements {
  loadDevices(ids: readonly string[]): Promise<readonly DeviceRow[]>;
  changedDevices(sinceWallMs: number): Promise<readonly DeviceRow[]>;
  setPaired(deviceId: string, phone: string | null): Promise<unknown>;
  storeInbound(item: InboundItem): Promise<unknown>;
  suppress(item: SuppressItem): Promise<unknown>;
}
export interface TrafficRow {
  readonly tenantId: string;
  /** wall ms of the start of its 10 s */
  readonly bucket: number;
  readonly node: string;
  readonly sent: number;
  readonly delivered: number;
  readonly failed: number;
}
export interface UpkeepStatements {
  addTraffic(rows: readonly TrafficRow[]): Promise<unknown>;
  /** makes the ledger's partitions ahead and drops those that have ended */
  partitions(): Promise<unknown>;
}
