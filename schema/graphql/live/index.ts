import { GraphQLError } from 'graphql';
import { CONNECTED_STATES } from '../../domain/index.ts';
import type { Kit } from '../builder.ts';
import { encodeId } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { argumentError, argumentId } from '../validate.ts';
import type { DeviceLiveUpdate, FleetUpdate, LivePosition, LiveTotals, MessageEventUpdate } from './port.ts';
import { liveSource } from './source.ts';

const EPOCH_LIMIT = 64;

function positionOf(given: { readonly epoch: string; readonly seq: number } | null | undefined): LivePosition | null {
  if (given === null || given === undefined) return null;
  if (given.epoch.length > EPOCH_LIMIT || !Number.isSafeInteger(given.seq) || given.seq < 0) {
    throw argumentError('INVALID_INPUT', 'since', 'expected an epoch and a seq as an earlier update gave them');
  }
  return { epoch: given.epoch, seq: given.seq };
}

/** The device, or the answer for an unknown one: someone else's device gets the same. */
async function knownDevice(context: GraphqlContext, text: string, name: string): Promise<string> {
  const id = argumentId('Device', name, text);
  if ((await context.loaders.device(id)) === null) {
    throw new GraphQLError('there is no such device', { extensions: { code: 'DEVICE_NOT_FOUND', path: [name] } });
  }
  return id;
}
async function knownMessage(context: GraphqlContext, text: string, name: string): Promise<string> {
  const id = argumentId('Message', name, text);
  if ((await context.loaders.message(id)) === null) {
    throw new GraphQLError('there is no such message', { extensions: { code: 'MESSAGE_NOT_FOUND', path: [name] } });
  }
  return id;
}

function addTypes(kit: Kit) {
  const { builder } = kit;
  const Position = builder.inputType('LivePosition', {
    description: 'Where a reader stands in a live stream: `epoch` and `seq` of the last update it has.',
    fields: (t) => ({
      epoch: t.string({ required: true, description: 'epoch of that update' }),
      seq: t.float({ required: true, description: 'seq of that update' }),
    }),
  });
  const Totals = builder.objectRef<LiveTotals>('FleetTotals');
  builder.objectType(Totals, {
    description: 'All devices of the tenant in figures, as of the update.',
    fields: (t) => ({
      devices: t.exposeInt('devices', { description: 'All devices.' }),
      connected: t.int({
        description: 'ONLINE, SENDING or THROTTLED.',
        resolve: (totals) => totals.states.reduce((sum, entry) => sum + (CONNECTED_STATES.has(entry.state) ? entry.count : 0), 0),
      }),
      states: t.field({
        type: ['StateCount'],
        description: 'Devices by state; states without devices are left out.',
        resolve: (totals) => [...totals.states],
      }),
      backlog: t.exposeInt('backlog', { description: 'Messages accepted and not yet ended.' }),
      sentPerMinute: t.exposeFloat('sentPerMinute', { description: 'Messages the provider took, over the last full minute.' }),
      failedPerMinute: t.exposeFloat('failedPerMinute', { description: 'Messages that failed or died, over the last full minute.' }),
    }),
  });
  return { Position, Totals };
}

/** The columns are made once per execution, not once per field. */
function nodesOf(update: FleetUpdate): string[] {
  return [...new Set(update.records.flatMap((record) => (record.node === null ? [] : [record.node])))].sort();
}

function addFleetUpdate(kit: Kit, Totals: ReturnType<typeof addTypes>['Totals']) {
  const { builder } = kit;
  const Columns = builder.interfaceRef<FleetUpdate>('FleetColumns').implement({
    description: 'Devices in columns of equal length: the i-th is ids[i], names[i], states[i], reasons[i] on nodes[nodeIndex[i]].',
    fields: (t) => ({
      epoch: t.exposeString('epoch', { description: 'Life of the stream. Another epoch means: start over with a snapshot.' }),
      seq: t.exposeFloat('seq', { description: 'Position after this update; give it as `since` to resume.' }),
      asOf: t.expose('asOf', { type: 'DateTime', description: 'When it was put together.' }),
      simulated: t.exposeBoolean('simulated', { description: 'Some of the devices are simulated.' }),
      nodes: t.stringList({ description: 'The nodes named by nodeIndex.', resolve: nodesOf }),
      ids: t.idList({ description: 'Devices.', resolve: (update) => update.records.map((record) => encodeId('Device', record.id)) }),
      names: t.stringList({ description: 'Their names.', resolve: (update) => update.records.map((record) => record.name) }),
      states: t.field({
        type: [kit.DeviceState],
        description: 'Their states; UNKNOWN when the node is silent.',
        resolve: (update) => update.records.map((record) => record.state),
      }),
      nodeIndex: t.intList({
        description: 'Their nodes, as places in `nodes`; -1 for none.',
        resolve: (update) => {
          const places = new Map(nodesOf(update).map((node, place) => [node, place]));
          return update.records.map((record) => (record.node === null ? -1 : (places.get(record.node) ?? -1)));
        },
      }),
      reasons: t.field({
        type: ['String'],
        nullable: { list: false, items: true },
        description: 'Machine-readable why, or null.',
        resolve: (update) => update.records.map((record) => record.reason),
      }),
      totals: t.field({ type: Totals, description: 'The whole fleet in figures.', resolve: (update) => update.totals }),
    }),
  });
  const Snapshot = builder.objectRef<FleetUpdate>('FleetSnapshot').implement({
    description: 'Every device: replaces all that was known.',
    interfaces: [Columns],
    isTypeOf: (value) => (value as FleetUpdate).kind === 'snapshot',
  });
  const Delta = builder.objectRef<FleetUpdate>('FleetDelta').implement({
    description:
      'Devices that changed in (from, seq]. Apply it when `from` is at or below your seq; with from = seq only figures and silent nodes changed.',
    interfaces: [Columns],
    isTypeOf: (value) => (value as FleetUpdate).kind === 'delta',
    fields: (t) => ({
      from: t.exposeFloat('from', { description: 'Position before this update.' }),
      removed: t.idList({ description: 'Devices that are gone.', resolve: (update) => update.removed.map((id) => encodeId('Device', id)) }),
    }),
  });
  return builder.unionType('FleetUpdate', {
    description: 'First a snapshot (or, when resuming, what was missed), then deltas.',
    types: [Snapshot, Delta],
    resolveType: (update) => (update.kind === 'snapshot' ? 'FleetSnapshot' : 'FleetDelta'),
  });
}

function addDeviceLive(kit: Kit) {
  return kit.builder.objectRef<DeviceLiveUpdate>('DeviceLive').implement({
    description: 'What the owner of a device last said.',
    fields: (t) => ({
      epoch: t.exposeString('epoch', { description: 'Life of the stream.' }),
      seq: t.exposeFloat('seq', { description: 'Position after this update.' }),
      asOf: t.expose('asOf', { type: 'DateTime', description: 'When it was put together.' }),
      id: t.id({ description: 'The device.', resolve: (update) => encodeId('Device', update.id) }),
      state: t.field({
        type: kit.DeviceState,
        description: 'UNKNOWN when no owner has spoken or its node is silent.',
        resolve: (update) => update.record?.state ?? 'UNKNOWN',
      }),
      reason: t.string({
        nullable: true,
        description: 'Machine-readable why.',
        resolve: (update) => (update.record === null ? 'NO_OWNER' : update.record.reason),
      }),
      node: t.string({ nullable: true, description: 'The node that owns it.', resolve: (update) => update.record?.node ?? null }),
      deviceEpoch: t.int({ description: 'Fencing token of the owner.', resolve: (update) => update.record?.epoch ?? 0 }),
      device: t.field({
        type: 'Device',
        nullable: true,
        description: 'The device itself.',
        resolve: (update, _args, context) => context.loaders.device(update.id),
      }),
    }),
  });
}

function addMessageEvent(kit: Kit) {
  return kit.builder.objectRef<MessageEventUpdate>('MessageEvent').implement({
    description: 'A message has moved on. Each (message, state) comes once, rising; after a reconnect drop what you have.',
    fields: (t) => ({
      epoch: t.exposeString('epoch', { description: 'Life of the stream.' }),
      seq: t.exposeFloat('seq', { description: 'Position to resume from, having this event.' }),
      message: t.field({
        type: 'Message',
        description: 'The message, as the ledger has it now.',
        resolve: async (update, _args, context) => {
          const message = await context.loaders.message(update.event.messageId);
          if (message === null) throw new GraphQLError('the message is no longer kept', { extensions: { code: 'MESSAGE_NOT_FOUND' } });
          return message;
        },
      }),
      messageId: t.id({ description: 'Its id.', resolve: (update) => encodeId('Message', update.event.messageId) }),
      state: t.field({ type: kit.MessageState, description: 'The state it moved to.', resolve: (update) => update.event.state }),
      cause: t.string({ nullable: true, description: 'Machine-readable why.', resolve: (update) => update.event.cause }),
      attempts: t.int({ description: 'Attempts so far.', resolve: (update) => update.event.attempts }),
      at: t.field({ type: 'DateTime', description: 'When.', resolve: (update) => update.event.at }),
    }),
  });
}

/** Subscription fields and live types; defines the subscription root itself. */
export function addLive(kit: Kit): void {
  const { builder } = kit;
  const { Position, Totals } = addTypes(kit);
  const Fleet = addFleetUpdate(kit, Totals);
  const Device = addDeviceLive(kit);
  const Event = addMessageEvent(kit);
  builder.subscriptionType({ description: 'Live state and events, by graphql-transport-ws or SSE.' });
  builder.subscriptionField('fleet', (t) =>
    t.field({
      type: Fleet,
      description: 'All devices of the tenant, live.',
      authScopes: { scope: 'screen' },
      complexity: 10,
      args: { since: t.arg({ type: Position, required: false, description: 'resume after this position' }) },
      subscribe: (_root, args, context) => liveSource(context.live.fleet(context.viewer.tenantId), positionOf(args.since)),
      resolve: (update) => update as FleetUpdate,
    }),
  );
  builder.subscriptionField('device', (t) =>
    t.field({
      type: Device,
      description: 'One device, live.',
      authScopes: { scope: 'viewer' },
      complexity: 2,
      args: { id: t.arg.id({ required: true, description: '`Device:uuid`, or the bare uuid' }) },
      subscribe: async (_root, args, context) =>
        liveSource(context.live.deviceLive(context.viewer.tenantId, await knownDevice(context, args.id, 'id')), null),
      resolve: (update) => update as DeviceLiveUpdate,
    }),
  );
  builder.subscriptionField('messageEvents', (t) =>
    t.field({
      type: Event,
      description: 'Messages of the tenant moving on; RESYNC_REQUIRED ends it when events were missed that are no longer kept.',
      authScopes: { scope: 'viewer' },
      complexity: 5,
      args: {
        deviceId: t.arg.id({ required: false, description: 'only messages of this device' }),
        messageId: t.arg.id({ required: false, description: 'only this message' }),
        since: t.arg({ type: Position, required: false, description: 'resume after this position' }),
      },
      subscribe: async (_root, args, context) => {
        const [deviceId, messageId] = await Promise.all([
          args.deviceId === null || args.deviceId === undefined ? null : knownDevice(context, args.deviceId, 'deviceId'),
          args.messageId === null || args.messageId === undefined ? null : knownMessage(context, args.messageId, 'messageId'),
        ]);
        return liveSource(context.live.messageEvents(context.viewer.tenantId, { deviceId, messageId }), positionOf(args.since));
      },
      resolve: (update) => update as MessageEventUpdate,
    }),
  );
}
