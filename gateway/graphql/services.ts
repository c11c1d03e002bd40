import type { ProxySeal } from '../../actors/transports/whatsapp/index.ts';
import type { Sql } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import {
  BELL,
  type MessageEventRecord,
  nodeChannel,
  PAIRING_ASKED_CHANNEL,
  partitionKeys,
  type ToNode,
  uuidV7,
} from '../../schema/domain/index.ts';
import type {
  AccessCommands,
  AccessReads,
  DeviceCommands,
  DeviceEnds,
  FleetReads,
  GraphqlServices,
  LedgerReads,
  MessageCommands,
  NodeCommands,
  Page,
} from '../../schema/graphql/index.ts';
import * as ledger from '../../schema/sql/index.ts';
import { hashOf, newLinkToken, newSecret } from '../auth/index.ts';
import { createReportReads } from '../reports/index.ts';
import { createGuard, type Guard } from '../system/index.ts';
import { updateDevice } from './device-update.ts';
import { createEraser } from './erase.ts';
import { createFleetTotals } from './fleet-totals.ts';
import { createFlowPort } from './flows.ts';
import { createRedrivePort } from './redrives.ts';

/** Wires the resolvers' ports to the SQL functions. Every call waits at most DEPENDENCY_WAIT_MS, then says UNAVAILABLE. */
export interface ServicesDeps {
  readonly sql: Sql;
  readonly accept: GraphqlServices['accept'];
  /** gateway/hub */
  readonly live: GraphqlServices['live'];
  /** actors/live: cancelled and redriven messages are told like all others, and devices that are gone */
  readonly publish: {
    messages(tenantId: string, records: readonly MessageEventRecord[]): unknown;
    removed(tenantId: string, deviceId: string): unknown;
  };
  /** Redis, for doorbells */
  readonly bells: { publish(channel: string, text: string): Promise<unknown> };
  /** actors/mailbox: redriven messages go to their mailboxes at once, which rings their owners */
  readonly enqueuer: { enqueue(entries: readonly ledger.RefillEntry[]): Promise<void> };
  readonly audit: GraphqlServices['audit'];
  /** longest wait for one piece of work in the ledger; default: as everywhere */
  readonly waitMs?: number;
  /** gateway/link: a socket of this device, wherever it is, may not go on */
  readonly closeLink: (deviceId: string, reason: 'TOKEN_REVOKED' | 'DEVICE_DELETED') => void;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** a key was revoked here: gateway/auth drops it from its cache */
  readonly forgetKey: (keyId: string) => void;
  /** actors/transports/whatsapp: proxies of devices are kept sealed */
  readonly proxies: Pick<ProxySeal, 'seal'>;
  /** gateway/webhooks */
  readonly webhooks: (guard: Guard) => GraphqlServices['webhooks'];
}

interface Context extends ServicesDeps {
  readonly guard: Guard;
}

/** How long an answer waits for an owner to say the new state (within the patience of the request), and how often it looks. */
const STATE_PATIENCE_MS = 400;
const STATE_LOOK_MS = 20;
/** Messages looked at for one page of those in some states. */
const MESSAGES_LOOK = 20_000;
/** Messages of a deleted device ended by one statement. */
const END_CHUNK = 1_000;

/** One row more than wanted was read, to know whether there are more. */
function pageOf<T>(rows: readonly T[], limit: number): Page<T> {
  return { rows: rows.slice(0, limit), more: rows.length > limit };
}

function ledgerReads({ sql, guard }: Context): LedgerReads {
  return {
    devicesByIds: (tenantId, ids) => guard(() => ledger.tenantDevices(sql, tenantId, ids, { deleted: true })),
    messagesByIds: (tenantId, ids) => guard(() => ledger.loadMessages(sql, tenantId, ids)),
    sendability: (tenantId, ids) => guard(() => ledger.sendability(sql, tenantId, ids)),
    devicePage: (tenantId, { after, limit }) => guard(async () => pageOf(await ledger.devicesPage(sql, tenantId, after, limit + 1), limit)),
    deviceMarks: (tenantId, marks) => guard(() => ledger.deviceMarks(sql, tenantId, marks)),
    messagePage: (tenantId, { deviceId, states, after, limit }) =>
      guard(async () => {
        const page = { tenantId, deviceId: deviceId ?? undefined, before: after, limit: limit + 1 };
        if (states === null) return pageOf(await ledger.messagesPage(sql, page), limit);
        const { messages, until } = await ledger.messagesInStates(sql, { ...page, states, look: MESSAGES_LOOK });
        return messages.length <= limit && until !== null ? { rows: messages, more: true, resumeAfter: until } : pageOf(messages, limit);
      }),
    upload: (tenantId, id) => guard(() => ledger.findUpload(sql, id, tenantId)),
    receivedPage: (tenantId, query) =>
      guard(async () => pageOf(await ledger.receivedPage(sql, tenantId, { ...query, limit: query.limit + 1 }), query.limit)),
    deadLetterPage: (tenantId, { filter, after, limit }) =>
      guard(async () => pageOf(await ledger.deadLettersPage(sql, tenantId, filter, after, limit + 1), limit)),
  };
}

function fleetReads({ sql, guard, clock, telemetry }: Context): FleetReads {
  return {
    totals: createFleetTotals({
      read: (tenantId) => guard(() => ledger.fleetTotals(sql, tenantId, clock.wall())),
      count: (tenantId) => guard(() => ledger.countFleet(sql, tenantId)),
      telemetry,
    }),
    history: (tenantId, grain, fromMs) => guard(() => ledger.fleetHistory(sql, tenantId, grain, fromMs)),
    nodes: () => guard(() => ledger.listNodes(sql)),
  };
}

/** Tells the owner that the row is another: it reloads it; a lost bell is repaired by its sweep of changed rows. */
function changed<T extends { readonly id: string; readonly partition: number }>({ bells, telemetry }: Context, row: T | null): T | null {
  if (row !== null) {
    bells.publish(partitionKeys(row.partition).bell, BELL.changed + row.id).catch((error: unknown) => {
      telemetry.log.debug('bell.failed', { error: String(error) });
    });
  }
  return row;
}

/** Waits until the owner of a device says what its row says, so that an answer shows the new state; not for long, and not without an owner. */
async function untilSaid({ live, clock }: Context, tenantId: string, deviceId: string, paused: boolean): Promise<void> {
  const until = clock.monotonic() + STATE_PATIENCE_MS;
  while (clock.monotonic() < until) {
    const record = await live.device(tenantId, deviceId);
    if (record === undefined || record.state === 'QUARANTINED' || record.node === null) return;
    if ((record.state === 'PAUSED') === paused) return;
    await clock.sleep(STATE_LOOK_MS);
  }
}

function deviceCommands(context: Context): DeviceCommands {
  const { sql, guard, clock } = context;
  return {
    create: (tenantId, device) =>
      guard(async () => {
        const linkToken = device.transport === 'link' ? newLinkToken() : null;
        const row = await ledger.createDevice(sql, {
          id: uuidV7(clock.wall()),
          tenantId,
          ...device,
          linkTokenHash: linkToken === null ? null : hashOf(linkToken),
        });
        return row === null ? 'NAME_TAKEN' : { device: row, linkToken };
      }),
    update: (tenantId, deviceId, patch) => guard(() => updateDevice(context, tenantId, deviceId, patch, (row) => changed(context, row))),
    async setPaused(tenantId, deviceId, paused, reason) {
      const row = await guard(async () => changed(context, await ledger.setPaused(sql, tenantId, deviceId, paused, reason)));
      if (row !== null) await untilSaid(context, tenantId, deviceId, paused);
      return row;
    },
    move: (tenantId, deviceId, nodeId) =>
      guard(async () => {
        if (nodeId !== null) {
          const node = (await ledger.listNodes(sql)).find((one) => one.id === nodeId && one.state !== 'GONE');
          if (node === undefined) return 'NODE_NOT_FOUND';
          if (node.state === 'DRAINING') return 'NODE_DRAINING';
          const [owner] = await ledger.ownershipOf(sql, { deviceIds: [deviceId] });
          if (node.devices >= node.capacity && owner?.node !== nodeId) return 'NODE_FULL';
        }
        const row = await ledger.updateDevice(sql, tenantId, deviceId, { settings: { node: nodeId } });
        const [owner] = row === null ? [] : await ledger.ownershipOf(sql, { deviceIds: [deviceId] });
        if (typeof owner?.node === 'string') ring(context, owner.node, { kind: 'device.move', deviceId });
        return row;
      }),
    pair: (tenantId, deviceId, { method, phone }) =>
      guard(async () => {
        const row = await ledger.requestPairing(sql, deviceId, tenantId, { requestedAt: Math.floor(clock.wall()), method, phone });
        if (row !== null) {
          const { bells, telemetry } = context;
          bells.publish(PAIRING_ASKED_CHANNEL, deviceId).catch((error: unknown) => {
            telemetry.log.debug('bell.failed', { error: String(error) });
          });
          return changed(context, row);
        }
        const [known] = await ledger.tenantDevices(sql, tenantId, [deviceId]);
        if (known === undefined || known.deleted) return null;
        return known.transport === 'whatsapp' ? 'ALREADY_PAIRED' : 'NOT_WHATSAPP';
      }),
    release: (tenantId, deviceId) =>
      guard(async () => {
        const released = changed(context, await ledger.releaseDevice(sql, tenantId, deviceId));
        // not in quarantine: nothing to do, and the device is as it should be
        return released ?? (await ledger.tenantDevices(sql, tenantId, [deviceId]))[0] ?? null;
      }),
    setLinkToken: (tenantId, deviceId, wanted) =>
      guard(async () => {
        const [known] = await ledger.tenantDevices(sql, tenantId, [deviceId]);
        if (known === undefined) return null;
        if (known.transport !== 'link') return 'NOT_A_LINK';
        const linkToken = wanted ? newLinkToken() : null;
        const device = changed(context, await ledger.setLinkToken(sql, tenantId, deviceId, linkToken === null ? null : hashOf(linkToken)));
        if (device === null) return null;
        context.closeLink(deviceId, 'TOKEN_REVOKED');
        return { device, linkToken };
      }),
  };
}

function deviceEnds(context: Context): DeviceEnds {
  const { sql, guard, clock, telemetry } = context;
  return {
    unlink: (tenantId, deviceId) =>
      guard(async () => {
        const row = changed(context, await ledger.unlinkDevice(sql, tenantId, deviceId, clock.wall()));
        if (row?.transport === 'link') context.closeLink(deviceId, 'TOKEN_REVOKED');
        return row;
      }),
    remove: (tenantId, deviceId) =>
      guard(async () => {
        const row = changed(context, await ledger.deleteDevice(sql, tenantId, deviceId));
        if (row !== null) {
          context.publish.removed(tenantId, deviceId);
          if (row.transport === 'link') context.closeLink(deviceId, 'DEVICE_DELETED');
          // the upkeep goes on where this ends
          endMessages(context, deviceId).catch((error: unknown) => telemetry.log.warn('device.end', { deviceId }, error));
        }
        return row;
      }),
  };
}

/** Ends what a deleted device still has queued, and says so. */
export async function endMessages(
  { sql, publish, clock }: Pick<ServicesDeps, 'sql' | 'clock'> & { readonly publish: Pick<ServicesDeps['publish'], 'messages'> },
  deviceId: string,
): Promise<number> {
  let all = 0;
  for (;;) {
    const ended = await ledger.endDeleted(sql, deviceId, END_CHUNK);
    all += ended.length;
    for (const { tenantId, messageId, state, cause, attempt } of ended) {
      publish.messages(tenantId, [{ messageId, deviceId, state, cause, attempts: attempt, at: clock.wall() }]);
    }
    if (ended.length < END_CHUNK) return all;
  }
}

/** Most redriven messages promoted by one statement. */
const PROMOTE_CHUNK = 500;

/** What was redriven gets its place in the lane, and its owner hears of it, now. Not waited for: nodes do the same every second. */
function promote({ sql, enqueuer, telemetry }: Context, count: number): void {
  const run = async (): Promise<void> => {
    for (let left = count; left > 0; ) {
      const entries = await ledger.promoteDue(sql, Math.min(left, PROMOTE_CHUNK));
      if (entries.length === 0) return;
      await enqueuer.enqueue(entries);
      left -= entries.length;
    }
  };
  run().catch((error: unknown) => telemetry.log.warn('redrive.promote', {}, error));
}

/** A hint: what is wanted stands in Postgres, and nodes look there every few seconds. */
function ring({ bells, telemetry }: Context, nodeId: string, message: ToNode): void {
  bells.publish(nodeChannel(nodeId), JSON.stringify([message])).catch((error: unknown) => {
    telemetry.log.debug('bell.failed', { error: String(error) });
  });
}

function nodeCommands(context: Context): NodeCommands {
  const { sql, guard } = context;
  return {
    drain: (nodeId) =>
      guard(async () => {
        const wish = await ledger.drainNode(sql, nodeId);
        if (wish === 'last') return 'LAST_NODE';
        const node = (await ledger.listNodes(sql)).find((one) => one.id === nodeId);
        if (wish === 'not-found' || node === undefined) return 'NODE_NOT_FOUND';
        ring(context, nodeId, { kind: 'node.drain' });
        return node;
      }),
    undrain: (nodeId) =>
      guard(async () => {
        if (!(await ledger.undrainNode(sql, nodeId))) return 'NODE_NOT_FOUND';
        ring(context, nodeId, { kind: 'node.drain' });
        return (await ledger.listNodes(sql)).find((one) => one.id === nodeId) ?? 'NODE_NOT_FOUND';
      }),
  };
}

function messageCommands(context: Context): MessageCommands {
  const { sql, guard, clock, publish } = context;
  return {
    cancel: (tenantId, messageId) =>
      guard(async () => {
        const outcome = await ledger.cancel(sql, tenantId, messageId);
        if (outcome.kind === 'not-found') return null;
        const [message] = await ledger.loadMessages(sql, tenantId, [messageId]);
        if (message === undefined) return null;
        if (outcome.kind === 'cancelled') {
          const { deviceId, attempt: attempts } = outcome;
          publish.messages(tenantId, [{ messageId, deviceId, state: 'CANCELLED', cause: 'CANCELLED', attempts, at: clock.wall() }]);
        }
        return { kind: outcome.kind, message };
      }),
    redrive: (tenantId, ids, limit) =>
      guard(async () => {
        const redriven = await ledger.redrive(sql, tenantId, ids, limit);
        const at = clock.wall();
        const records = redriven.map(
          ({ messageId, deviceId, attempt }): MessageEventRecord => ({
            messageId,
            deviceId,
            state: 'QUEUED',
            cause: 'REDRIVEN',
            attempts: attempt,
            at,
          }),
        );
        if (records.length > 0) {
          publish.messages(tenantId, records);
          promote(context, records.length);
        }
        return redriven.map((row) => row.messageId);
      }),
    suppress: (tenantId, phone, reason) =>
      guard(async () => {
        const row = { id: uuidV7(clock.wall()), tenantId, phone, lid: null, reason, source: 'api' };
        return { added: (await ledger.suppress(sql, [row])).length > 0 };
      }),
    unsuppress: (tenantId, phone) => guard(() => ledger.unsuppress(sql, tenantId, { phone, lid: null })),
    erase: createEraser({ sql, guard, clock }),
  };
}

function accessCommands({ sql, guard, clock, forgetKey }: Context): AccessCommands {
  return {
    createTenant: (name, timeZone, maxBacklog) =>
      guard(async () => {
        const id = uuidV7(clock.wall());
        return (await ledger.createTenant(sql, { id, name, timeZone, ...(maxBacklog === null ? {} : { maxBacklog }) })) ?? 'NAME_TAKEN';
      }),
    createApiKey: (tenantId, key) =>
      guard(async () => {
        const secret = newSecret();
        const now = clock.wall();
        const id = uuidV7(now);
        await ledger.createApiKey(sql, { id, tenantId, ...key, hash: hashOf(secret) });
        return { row: { id, ...key, createdAt: now, revokedAt: null }, secret };
      }),
    setDefaultRegion: (tenantId, region) => guard(() => ledger.setDefaultRegion(sql, tenantId, region)),
    setRules: (tenantId, rules) => guard(() => ledger.setTenantRules(sql, tenantId, rules)),
    revokeApiKey: (tenantId, keyId) =>
      guard(async () => {
        const done = await ledger.revokeApiKey(sql, tenantId, keyId);
        if (done) forgetKey(keyId);
        return done;
      }),
  };
}

function accessReads({ sql, guard }: Context): AccessReads {
  return {
    tenant: (tenantId) => guard(async () => (await ledger.loadTenants(sql, [tenantId]))[0] ?? null),
    tenantPage: ({ after, limit }) => guard(async () => pageOf(await ledger.tenantsPage(sql, after, limit + 1), limit)),
    apiKeyPage: (tenantId, { after, limit }) => guard(async () => pageOf(await ledger.apiKeysPage(sql, tenantId, after, limit + 1), limit)),
    auditPage: (tenantId, query) =>
      guard(async () => pageOf(await ledger.auditPage(sql, tenantId, { ...query, limit: query.limit + 1 }), query.limit)),
  };
}

export function createServices(deps: ServicesDeps): GraphqlServices {
  const context: Context = { ...deps, guard: createGuard(deps.clock, 'the ledger', deps.waitMs) };
  return {
    ledger: ledgerReads(context),
    fleet: fleetReads(context),
    accept: deps.accept,
    devices: deviceCommands(context),
    deviceEnds: deviceEnds(context),
    nodes: nodeCommands(context),
    messages: messageCommands(context),
    redrives: createRedrivePort(context),
    webhooks: deps.webhooks(context.guard),
    reports: createReportReads(context),
    flows: createFlowPort(context),
    access: accessCommands(context),
    accessReads: accessReads(context),
    live: deps.live,
    audit: deps.audit,
    now: () => deps.clock.wall(),
  };
}
