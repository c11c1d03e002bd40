import { RAMP_STEPS } from '../../domain/index.ts';
import type { Kit } from '../builder.ts';
import { problem, Refusal } from '../problems.ts';
import { type DevicePayloadRef, onDevice } from './mutations.ts';
import { patchOf } from './patch.ts';

/** `updateDevice`, `unlinkDevice`, `deleteDevice`. */
export function addDeviceChanges(kit: Kit, DevicePayload: DevicePayloadRef): void {
  const { builder } = kit;
  const Quiet = builder.inputType('QuietHoursInput', {
    description: 'Hours of a day.',
    fields: (t) => ({
      zone: t.string({ required: true, description: 'IANA time zone, such as Europe/Berlin' }),
      from: t.string({ required: true, description: 'such as 21:00' }),
      to: t.string({ required: true, description: 'such as 08:00; not after `from` = on the next day' }),
    }),
  });
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
      paceProfile: t.field({ type: kit.PaceProfile, required: false, description: 'instead of paceMinMs and paceMaxMs' }),
      quietHours: t.field({ type: Quiet, required: false, description: 'nothing is sent in these hours; it waits' }),
      noQuietHours: t.boolean({ required: false, description: 'true takes them away' }),
      ramp: t.intList({
        required: false,
        description: `most sends a day while the number is new: the first today (UTC), then one a day, at most ${RAMP_STEPS}; afterwards dailyCap alone`,
      }),
      noRamp: t.boolean({ required: false, description: 'true takes it away' }),
      proxy: t.string({
        required: false,
        description:
          'HTTP proxy (CONNECT) of a WhatsApp device: http://user:password@host:3128, or https; not in a private network (WHATSAPP_PROXY_PRIVATE_HOSTS names exceptions). All that the device says to WhatsApp goes through it, or not at all',
      }),
      noProxy: t.boolean({ required: false, description: 'true takes it away' }),
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
      description: 'Changes name, pace, cap, quiet hours, ramp or proxy of a device; its owner follows within a second. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: UpdateInput, required: true, description: 'which, and what' }) },
      resolve: (_root, { input }, context) =>
        onDevice(
          context,
          input.deviceId,
          'updateDevice',
          async (id) => {
            const changed = await context.devices.update(context.viewer.tenantId, id, patchOf(input, context.now()));
            if (changed === 'NAME_TAKEN') {
              throw new Refusal([problem('NAME_TAKEN', ['input', 'name'], 'expected a name that no other device of this tenant has')]);
            }
            if (changed === 'PACE_INVALID') {
              throw new Refusal([problem('INVALID_INPUT', ['input', 'paceMaxMs'], 'expected paceMaxMs to be at least paceMinMs')]);
            }
            if (changed === 'ZONE_UNKNOWN') {
              const text = 'expected a time zone that the ledger knows, such as Europe/Berlin';
              throw new Refusal([problem('INVALID_INPUT', ['input', 'quietHours', 'zone'], text)]);
            }
            if (changed !== null && 'proxyFault' in changed) {
              const text = `expected the address of an HTTP proxy, such as http://user:password@proxy.example:3128: ${changed.proxyFault}`;
              throw new Refusal([problem('URL_INVALID', ['input', 'proxy'], text)]);
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
