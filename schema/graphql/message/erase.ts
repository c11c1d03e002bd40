import type { Erased } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import { attempt, type Refused } from '../problems.ts';
import { createChecks } from '../validate.ts';

type Answer = (Erased & Refused) | Refused;

export function addErase(kit: Kit): void {
  const { builder } = kit;
  const Input = builder.inputType('ErasePersonInput', {
    description: 'Who is to be forgotten.',
    fields: (t) => ({ phone: t.string({ required: true, description: 'the number in E.164' }) }),
  });
  const count = (answer: Answer, name: 'leads' | 'messages' | 'inbound'): number => ('whole' in answer ? answer[name] : 0);
  const Payload = builder.objectRef<Answer>('ErasePersonPayload').implement({
    description: 'Answer of erasePerson.',
    fields: (t) => ({
      leads: t.int({ description: 'Leads that are gone, with tags, attributes and consent.', resolve: (answer) => count(answer, 'leads') }),
      messages: t.int({
        description: 'Messages to the person that are kept without number and text.',
        resolve: (answer) => count(answer, 'messages'),
      }),
      inbound: t.int({ description: 'Messages from the person that are gone.', resolve: (answer) => count(answer, 'inbound') }),
      whole: t.boolean({
        description:
          'False: the ledger is large, and the rest of it is done within the hour. Nothing is sent to the person in either case.',
        resolve: (answer) => 'whole' in answer && answer.whole,
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('erasePerson', (t) =>
    t.field({
      type: Payload,
      description:
        'Erases everything about a person, by number and LID: lead, enrolments, messages from them, number and text of messages to them. Only a hash is kept, so that no device of the tenant ever messages them again. Cannot be taken back. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'who' }) },
      resolve: (_root, { input }, context): Promise<Answer> =>
        attempt(async () => {
          const checks = createChecks();
          const phone = checks.phone(['input', 'phone'], input.phone);
          checks.done();
          const erased = await context.messages.erase(context.viewer.tenantId, phone);
          // that it was done, not to whom
          await context.audit({ viewer: context.viewer, action: 'erasePerson', subject: null, detail: { ...erased } });
          return erased;
        }),
    }),
  );
}
