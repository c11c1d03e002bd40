import type { Lane, MessageContent, MessageState, TransportKind } from '../domain/index.ts';

/** Times are wall ms since 1970; counts and seqs are safe integers. Every function beside these types is one statement. */

export interface AcceptItem {
  /** UUIDv7 made by the gateway */
  readonly id: string;
  readonly tenantId: string;
  readonly deviceId: string;
  readonly lane: Lane;
  /** E.164 */
  readonly recipient: string;
  readonly body: string;
  readonly idempotencyKey: string | null;
  /** SHA-256 of everything the key stands for */
  readonly contentHash: Uint8Array;
  /** null = now */
  readonly scheduledAt: number | null;
  readonly traceparent: string | null;
  /** absent = a plain text */
  readonly content?: MessageContent | null;
}
/** `seq` is null for a message that is not due yet. `again`: another gateway is committing the same key, ask once more. */
export type AcceptOutcome =
  | { readonly kind: 'accepted'; readonly id: string; readonly seq: number | null; readonly paused: boolean }
  | { readonly kind: 'replayed'; readonly id: string }
  | { readonly kind: 'rejected'; readonly code: 'DEVICE_NOT_FOUND' | 'IDEMPOTENCY_KEY_REUSED' | 'BACKLOG_FULL' | 'RECIPIENT_SUPPRESSED' }
  | { readonly kind: 'again' };

export interface OwnershipRow {
  readonly deviceId: string;
  readonly partition: number;
  readonly epoch: number;
  readonly node: string | null;
}

export interface DeviceRow {
  readonly id: string;
  readonly tenantId: string;
  readonly partition: number;
  readonly name: string;
  readonly phone: string | null;
  readonly transport: TransportKind;
  readonly paired: boolean;
  readonly paused: boolean;
  readonly pauseReason: string | null;
  readonly quarantined: boolean;
  readonly quarantineReason: string | null;
  readonly paceMinMs: number;
  readonly paceMaxMs: number;
  readonly dailyCap: number | null;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly createdAt: number;
  readonly changedAt: number;
  readonly deleted: boolean;
}

export interface IntentItem {
  readonly deviceId: string;
  readonly epoch: number;
  readonly node: string;
  readonly messageId: string;
  /** the drawn pace: the next send of the device is allowed this long after this one */
  readonly paceMs: number;
  /** may a message in UNKNOWN be tried again under its own id (simulator, link) */
  readonly resendUnknown: boolean;
  /** attempts at which the message is DEAD instead (cause RETRY_BUDGET) */
  readonly budget: number;
  /** seq of the mailbox entry that asks: an entry left from before a redrive gets ENDED; left out = not compared */
  readonly seq?: number;
}
export interface IntentMessage {
  readonly id: string;
  readonly tenantId: string;
  readonly lane: Lane;
  readonly seq: number;
  readonly attempt: number;
  readonly recipient: string;
  readonly recipientLid: string | null;
  readonly body: string;
  readonly content: MessageContent | null;
  readonly traceparent: string | null;
  readonly createdAt: number;
}
/** Why a message may not go now. PASS is the only verdict that lets it be sent; SUPPRESSED, DEAD and UNPLANNED have ended it in the same statement. */
export type IntentVerdict =
  | { readonly verdict: 'PASS'; readonly message: IntentMessage }
  | { readonly verdict: 'FENCED' }
  /** `now`: what the ledger's clock said; a wait is `until - now`, whatever the caller's own wall clock says */
  | { readonly verdict: 'PACED' | 'CAPPED' | 'NOT_DUE' | 'HELD' | 'QUIET'; readonly until: number; readonly now: number }
  | { readonly verdict: 'PAUSED' | 'QUARANTINED' | 'DELETED' }
  /** the outcome of `attempt` is not known yet and may not be repeated; `state` is SENDING, WRITTEN or UNKNOWN */
  | {
      readonly verdict: 'UNKNOWN_OUTCOME';
      readonly since: number;
      readonly now: number;
      readonly attempt: number;
      readonly state: MessageState;
    }
  /** nothing to do: drop the mailbox entry. `state` is what the ledger says, null when there is no such row */
  | { readonly verdict: 'ENDED'; readonly state: MessageState | null }
  /** it starts a new chat and the provider wants none now: the statement has taken it out of its lane, and it is due again when the pause ends */
  | { readonly verdict: 'COLD'; readonly tenantId: string; readonly attempt: number; readonly cause: string }
  /**
   * the statement has ended it; UNPLANNED: CANCELLED, because its flow does not run now (FLOW_PAUSED: it is planned anew later; FLOW_ENDED; LEAD_STOPPED: the
   * lead has left it)
   */
  | {
      readonly verdict: 'SUPPRESSED' | 'DEAD' | 'UNPLANNED';
      readonly tenantId: string;
      readonly attempt: number;
      readonly cause: string;
    };

export interface ResultItem {
  readonly messageId: string;
  readonly deviceId: string;
  readonly epoch: number;
  readonly attempt: number;
  /** QUEUED = try again `dueAt - at` from now by the ledger's clock */
  readonly state: 'QUEUED' | 'WRITTEN' | 'UNKNOWN' | 'FAILED' | 'DEAD' | 'SENT' | 'DELIVERED' | 'READ';
  readonly cause: string | null;
  readonly error: string | null;
  readonly dueAt: number | null;
  readonly at: number;
}
/** `counted` false: a newer epoch or attempt, or a higher rank, already holds; `state` is what the ledger says now. */
export interface ResultOutcome {
  readonly messageId: string;
  readonly counted: boolean;
  readonly state: MessageState | null;
  readonly tenantId: string | null;
  readonly attempt: number;
}

export interface RefillAsk {
  readonly deviceId: string;
  readonly lane: Lane;
  /** entries with a higher seq are wanted; 0 = from the start */
  readonly afterSeq: number;
}
export interface RefillEntry {
  readonly deviceId: string;
  readonly lane: Lane;
  readonly seq: number;
  readonly messageId: string;
  readonly traceparent: string | null;
}

export interface LedgerMessage {
  readonly id: string;
  readonly tenantId: string;
  readonly deviceId: string;
  readonly lane: Lane;
  readonly seq: number | null;
  readonly state: MessageState;
  readonly attempts: number;
  readonly recipient: string;
  readonly body: string;
  readonly content: MessageContent | null;
  readonly cause: string | null;
  readonly lastError: string | null;
  readonly dueAt: number;
  readonly createdAt: number;
  readonly sentAt: number | null;
  readonly deliveredAt: number | null;
  readonly readAt: number | null;
  readonly endedAt: number | null;
}
