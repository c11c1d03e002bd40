import type { Kit } from '../builder.ts';
import { attempt, type Refused } from '../problems.ts';
import { createChecks } from '../validate.ts';

type UnsuppressAnswer = ({ readonly removed: boolean } & Refused) | Refused;
type SuppressAnswer = ({ readonly added: boolean } & Refused) | Refused;

export function addSuppress(kit: Kit): void {
  const { builder } = kit;
  const Input = builder.inputType('SuppressInput', {
    description: 'Who is not to be messaged any more.',
    fields: (t) => ({
      phone: t.string({ required: true, description: 'the number in E.164' }),
      reason: t.string({ required: false, description: 'why; at most 200 characters' }),
    }),
  });
  const Payload = builder.objectRef<SuppressAnswer>('SuppressPayload').implement({
    description: 'Answer of suppress.',
    fields: (t) => ({
      added: t.boolean({
        description: 'False when the number was suppressed already.',
        resolve: (answer) => 'added' in answer && answer.added,
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it holds.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('suppress', (t) =>
    t.field({
      type: Payload,
      description: 'No device of the tenant messages this number from now on, queued messages included. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'who' }) },
      resolve: (_root, { input }, context): Promise<SuppressAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const phone = checks.phone(['input', 'phone'], input.phone);
          const reason = checks.text(['input', 'reason'], input.reason ?? '', 200);
          checks.done();
          const outcome = await context.messages.suppress(context.viewer.tenantId, phone, reason === '' ? 'MANUAL' : reason);
          // the number itself stays out of the audit trail
          await context.audit({ viewer: context.viewer, action: 'suppress', subject: null });
          return { added: outcome.added };
        }),
    }),
  );
  addUnsuppress(kit);
}

function addUnsuppress(kit: Kit): void {
  const { builder } = kit;
  const Input = builder.inputType('UnsuppressInput', {
    description: 'Who may be messaged again.',
    fields: (t) => ({ phone: t.string({ required: true, description: 'the number in E.164' }) }),
  });
  const Payload = builder.objectRef<UnsuppressAnswer>('UnsuppressPayload').implement({
    description: 'Answer of unsuppress.',
    fields: (t) => ({
      removed: t.boolean({
        description: 'False when the number was not suppressed.',
        resolve: (answer) => 'removed' in answer && answer.removed,
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it holds.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('unsuppress', (t) =>
    t.field({
      type: Payload,
      description: 'Takes a suppression back, because the person has said so. Messages that were suppressed stay so. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'who' }) },
      resolve: (_root, { input }, context): Promise<UnsuppressAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const phone = checks.phone(['input', 'phone'], input.phone);
          checks.done();
          const removed = (await context.messages.unsuppress(context.viewer.tenantId, phone)) > 0;
          await context.audit({ viewer: context.viewer, action: 'unsuppress', subject: null, detail: { removed } });
          return { removed };
        }),
    }),
  );
}
