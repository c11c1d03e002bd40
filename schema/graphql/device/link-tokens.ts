import type { DeviceRow } from '../../sql/types.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { createChecks } from '../validate.ts';
import { deviceNotFound } from './mutations.ts';

type TokenAnswer = ({ readonly device: DeviceRow; readonly linkToken: string | null } & Refused) | Refused;

function setToken(context: GraphqlContext, deviceId: string, action: string, wanted: boolean): Promise<TokenAnswer> {
  return attempt(async () => {
    const checks = createChecks();
    const id = checks.id('Device', ['input', 'deviceId'], deviceId);
    checks.done();
    const made = await context.devices.setLinkToken(context.viewer.tenantId, id, wanted);
    if (made === null) throw deviceNotFound(['input', 'deviceId']);
    if (made === 'NOT_A_LINK') {
      throw new Refusal([problem('NOT_A_LINK_DEVICE', ['input', 'deviceId'], 'expected a device whose transport is LINK')]);
    }
    await context.audit({ viewer: context.viewer, action, subject: id });
    return made;
  });
}

/** rotateLinkToken and revokeLinkToken: what a LINK device says hello with. */
export function addLinkTokenMutations({ builder }: Kit): void {
  const payload = builder.objectRef<TokenAnswer>('LinkTokenPayload').implement({
    description: 'Answer of a command on the token of a LINK device.',
    fields: (t) => ({
      device: t.field({
        type: 'Device',
        nullable: true,
        description: 'The device.',
        resolve: (answer) => ('device' in answer ? answer.device : null),
      }),
      linkToken: t.string({
        nullable: true,
        description: 'The new token. Shown this once, never again; null when there is none now.',
        resolve: (answer) => ('linkToken' in answer ? answer.linkToken : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  const input = (name: string, does: string) =>
    builder.inputType(name, {
      description: `Whose link token to ${does}.`,
      fields: (t) => ({ deviceId: t.id({ required: true, description: 'the device' }) }),
    });
  const RotateInput = input('RotateLinkTokenInput', 'replace');
  const RevokeInput = input('RevokeLinkTokenInput', 'take away');
  builder.mutationFields((t) => ({
    rotateLinkToken: t.field({
      type: payload,
      description:
        'A new token for a LINK device. The old one stops working at once, and a socket that used it is closed with 4403. Also gives a token to a device that has none. Error NOT_A_LINK_DEVICE. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: RotateInput, required: true, description: 'whose' }) },
      resolve: (_root, args, context) => setToken(context, args.input.deviceId, 'rotateLinkToken', true),
    }),
    revokeLinkToken: t.field({
      type: payload,
      description:
        'Takes the token of a LINK device away: its socket is closed with 4403 and it cannot come back before rotateLinkToken. Its messages wait. Error NOT_A_LINK_DEVICE. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: RevokeInput, required: true, description: 'whose' }) },
      resolve: (_root, args, context) => setToken(context, args.input.deviceId, 'revokeLinkToken', false),
    }),
  }));
}
