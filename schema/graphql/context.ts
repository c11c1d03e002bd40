import type {
  DeviceRecord,
  DeviceState,
  LeadFields,
  MessageState,
  PairingMethod,
  QuietHours,
  Ramp,
  TransportKind,
} from '../domain/index.ts';
import type {
  AcceptItem,
  AcceptOutcome,
  ApiKeyEntry,
  AuditPageQuery,
  AuditRow,
  DeadLetterFilter,
  DeadLetterGroups,
  DeadLetterRow,
  DeviceMark,
  DeviceRow,
  Erased,
  FleetTotals,
  FlowKind,
  FlowPlace,
  FlowPreview,
  FlowRow,
  FlowState,
  HistoryGrain,
  HistoryPoint,
  LeadImportRow,
  LeadRow,
  LedgerMessage,
  NewFlow,
  NewRedrive,
  NodeRow,
  ReceivedKey,
  ReceivedRow,
  RedriveCount,
  RedriveOrder,
  RedriveRow,
  SendabilityRow,
  TenantRow,
  TenantRules,
  UploadRow,
  VariantPlace,
} from '../sql/index.ts';
import type { LiveStreams } from './live/port.ts';
import type { ReportReads } from './report/port.ts';
import type { WebhookPort } from './webhook/port.ts';

export type {
  ApiKeyEntry,
  AuditPageQuery,
  AuditRow,
  DeadLetterRow,
  FleetTotals,
  HistoryGrain,
  HistoryPoint,
  NodeRow,
  ReceivedKey,
  ReceivedRow,
  SendabilityRow,
  TenantRow,
  TenantRules,
};

/**
 * What a key may do. Each scope includes those before it: screen (fleet figures and device states, for walls), viewer (reads
 * everything), sender (queues and cancels messages), operator (devices, dead letters, suppression), admin (keys).
 */
export const SCOPES = ['screen', 'viewer', 'sender', 'operator', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who asks: the answer of gateway/auth. One viewer acts in exactly one tenant. */
export interface Viewer {
  readonly tenantId: string;
  readonly keyId: string;
  readonly keyName: string;
  readonly scopes: ReadonlySet<Scope>;
  /** the installation's own key: may create tenants and act in any of them */
  readonly installation: boolean;
}

/** The highest scope decides: `admin` may all that `sender` may. */
export function allows(viewer: Pick<Viewer, 'scopes'>, needed: Scope): boolean {
  for (let rank = SCOPES.indexOf(needed); rank < SCOPES.length; rank++) {
    const scope = SCOPES[rank];
    if (scope !== undefined && viewer.scopes.has(scope)) return true;
  }
  return false;
}

/** A keyset page: rows after (or before) a key, in key order. One row more than `limit` is not returned; `more` says it exists. */
export interface Page<T> {
  readonly rows: readonly T[];
  readonly more: boolean;
  /** the id from which the next page goes on, where that is not the last row's: a filter may fit few of those that were looked at */
  readonly resumeAfter?: string | null;
}

export interface DevicePageQuery {
  /** id of the last row seen, or null */
  readonly after: string | null;
  readonly limit: number;
}
/** The next `look` devices by id: those on the transport, with their names when asked for. */
export interface DeviceMarksQuery {
  readonly after: string | null;
  readonly transport: TransportKind | null;
  /** in lower case; marks carry their name when it is asked for, and names that cannot hold it may be missing */
  readonly name: string | null;
  readonly look: number;
}
export interface MessagePageQuery {
  readonly deviceId: string | null;
  readonly states: readonly MessageState[] | null;
  readonly after: string | null;
  readonly limit: number;
}
export interface DeadLetterPageQuery {
  readonly filter: DeadLetterFilter;
  readonly after: { readonly createdMicros: number; readonly messageId: string } | null;
  readonly limit: number;
}

export interface ReceivedPageQuery {
  readonly deviceId: string | null;
  readonly after: ReceivedKey | null;
  readonly limit: number;
}

/** Reads of the ledger; every one is confined to a tenant. Order of rows by ids is not promised. */
export interface LedgerReads {
  /** deleted ones too: whoever must not see them leaves them out */
  devicesByIds(tenantId: string, ids: readonly string[]): Promise<readonly DeviceRow[]>;
  messagesByIds(tenantId: string, ids: readonly string[]): Promise<readonly LedgerMessage[]>;
  sendability(tenantId: string, ids: readonly string[]): Promise<readonly SendabilityRow[]>;
  devicePage(tenantId: string, query: DevicePageQuery): Promise<Page<DeviceRow>>;
  deviceMarks(tenantId: string, query: DeviceMarksQuery): Promise<{ readonly marks: readonly DeviceMark[]; readonly until: string | null }>;
  messagePage(tenantId: string, query: MessagePageQuery): Promise<Page<LedgerMessage>>;
  deadLetterPage(tenantId: string, query: DeadLetterPageQuery): Promise<Page<DeadLetterRow>>;
  /** null: no such file is kept for this tenant */
  upload(tenantId: string, id: string): Promise<UploadRow | null>;
  receivedPage(tenantId: string, query: ReceivedPageQuery): Promise<Page<ReceivedRow>>;
}
/** Figures about the whole. */
export interface FleetReads {
  totals(tenantId: string): Promise<FleetTotals>;
  /** steps since `fromMs` (a multiple of the grain, wall ms), oldest first; those in which nothing happened are left out */
  history(tenantId: string, grain: HistoryGrain, fromMs: number): Promise<readonly HistoryPoint[]>;
  nodes(): Promise<readonly NodeRow[]>;
}

/** gateway/accept. Settles when the ledger has committed (or refused) the message. */
export interface AcceptPort {
  /** `deadline`: monotonic ms by which the request wants its answer */
  send(item: AcceptItem, deadline?: number): Promise<AcceptOutcome>;
}

export interface NewDevice {
  readonly name: string;
  readonly transport: TransportKind;
  readonly phone: string | null;
  readonly paceMinMs: number;
  readonly paceMaxMs: number;
  readonly dailyCap: number | null;
}
export type NodeProblem = 'NODE_NOT_FOUND' | 'NODE_DRAINING' | 'NODE_FULL' | 'LAST_NODE';
/** Commands on nodes. */
export interface NodeCommands {
  /** it hands over all its devices and takes no more until its process is started again */
  drain(nodeId: string): Promise<NodeRow | NodeProblem>;
  /** takes the wish back; the answer may still say DRAINING until the node has said otherwise */
  undrain(nodeId: string): Promise<NodeRow | NodeProblem>;
}
export type DeviceSettingsPatch = {
  readonly checkNumbers?: boolean;
  /** null takes them away */
  readonly quietHours?: QuietHours | null;
  readonly ramp?: Ramp | null;
  /** its whole address; sealed before it is kept */
  readonly proxy?: string | null;
};
export interface DevicePatch {
  readonly name?: string;
  readonly paceMinMs?: number;
  readonly paceMaxMs?: number;
  /** null takes the cap away */
  readonly dailyCap?: number | null;
  /** merged into those it has */
  readonly settings?: DeviceSettingsPatch;
}
/** Commands on devices. Null = no such device in this tenant. Owners are told by a doorbell. */
export interface DeviceCommands {
  create(tenantId: string, device: NewDevice): Promise<{ readonly device: DeviceRow; readonly linkToken: string | null } | 'NAME_TAKEN'>;
  /** to that node, or (null) wherever the plan says; it moves within seconds */
  move(tenantId: string, deviceId: string, nodeId: string | null): Promise<DeviceRow | null | NodeProblem>;
  update(
    tenantId: string,
    deviceId: string,
    patch: DevicePatch,
  ): Promise<DeviceRow | null | 'NAME_TAKEN' | 'PACE_INVALID' | 'ZONE_UNKNOWN' | { readonly proxyFault: string }>;
  /** answers once the owner says so too, or after a moment */
  setPaused(tenantId: string, deviceId: string, paused: boolean, reason: string | null): Promise<DeviceRow | null>;
  release(tenantId: string, deviceId: string): Promise<DeviceRow | null>;
  /** asks the owner to link it to a phone */
  pair(
    tenantId: string,
    deviceId: string,
    request: { readonly method: PairingMethod; readonly phone: string | null },
  ): Promise<DeviceRow | null | 'ALREADY_PAIRED' | 'NOT_WHATSAPP'>;
  /** a new link token (the old one stops working, its socket is closed), or none at all */
  setLinkToken(
    tenantId: string,
    deviceId: string,
    wanted: boolean,
  ): Promise<{ readonly device: DeviceRow; readonly linkToken: string | null } | 'NOT_A_LINK' | null>;
}
/** The ends of devices. */
export interface DeviceEnds {
  /** its session and its link token are gone, its owner lets it go */
  unlink(tenantId: string, deviceId: string): Promise<DeviceRow | null>;
  /** its name is free again, its messages end */
  remove(tenantId: string, deviceId: string): Promise<DeviceRow | null>;
}
/** Commands on messages other than sending. */
export interface MessageCommands {
  cancel(
    tenantId: string,
    messageId: string,
  ): Promise<{ readonly kind: 'cancelled' | 'not-cancellable'; readonly message: LedgerMessage } | null>;
  /** puts dead and failed messages back to QUEUED; `ids` null = the oldest `limit` */
  redrive(tenantId: string, ids: readonly string[] | null, limit: number): Promise<readonly string[]>;
  suppress(tenantId: string, phone: string, reason: string): Promise<{ readonly added: boolean }>;
  /** how many were taken back */
  unsuppress(tenantId: string, phone: string): Promise<number>;
  /** everything about a person goes, but a hash that keeps messages from them */
  erase(tenantId: string, phone: string): Promise<Erased>;
}
/** Putting dead letters back by filter. */
export interface RedrivePort {
  groups(tenantId: string, filter: DeadLetterFilter): Promise<DeadLetterGroups>;
  count(tenantId: string, order: RedriveOrder): Promise<RedriveCount>;
  start(order: Omit<NewRedrive, 'id'>): Promise<RedriveRow | 'TOO_MANY'>;
  /** false: there is no such redrive, or it has ended */
  cancel(tenantId: string, id: string): Promise<boolean>;
  /** newest first; `before`: id of the last one seen */
  page(
    tenantId: string,
    query: { readonly before: string | null; readonly limit: number; readonly ids?: readonly string[] },
  ): Promise<Page<RedriveRow>>;
}
/** Changes of tenants and keys. */
export interface AccessCommands {
  /** null: numbers without a country code are refused */
  setDefaultRegion(tenantId: string, region: string | null): Promise<boolean>;
  /** what it promises the people it writes to; what is left out stays */
  setRules(tenantId: string, rules: TenantRules): Promise<boolean>;
  createTenant(name: string, timeZone: string, maxBacklog: number | null): Promise<TenantRow | 'NAME_TAKEN'>;
  createApiKey(
    tenantId: string,
    key: { readonly name: string; readonly scopes: readonly Scope[]; readonly expiresAt: number | null },
  ): Promise<{ readonly row: ApiKeyEntry; readonly secret: string }>;
  /** false: the tenant has no such key, or it was revoked before */
  revokeApiKey(tenantId: string, keyId: string): Promise<boolean>;
}
export interface IdPageQuery {
  /** id of the last row seen, or null */
  readonly after: string | null;
  readonly limit: number;
}
/** Reads of tenants, keys and what was done with them. */
export interface AccessReads {
  tenant(tenantId: string): Promise<TenantRow | null>;
  /** of the whole installation */
  tenantPage(query: IdPageQuery): Promise<Page<TenantRow>>;
  apiKeyPage(tenantId: string, query: IdPageQuery): Promise<Page<ApiKeyEntry>>;
  /** newest first */
  auditPage(tenantId: string, query: AuditPageQuery): Promise<Page<AuditRow>>;
}

/** Campaigns, sequences and leads. */
export interface FlowPort {
  /** what is wrong with a text with gaps, or null (actors/campaigns) */
  templateFault(template: string): string | null;
  byId(tenantId: string, kind: FlowKind, id: string): Promise<FlowRow | null>;
  /** newest first; `before`: number of the last one seen */
  page(tenantId: string, kind: FlowKind, query: { readonly before: number | null; readonly limit: number }): Promise<Page<FlowRow>>;
  progress(flowNos: readonly number[]): Promise<readonly FlowPlace[]>;
  /** of a campaign with variants */
  variantProgress(flowNo: number): Promise<readonly VariantPlace[]>;
  create(flow: Omit<NewFlow, 'id'>): Promise<FlowRow | 'NAME_TAKEN' | 'DEVICE_NOT_FOUND' | 'SEQUENCE_NOT_FOUND' | 'SEQUENCE_LOOPS'>;
  /** nodes are told; null: the tenant has none of that id */
  setState(
    tenantId: string,
    flowId: string,
    wanted: 'RUNNING' | 'PAUSED' | 'CANCELLED',
  ): Promise<{ readonly state: FlowState; readonly changed: boolean } | null>;
  /** how many begin now */
  enrol(tenantId: string, flowId: string, leadIds: readonly string[]): Promise<number>;
  /** how many leave it now */
  unenrol(tenantId: string, flowId: string, leadIds: readonly string[]): Promise<number>;
  leads(
    tenantId: string,
    query: { readonly after: number | null; readonly limit: number; readonly tag: string | null },
  ): Promise<Page<LeadRow>>;
  /** of phones that differ */
  importLeads(tenantId: string, leads: readonly LeadFields[]): Promise<{ readonly made: number; readonly changed: number }>;
  /** who it would write to; null: the tenant has no such flow */
  preview(
    tenantId: string,
    flowId: string,
    most: { readonly looked: number; readonly samples: number; readonly leadId: string | null },
  ): Promise<FlowPreview | null>;
  /** the text for one lead; null: it lacks a value that the text needs */
  render(
    template: string,
    lead: { readonly name: string | null; readonly phone: string | null; readonly attributes: Readonly<Record<string, unknown>> },
  ): string | null;
  /** reads numbers as they are written in a country (gateway/leads); null: there is no such country */
  phoneReader(region: string): ((text: string) => PhoneReading) | null;
  /** files that were imported, newest first; `before`: id of the last one seen */
  leadImports(
    tenantId: string,
    query: { readonly before: string | null; readonly limit: number; readonly ids?: readonly string[] },
  ): Promise<Page<LeadImportRow>>;
  /** false: there is no such import, or it has ended */
  cancelLeadImport(tenantId: string, id: string): Promise<boolean>;
}
/** A phone number in E.164, or what is wrong with it. */
export type PhoneReading = { readonly phone: string } | { readonly fault: string };

export type DeviceLookup = (deviceId: string) => DeviceRecord | undefined;

/** The gateway's mirror of the live device records (gateway/hub). */
export interface LiveReads {
  device(tenantId: string, deviceId: string): Promise<DeviceRecord | undefined> | DeviceRecord | undefined;
  /** the same for who asks for thousands: what it gives is of this moment */
  devices(tenantId: string): Promise<DeviceLookup> | DeviceLookup;
  /** devices per state, as far as known */
  states(tenantId: string): Promise<ReadonlyMap<DeviceState, number>> | ReadonlyMap<DeviceState, number>;
}

/**
 * Who did what, to which subject. Resolves when it is written down (of messages sent: at once, they are written down together) and never fails
 * the mutation.
 */
export type AuditPort = (entry: {
  readonly viewer: Viewer;
  /** default: the viewer's tenant */
  readonly tenantId?: string;
  readonly action: string;
  readonly subject: string | null;
  readonly detail?: Readonly<Record<string, unknown>>;
}) => Promise<void>;

/** The services behind the resolvers, the same for every request. */
export interface GraphqlServices {
  readonly ledger: LedgerReads;
  readonly fleet: FleetReads;
  readonly accept: AcceptPort;
  readonly devices: DeviceCommands;
  readonly deviceEnds: DeviceEnds;
  readonly nodes: NodeCommands;
  readonly messages: MessageCommands;
  readonly redrives: RedrivePort;
  readonly webhooks: WebhookPort;
  readonly reports: ReportReads;
  readonly flows: FlowPort;
  readonly access: AccessCommands;
  readonly accessReads: AccessReads;
  readonly live: LiveReads & LiveStreams;
  readonly audit: AuditPort;
  /** wall ms */
  readonly now: () => number;
}

export interface GraphqlLoaders {
  device(id: string): Promise<DeviceRow | null>;
  /** a device that may have been deleted: what is left of it where its messages name it */
  deviceEver(id: string): Promise<DeviceRow | null>;
  message(id: string): Promise<LedgerMessage | null>;
  sendability(id: string): Promise<SendabilityRow | null>;
}

/** One per operation. `viewer` is never null: gateway/auth refuses before anything is executed. */
export interface GraphqlContext extends GraphqlServices {
  readonly viewer: Viewer;
  readonly loaders: GraphqlLoaders;
  /** W3C traceparent of the request, when it came with one */
  readonly traceparent?: string | undefined;
  /** monotonic ms by which the request is to be answered */
  readonly deadline?: number | undefined;
}
