import type { LedgerMessage } from '../../sql/types.ts';
import type { Kit } from '../builder.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { createChecks } from '../validate.ts';

type CancelAnswer = ({ readonly message: LedgerMessage } & Refused) | Refused;

export function addCancelMessage(kit: Kit): void {
  const { builder } = kit;
  const Input = builder.inputType('CancelMessageInput', {
    description: 'Which message to cancel.',
    fields: (t) => ({ messageId: t.id({ required: true, description: 'the message' }) }),
  });
  const Payload = builder.objectRef<CancelAnswer>('CancelMessagePayload').implement({
    description: 'Answer of cancelMessage.',
    fields: (t) => ({
      message: t.field({
        type: 'Message',
        nullable: true,
        description: 'The message after the change.',
        resolve: (answer) => ('message' in answer ? answer.message : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was cancelled.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('cancelMessage', (t) =>
    t.field({
      type: Payload,
      description: 'Cancels a message that has not been tried yet. Scope SENDER.',
      authScopes: { scope: 'sender' },
      args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<CancelAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const id = checks.id('Message', ['input', 'messageId'], input.messageId);
          checks.done();
          const outcome = await context.messages.cancel(context.viewer.tenantId, id);
          if (outcome === null) {
            throw new Refusal([problem('MESSAGE_NOT_FOUND', ['input', 'messageId'], 'no message with this id in this tenant')]);
          }
          if (outcome.kind === 'not-cancellable') {
            const message = `expected a message that is still QUEUED: it is ${outcome.message.state}`;
            throw new Refusal([problem('NOT_CANCELLABLE', ['input', 'messageId'], message)]);
          }
          await context.audit({ viewer: context.viewer, action: 'cancelMessage', subject: id });
          return { message: outcome.message };
        }),
    }),
  );
}
