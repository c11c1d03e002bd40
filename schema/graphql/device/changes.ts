import type { Kit } from '../builder.ts';
import type { DevicePatch } from '../context.ts';
import { problem, Refusal } from '../problems.ts';
import { createChecks, PACE_LIMIT_MS } from '../validate.ts';
import { type DevicePayloadRef, onDevice } from './mutations.ts';

interface UpdateInput {
  readonly name?: string | null | undefined;
  readonly paceMinMs?: number | null | undefined;
  readonly paceMaxMs?: number | null | undefined;
  readonly dailyCap?: number | null | undefined;
  readonly noDailyCap?: boolean | null | undefined;
  readonly checkNumbers?: boolean | null | undefined;
}

/** What is to be changed, checked. Whether both ends of the pace fit together is for the ledger to say: one of them may stay as it is. */
function patchOf(input: UpdateInput): DevicePatch {
  const checks = createChecks();
  const { name, paceMinMs, paceMaxMs, dailyCap, noDailyCap, checkNumbers } = input;
  const patch: { -readonly [K in keyof DevicePatch]: DevicePatch[K] } = {};
  if (name !== null && name !== undefined) patch.name = checks.name(['input', 'name'], name);
  if (paceMinMs !== null && paceMinMs !== undefined) patch.paceMinMs = checks.whole(['input', 'paceMinMs'], paceMinMs, 0, PACE_LIMIT_MS);
  if (paceMaxMs !== null && paceMaxMs !== undefined) patch.paceMaxMs = checks.whole(['input', 'paceMaxMs'], paceMaxMs, 0, PACE_LIMIT_MS);
  if (dailyCap !== null && dailyCap !== undefined) patch.dailyCap = checks.whole(['input', 'dailyCap'], dailyCap, 1, 1_000_000);
  if (noDailyCap === true) {
    if (patch.dailyCap !== undefined) checks.add(problem('INVALID_INPUT', ['input', 'noDailyCap'], 'expected a cap or none, not both'));
    patch.dailyCap = null;
  }
  if (checkNumbers !== null && checkNumbers !== undefined) patch.settings = { checkNumbers };
  if (Object.keys(patch).length === 0) checks.add(problem('INVALID_INPUT', ['input'], 'expected at least one thing to change'));
  checks.done();
  return patch;
}

/** `updateDevice`, `unlinkDevice`, `deleteDevice`. */
export function addDeviceChanges(kit: Kit, DevicePayload: DevicePayloadRef): void {
  const { builder } = kit;
  const UpdateInput = builder.inputType('UpdateDeviceInput', {
    description: 'What to change of a device; what is left out stays as it is.',
    fields: (t) => ({
      deviceId: t.id({ required: true, description: 'the device' }),
      name: t.string({ required: false, description: '1 to 80 characters, unique in the tenant' }),
      paceMinMs: t.int({ required: false, description: 'shortest wait between two sends, ms' }),
      paceMaxMs: t.int({ required: false, description: 'longest wait between two sends, ms' }),
      dailyCap: t.int({ required: false, description: 'most sends a day (UTC)' }),
      noDailyCap: t.boolean({ required: false, description: 'true takes the cap away' }),
      checkNumbers: t.boolean({
        required: false,
        description: 'WhatsApp is asked whether a recipient is there before the first message; who is not ends FAILED (NOT_ON_WHATSAPP)',
      }),
    }),
  });
  const one = (name: string, does: string) =>
    builder.inputType(name, {
      description: `Which device to ${does}.`,
      fields: (t) => ({ deviceId: t.id({ required: true, description: 'the device' }) }),
    });
  const UnlinkInput = one('UnlinkDeviceInput', 'unlink');
  const DeleteInput = one('DeleteDeviceInput', 'delete');
  builder.mutationFields((t) => ({
    updateDevice: t.field({
      type: DevicePayload,
      description: 'Changes name, pace or cap of a device; its owner follows within a second. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: UpdateInput, required: true, description: 'which, and what' }) },
      resolve: (_root, { input }, context) =>
        onDevice(
          context,
          input.deviceId,
          'updateDevice',
          async (id) => {
            const changed = await context.devices.update(context.viewer.tenantId, id, patchOf(input));
            if (changed === 'NAME_TAKEN') {
              throw new Refusal([problem('NAME_TAKEN', ['input', 'name'], 'expected a name that no other device of this tenant has')]);
            }
            if (changed === 'PACE_INVALID') {
              throw new Refusal([problem('INVALID_INPUT', ['input', 'paceMaxMs'], 'expected paceMaxMs to be at least paceMinMs')]);
            }
            return changed;
          },
          { changed: Object.keys(input).filter((name) => name !== 'deviceId') },
        ),
    }),
    unlinkDevice: t.field({
      type: DevicePayload,
      description:
        'Takes the session of a WhatsApp device, or the token of a LINK device, away for good; it accepts messages and holds them until it is paired again. On the phone, take it off the list of linked devices too. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: UnlinkInput, required: true, description: 'which' }) },
      resolve: (_root, { input }, context) =>
        onDevice(context, input.deviceId, 'unlinkDevice', (id) => context.deviceEnds.unlink(context.viewer.tenantId, id)),
    }),
    deleteDevice: t.field({
      type: DevicePayload,
      description:
        'Ends a device: its name is free again, what waits in its queue is CANCELLED (cause DEVICE_DELETED), its history stays readable by message. Answers the device as it was. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: DeleteInput, required: true, description: 'which' }) },
      resolve: (_root, { input }, context) =>
        onDevice(context, input.deviceId, 'deleteDevice', (id) => context.deviceEnds.remove(context.viewer.tenantId, id)),
    }),
  }));
}
