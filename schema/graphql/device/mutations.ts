import type { DeviceRow } from '../../sql/types.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { nodeName, nodeProblem } from '../node/index.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { checkPace, createChecks } from '../validate.ts';
import { addDeviceChanges } from './changes.ts';

type DeviceAnswer = ({ readonly device: DeviceRow; readonly linkToken?: string | null } & Refused) | Refused;

/** Same answer for an unknown device and for someone else's. */
export function deviceNotFound(path: readonly string[]): Refusal {
  return new Refusal([problem('DEVICE_NOT_FOUND', path, 'no device with this id in this tenant')]);
}

/** A command on one device: checks the id, runs it, tells the audit. */
export function onDevice(
  context: GraphqlContext,
  deviceId: string,
  action: string,
  run: (id: string) => Promise<DeviceRow | null>,
  detail: Readonly<Record<string, unknown>> = {},
): Promise<DeviceAnswer> {
  return attempt(async () => {
    const checks = createChecks();
    const id = checks.id('Device', ['input', 'deviceId'], deviceId);
    checks.done();
    const device = await run(id);
    if (device === null) throw deviceNotFound(['input', 'deviceId']);
    await context.audit({ viewer: context.viewer, action, subject: id, detail });
    return { device };
  });
}

export type DevicePayloadRef = ReturnType<typeof payloads>['DevicePayload'];

function payloads(kit: Kit) {
  const { builder } = kit;
  const DevicePayload = builder.objectRef<DeviceAnswer>('DevicePayload').implement({
    description: 'Answer of a command on a device.',
    fields: (t) => ({
      device: t.field({
        type: 'Device',
        nullable: true,
        description: 'The device after the change.',
        resolve: (answer) => ('device' in answer ? answer.device : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  const CreateDevicePayload = builder.objectRef<DeviceAnswer>('CreateDevicePayload').implement({
    description: 'Answer of createDevice.',
    fields: (t) => ({
      device: t.field({
        type: 'Device',
        nullable: true,
        description: 'The new device.',
        resolve: (answer) => ('device' in answer ? answer.device : null),
      }),
      linkToken: t.string({
        nullable: true,
        description: 'What a LINK device says hello with. Shown this once, never again.',
        resolve: (answer) => ('linkToken' in answer ? (answer.linkToken ?? null) : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  return { DevicePayload, CreateDevicePayload };
}

function addCreate(kit: Kit, payload: ReturnType<typeof payloads>['CreateDevicePayload']): void {
  const { builder } = kit;
  const input = builder.inputType('CreateDeviceInput', {
    description: 'A new device.',
    fields: (t) => ({
      name: t.string({ required: true, description: '1 to 80 characters, unique in the tenant' }),
      transport: t.field({ type: kit.Transport, required: true, description: 'how it reaches the network' }),
      phone: t.string({ required: false, description: 'its own number in E.164, when known' }),
      paceMinMs: t.int({ required: true, defaultValue: 5000, description: 'shortest wait between two sends, ms' }),
      paceMaxMs: t.int({ required: true, defaultValue: 15000, description: 'longest wait between two sends, ms' }),
      dailyCap: t.int({ required: false, description: 'most sends a day (UTC); none when not given' }),
    }),
  });
  builder.mutationField('createDevice', (t) =>
    t.field({
      type: payload,
      description: 'Creates a device. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: input, required: true, description: 'the device' }) },
      resolve: (_root, args, context): Promise<DeviceAnswer> =>
        attempt(async () => {
          const given = args.input;
          const checks = createChecks();
          const name = checks.name(['input', 'name'], given.name);
          const phone = given.phone ?? null;
          if (phone !== null) checks.phone(['input', 'phone'], phone);
          checkPace(checks, given.paceMinMs, given.paceMaxMs);
          const dailyCap = given.dailyCap ?? null;
          if (dailyCap !== null) checks.whole(['input', 'dailyCap'], dailyCap, 1, 1_000_000);
          checks.done();
          const { transport, paceMinMs, paceMaxMs } = given;
          const made = await context.devices.create(context.viewer.tenantId, { name, transport, phone, paceMinMs, paceMaxMs, dailyCap });
          if (made === 'NAME_TAKEN') {
            throw new Refusal([problem('NAME_TAKEN', ['input', 'name'], 'expected a name that no other device of this tenant has')]);
          }
          await context.audit({ viewer: context.viewer, action: 'createDevice', subject: made.device.id, detail: { transport } });
          return made;
        }),
    }),
  );
}

export function addDeviceMutations(kit: Kit): void {
  const { builder } = kit;
  const { DevicePayload, CreateDevicePayload } = payloads(kit);
  addCreate(kit, CreateDevicePayload);
  addDeviceChanges(kit, DevicePayload);
  const PauseInput = builder.inputType('PauseDeviceInput', {
    description: 'Which device to pause.',
    fields: (t) => ({
      deviceId: t.id({ required: true, description: 'the device' }),
      reason: t.string({ required: false, description: 'why, for the people who see it; at most 200 characters' }),
    }),
  });
  const one = (name: string, does: string) =>
    builder.inputType(name, {
      description: `Which device to ${does}.`,
      fields: (t) => ({ deviceId: t.id({ required: true, description: 'the device' }) }),
    });
  const ResumeInput = one('ResumeDeviceInput', 'resume');
  const ReleaseInput = one('ReleaseDeviceInput', 'release');
  const MoveInput = builder.inputType('MoveDeviceInput', {
    description: 'Which device to move, and where.',
    fields: (t) => ({
      deviceId: t.id({ required: true, description: 'the device' }),
      nodeId: t.id({ required: false, description: 'name of the node that is to have it; left out: wherever there is room again' }),
    }),
  });
  builder.mutationFields((t) => ({
    moveDevice: t.field({
      type: DevicePayload,
      description:
        'The device goes to that node within seconds, and stays there for as long as the node lives. Errors NODE_NOT_FOUND, NODE_DRAINING, NODE_FULL. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: MoveInput, required: true, description: 'which, and where' }) },
      resolve: (_root, { input }, context) =>
        onDevice(context, input.deviceId, 'moveDevice', async (id) => {
          const to = input.nodeId === null || input.nodeId === undefined ? null : nodeName(String(input.nodeId));
          const moved = await context.devices.move(context.viewer.tenantId, id, to);
          if (typeof moved === 'string') throw new Refusal([nodeProblem(moved)]);
          return moved;
        }),
    }),
    pauseDevice: t.field({
      type: DevicePayload,
      description: 'The device holds its messages from now on; it goes on accepting them. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: PauseInput, required: true, description: 'which' }) },
      resolve: (_root, { input }, context) =>
        onDevice(context, input.deviceId, 'pauseDevice', (id) => {
          const checks = createChecks();
          const reason = checks.text(['input', 'reason'], input.reason ?? '', 200);
          checks.done();
          return context.devices.setPaused(context.viewer.tenantId, id, true, reason === '' ? 'MANUAL' : reason);
        }),
    }),
    resumeDevice: t.field({
      type: DevicePayload,
      description: 'The device sends again. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: ResumeInput, required: true, description: 'which' }) },
      resolve: (_root, { input }, context) =>
        onDevice(context, input.deviceId, 'resumeDevice', (id) => context.devices.setPaused(context.viewer.tenantId, id, false, null)),
    }),
    releaseDevice: t.field({
      type: DevicePayload,
      description: 'Lets a device out of quarantine. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: ReleaseInput, required: true, description: 'which' }) },
      resolve: (_root, { input }, context) =>
        onDevice(context, input.deviceId, 'releaseDevice', (id) => context.devices.release(context.viewer.tenantId, id)),
    }),
  }));
}
