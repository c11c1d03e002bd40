import {
  type DeviceRecord,
  paceProfileOf,
  proxyOf,
  type QuietHours,
  quietHoursOf,
  type Ramp,
  rampOf,
  standingOf,
} from '../../domain/index.ts';
import type { DeviceRow } from '../../sql/types.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { sendabilityOf } from './sendability.ts';

/** Of what its owner last said. At once when that is known: a page asks for hundreds of them. */
export function ofLive<T>(
  device: Pick<DeviceRow, 'id'>,
  context: GraphqlContext,
  tell: (live: DeviceRecord | undefined) => T | Promise<T>,
): T | Promise<T> {
  const live = context.live.device(context.viewer.tenantId, device.id);
  return live instanceof Promise ? live.then(tell) : tell(live);
}

/**
 * What a device is called, from its row and its owner's last word. The row counts where it says more: an owner may not have heard of a pause,
 * or of its end, yet.
 */
export function calledState(
  device: Pick<DeviceRow, 'deleted' | 'quarantined' | 'quarantineReason' | 'paused' | 'pauseReason'>,
  live: DeviceRecord | undefined,
): { readonly state: DeviceRecord['state']; readonly reason: string | null } {
  if (device.deleted) return { state: 'UNKNOWN', reason: 'DELETED' };
  if (device.quarantined) return { state: 'QUARANTINED', reason: device.quarantineReason };
  if (device.paused) return { state: 'PAUSED', reason: device.pauseReason };
  if (live === undefined) return { state: 'UNKNOWN', reason: 'NO_OWNER' };
  if (live.state === 'PAUSED' || live.state === 'QUARANTINED') return { state: 'UNKNOWN', reason: 'RESUMING' };
  return { state: live.state, reason: live.reason };
}

interface NewChatsShape {
  readonly paused: boolean;
  readonly reason: string | null;
  readonly until: number | null;
  readonly used: number | null;
  readonly total: number | null;
  readonly countedAt: number | null;
}

function newChatsOf(device: DeviceRow, now: number): NewChatsShape {
  const { coldUntil, coldWhy, newChats } = standingOf(device.settings);
  const paused = coldUntil !== null && coldUntil > now;
  return {
    paused,
    reason: paused ? coldWhy : null,
    until: paused ? coldUntil : null,
    used: newChats?.used ?? null,
    total: newChats?.total ?? null,
    countedAt: newChats?.at ?? null,
  };
}

export function addDeviceType(kit: Kit): void {
  const { builder } = kit;
  builder.objectType('Sendability', {
    description: 'Always answers: why is it (not) sending?',
    fields: (t) => ({
      canSend: t.exposeBoolean('canSend', { description: 'A message queued now goes out as soon as the pace allows.' }),
      reasons: t.stringList({
        description:
          'Most important first: DELETED, QUARANTINED, PAUSED, NOT_PAIRED, LOGGED_OUT, NO_OWNER, MOVING, OFFLINE, CONNECTING, CIRCUIT_OPEN, PROBATION, RATE_LIMITED, QUIET_HOURS, DAILY_CAP; COLD_PAUSED (people who do not know the device wait), PACE and EMPTY_QUEUE do not stop it.',
        resolve: (sendability) => [...sendability.reasons],
      }),
      until: t.expose('until', {
        type: 'DateTime',
        nullable: true,
        description: 'When the first of RATE_LIMITED, QUIET_HOURS, DAILY_CAP, COLD_PAUSED, PACE lets go, if that is known.',
      }),
      backlog: t.exposeInt('backlog', { description: 'Messages accepted and not yet ended.' }),
      nextSendAt: t.expose('nextSendAt', { type: 'DateTime', nullable: true, description: 'The pace allows the next send from here on.' }),
    }),
  });
  const NewChats = builder.objectRef<NewChatsShape>('NewChats').implement({
    description: 'What WhatsApp says about a device that writes to people who do not know it.',
    fields: (t) => ({
      paused: t.exposeBoolean('paused', {
        description:
          'Such messages wait (QUEUED, cause COLD_PAUSED); to people who wrote to the device, or got a message from it, it sends as before.',
      }),
      reason: t.exposeString('reason', { nullable: true, description: 'REACHOUT_LOCKED (463) or NEW_CHAT_CAP, while paused.' }),
      until: t.expose('until', { type: 'DateTime', nullable: true, description: 'The pause ends then, or earlier when WhatsApp says so.' }),
      used: t.exposeInt('used', { nullable: true, description: 'New chats of the present cycle, as WhatsApp counted them last.' }),
      total: t.exposeInt('total', { nullable: true, description: 'How many it allows in a cycle.' }),
      countedAt: t.expose('countedAt', { type: 'DateTime', nullable: true, description: 'When it said so.' }),
    }),
  });
  const Quiet = builder.objectRef<QuietHours>('QuietHours').implement({
    description: 'Hours of a day.',
    fields: (t) => ({
      zone: t.exposeString('zone', { description: 'IANA time zone.' }),
      from: t.exposeString('from', { description: 'HH:MM.' }),
      to: t.exposeString('to', { description: 'HH:MM; not after `from` = on the next day.' }),
    }),
  });
  const RampType = builder.objectRef<Ramp>('Ramp').implement({
    description: 'A limit that grows from day to day.',
    fields: (t) => ({
      from: t.exposeString('from', { description: 'The day of the first step (UTC).' }),
      steps: t.intList({ description: 'Most sends of each day; after the last one dailyCap alone.', resolve: ({ steps }) => [...steps] }),
    }),
  });
  builder.node('Device', {
    description: 'A WhatsApp linked device, or a stand-in for one.',
    id: { resolve: (device) => device.id },
    loadOne: (id, context) => context.loaders.device(id),
    fields: (t) => ({
      name: t.exposeString('name', { description: 'Its name, unique in the tenant.' }),
      phone: t.exposeString('phone', { nullable: true, description: 'Its own number in E.164, when known.' }),
      transport: t.expose('transport', { type: kit.Transport, description: 'How it reaches the network.' }),
      paired: t.exposeBoolean('paired', { description: 'It has a session with its provider.' }),
      paused: t.exposeBoolean('paused', { description: 'It accepts messages and holds them.' }),
      pauseReason: t.exposeString('pauseReason', { nullable: true, description: 'Why it was paused.' }),
      paceMinMs: t.exposeInt('paceMinMs', { description: 'Shortest wait between two sends, ms.' }),
      paceMaxMs: t.exposeInt('paceMaxMs', { description: 'Longest wait between two sends, ms.' }),
      dailyCap: t.exposeInt('dailyCap', { nullable: true, description: 'Most sends a day (UTC); null = no cap.' }),
      paceProfile: t.field({
        type: kit.PaceProfile,
        nullable: true,
        description: 'The profile that its pace is; null = a pace of its own.',
        resolve: ({ paceMinMs, paceMaxMs }) => paceProfileOf(paceMinMs, paceMaxMs),
      }),
      quietHours: t.field({
        type: Quiet,
        nullable: true,
        description: 'Nothing is sent in these hours; null = none.',
        resolve: ({ settings }) => quietHoursOf(settings),
      }),
      ramp: t.field({
        type: RampType,
        nullable: true,
        description: 'Most sends a day while its number is new; null = none.',
        resolve: ({ settings }) => rampOf(settings),
      }),
      proxy: t.string({
        nullable: true,
        description: 'The HTTP proxy through which it speaks to WhatsApp, without credentials; null = none.',
        resolve: ({ settings }) => proxyOf(settings)?.shown ?? null,
      }),
      checkNumbers: t.boolean({
        nullable: true,
        description: 'WhatsApp is asked whether a recipient is there before the first message; null = as the installation says.',
        resolve: ({ settings }) => (typeof settings['checkNumbers'] === 'boolean' ? settings['checkNumbers'] : null),
      }),
      newChats: t.field({
        type: NewChats,
        description: 'May it write to people who do not know it?',
        resolve: (device, _args, context) => newChatsOf(device, context.now()),
      }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
      state: t.field({
        type: kit.DeviceState,
        description: 'What its owner last said; UNKNOWN when no owner has.',
        resolve: (device, _args, context) => ofLive(device, context, (live) => calledState(device, live).state),
      }),
      reason: t.string({
        nullable: true,
        description: 'Machine-readable why for the state.',
        resolve: (device, _args, context) => ofLive(device, context, (live) => calledState(device, live).reason),
      }),
      node: t.string({
        nullable: true,
        description: 'The node that owns it now.',
        resolve: (device, _args, context) => ofLive(device, context, (live) => live?.node ?? null),
      }),
      epoch: t.int({
        description: 'Fencing token: rises with each ownership.',
        resolve: (device, _args, context) =>
          ofLive(device, context, async (live) => live?.epoch ?? (await context.loaders.sendability(device.id))?.epoch ?? 0),
      }),
      sendability: t.field({
        type: 'Sendability',
        description: 'Why it is (not) sending.',
        complexity: 2,
        resolve: async (device, _args, context) => {
          const [row, live] = await Promise.all([context.loaders.sendability(device.id), ofLive(device, context, (one) => one)]);
          return sendabilityOf(device, row, live, context.now());
        },
      }),
    }),
  });
}
