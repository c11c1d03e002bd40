import type { DeviceRecord, DeviceState, MessageEventRecord, MessageState } from '../../domain/index.ts';
import type { FleetTotals } from '../context.ts';

/** A place in a live stream. `epoch` is made anew whenever Redis lost the stream; `seq` rises by one with each batch. */
export interface LivePosition {
  readonly epoch: string;
  readonly seq: number;
}

/** The state of a fleet, or what changed of it. */
export interface FleetUpdate {
  readonly kind: 'snapshot' | 'delta';
  readonly epoch: string;
  /** a delta covers (from, seq]; of a snapshot it equals seq */
  readonly from: number;
  readonly seq: number;
  /** wall ms at which this was put together */
  readonly asOf: number;
  readonly records: readonly DeviceRecord[];
  /** nodes whose heartbeat is gone: the state of their devices is UNKNOWN whatever the records say */
  readonly silentNodes: readonly string[];
  readonly totals: FleetTotals & { readonly states: readonly { readonly state: DeviceState; readonly count: number }[] };
}

/** The live record of one device; null while none is known. */
export interface DeviceLiveUpdate {
  readonly id: string;
  readonly epoch: string;
  readonly seq: number;
  readonly asOf: number;
  readonly record: DeviceRecord | null;
  /** UNKNOWN when the record's node is silent or there is no record */
  readonly state: DeviceState;
}

export interface MessageEventUpdate extends LivePosition {
  readonly event: MessageEventRecord;
  readonly state: MessageState;
}

/** `from` is unknown here: another epoch, trimmed, or ahead of the server. State feeds answer with a snapshot, event feeds say RESYNC_REQUIRED. */
export type LiveRange<T> = { readonly kind: 'updates'; readonly updates: readonly T[] } | { readonly kind: 'gap' };

/**
 * One live stream as a subscription field sees it. A reader keeps a position of its own and asks for what lies behind it; the feed
 * only says that there is more. State feeds may merge any number of batches into one update, event feeds give each event.
 */
export interface LiveFeed<T> {
  /** state: only the newest matters, merging loses nothing. events: each one matters. */
  readonly kind: 'state' | 'events';
  /** resolves once the feed is joined to the live stream; rejects when it cannot be */
  ready(): Promise<void>;
  top(): LivePosition;
  /** the whole state at `top()`; undefined for events */
  snapshot(): T | undefined;
  /** everything in (from, top()] */
  range(from: LivePosition): LiveRange<T>;
  /** rises when something outside the stream changed (totals, silent nodes): an update is due though `top()` stands still */
  version(): number;
  /** calls back whenever `top()` or `version()` has moved; the result ends it. The feed lives while it is watched. */
  watch(listener: () => void): () => void;
}

/** The gateway's live streams (gateway/hub). Feeds of one tenant share one mirror; asking is cheap. */
export interface LiveStreams {
  fleet(tenantId: string): LiveFeed<FleetUpdate>;
  deviceLive(tenantId: string, deviceId: string): LiveFeed<DeviceLiveUpdate>;
  messageEvents(
    tenantId: string,
    filter: { readonly deviceId: string | null; readonly messageId: string | null },
  ): LiveFeed<MessageEventUpdate>;
}

/** The source of a live subscription field: any reader may iterate it; the hub takes `feed` and shares one execution among many. */
export interface LiveSource<T> extends AsyncIterable<T> {
  readonly feed: LiveFeed<T>;
  /** where the client says it is; null = from now on */
  readonly since: LivePosition | null;
}
export function isLiveSource(value: unknown): value is LiveSource<unknown> {
  return typeof value === 'object' && value !== null && 'feed' in value && 'since' in value && Symbol.asyncIterator in value;
}
