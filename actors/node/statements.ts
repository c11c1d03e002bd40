import type {
  Adoption,
  DeviceRow,
  EpochPair,
  InboundItem,
  IntentItem,
  IntentVerdict,
  NextSeq,
  OptIn,
  OptWords,
  OverdueAttempt,
  RefillAsk,
  RefillEntry,
  ResultItem,
  ResultOutcome,
  Suppression,
  TrafficRow,
} from '../../schema/sql/index.ts';

/** The statements of schema/sql that a node runs, bound to its pool. `ledgerStatements(sql)` in bind.ts is the real one. */
export interface Statements {
  readonly turn: TurnStatements;
  readonly window: WindowStatements;
  readonly device: DeviceStatements;
  readonly upkeep: UpkeepStatements;
}

export interface TurnStatements {
  intent(items: readonly IntentItem[]): Promise<readonly IntentVerdict[]>;
  result(items: readonly ResultItem[]): Promise<readonly ResultOutcome[]>;
  /** what lower epochs left open (SENDING, WRITTEN, UNKNOWN) becomes UNKNOWN under the epoch given */
  adopt(pairs: readonly EpochPair[]): Promise<Adoption>;
  /** attempts of these devices begun more than `olderThanMs` ago, by the ledger's clock, whose outcome is still open */
  overdue(deviceIds: readonly string[], olderThanMs: number): Promise<readonly OverdueAttempt[]>;
  /** any answer will do */
  ping(): Promise<unknown>;
}
export interface WindowStatements {
  /** open messages above `afterSeq`, at most `limit` per ask, rising seq per lane */
  refill(asks: readonly RefillAsk[], limit: number): Promise<readonly RefillEntry[]>;
  nextSeqs(deviceIds: readonly string[]): Promise<readonly NextSeq[]>;
  /** gives due messages without a seq their seq */
  promoteDue(limit: number): Promise<readonly RefillEntry[]>;
}
export interface DeviceStatements {
  loadDevices(ids: readonly string[]): Promise<readonly DeviceRow[]>;
  changedDevices(sinceWallMs: number): Promise<readonly DeviceRow[]>;
  setPaired(deviceId: string): Promise<unknown>;
  /** null when it is in quarantine already, or is gone */
  setQuarantine(deviceId: string, reason: string): Promise<DeviceRow | null>;
  pause(tenantId: string, deviceId: string, reason: string): Promise<DeviceRow | null>;
  storeInbound(items: readonly InboundItem[]): Promise<unknown>;
  suppress(items: readonly Suppression[]): Promise<unknown>;
  loadOptWords(tenantIds: readonly string[]): Promise<readonly OptWords[]>;
  liftOptOuts(items: readonly OptIn[]): Promise<unknown>;
}
export interface UpkeepStatements {
  addTraffic(rows: readonly TrafficRow[]): Promise<unknown>;
  /** makes the ledger's partitions ahead, drops those that have ended, forgets what is kept for a time only */
  partitions(): Promise<unknown>;
}
