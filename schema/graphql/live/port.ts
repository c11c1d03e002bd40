import type { DeviceRecord, DeviceState, MessageEventRecord, PairingRecord } from '../../domain/index.ts';
import type { FlowPlace, FlowRow, ReportStep } from '../../sql/index.ts';
import type { FleetTotals } from '../context.ts';

/** A place in a live stream. `epoch` is made anew whenever Redis lost the stream; `seq` rises by one with each batch. */
export interface LivePosition {
  readonly epoch: string;
  readonly seq: number;
}

/** The state of a fleet, or what changed of it. */
export interface FleetUpdate extends LivePosition {
  readonly kind: 'snapshot' | 'delta';
  /** a delta covers (from, seq]; of a snapshot it equals seq */
  readonly from: number;
  /** wall ms at which this was put together */
  readonly asOf: number;
  /** records as they count: UNKNOWN where the node has no heartbeat */
  readonly records: readonly DeviceRecord[];
  readonly removed: readonly string[];
  /** some devices are simulated */
  readonly simulated: boolean;
  readonly totals: LiveTotals;
}
export type LiveTotals = FleetTotals & { readonly states: readonly { readonly state: DeviceState; readonly count: number }[] };

/** The live record of one device; null while none is known. */
export interface DeviceLiveUpdate extends LivePosition {
  readonly id: string;
  readonly asOf: number;
  readonly record: DeviceRecord | null;
}

/** One change of a message. `seq` is the position a reader may resume from, having this. */
export interface MessageEventUpdate extends LivePosition {
  readonly event: MessageEventRecord;
}

/** A pairing as it stands; null while none was seen. */
export interface PairingUpdate extends LivePosition {
  readonly deviceId: string;
  readonly record: PairingRecord | null;
}

/** How far a campaign is: itself, its leads by place, and the steps of its reports that its speed is taken from. */
export interface FlowNow {
  readonly flow: FlowRow;
  readonly places: readonly FlowPlace[];
  readonly steps: readonly Pick<ReportStep, 'sent'>[];
}
export interface FlowProgressUpdate extends LivePosition, FlowNow {
  /** wall ms */
  readonly asOf: number;
}

/** `gap`: `from` is not known here (another epoch, trimmed, or ahead of the server). State feeds then give a snapshot, event feeds say RESYNC_REQUIRED. */
export type LiveRange<T> = { readonly kind: 'updates'; readonly updates: readonly T[] } | { readonly kind: 'gap' };

/**
 * One live stream as a subscription field sees it. A reader keeps a position of its own and asks for what lies behind it; the feed
 * only says that there is more. State feeds may merge any number of batches into one update, event feeds give each event.
 */
export interface LiveFeed<T extends LivePosition> {
  /**
   * state: only the newest matters, merging loses nothing. events: each one matters. telemetry: a slow reader may miss the oldest ones.
   */
  readonly kind: 'state' | 'events' | 'telemetry';
  /** resolves once the feed is joined to the live stream */
  ready(): Promise<void>;
  top(): LivePosition;
  /** rises when something outside the stream changed (totals, silent nodes): an update may be due though `top()` stands still */
  version(): number;
  /** the whole state at `top()`; undefined for events */
  snapshot(): T | undefined;
  /** everything in (from, top()], and what changed outside the stream since `version`; undefined = the reader does not know its version */
  range(from: LivePosition, version: number | undefined): LiveRange<T>;
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
  /** one device's pairing; the caller has checked that the device is the tenant's */
  pairing(deviceId: string): LiveFeed<PairingUpdate>;
  /** one campaign's progress; the caller has checked that it is the tenant's */
  flowProgress(tenantId: string, id: string): LiveFeed<FlowProgressUpdate>;
}

/** The source of a live subscription field: any reader may iterate it; the hub takes `feed` and shares one execution among many. */
export interface LiveSource<T extends LivePosition> extends AsyncIterable<T> {
  readonly feed: LiveFeed<T>;
  /** where the client says it is; null = from now on */
  readonly since: LivePosition | null;
}
export function isLiveSource(value: unknown): value is LiveSource<LivePosition> {
  return typeof value === 'object' && value !== null && 'feed' in value && 'since' in value && Symbol.asyncIterator in value;
}
