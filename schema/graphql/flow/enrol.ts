import type { FlowRow } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { createChecks } from '../validate.ts';

/** Leads come into a sequence, and leave it, because somebody says so. */

const BATCH_LIMIT = 1000;
type Answer = ({ readonly leads: number } & Refused) | Refused;
interface Input {
  readonly sequenceId: string | number;
  readonly leadIds: readonly (string | number)[];
}

async function read(context: GraphqlContext, input: Input): Promise<{ readonly flow: FlowRow; readonly leadIds: readonly string[] }> {
  const checks = createChecks();
  const id = checks.id('Sequence', ['input', 'sequenceId'], String(input.sequenceId));
  if (input.leadIds.length < 1 || input.leadIds.length > BATCH_LIMIT)
    checks.add(problem('INVALID_INPUT', ['input', 'leadIds'], `expected 1 to ${BATCH_LIMIT} leads, got ${input.leadIds.length}`));
  const leadIds = input.leadIds.map((lead) => checks.id('Lead', ['input', 'leadIds'], String(lead)));
  checks.done();
  const flow = await context.flows.byId(context.viewer.tenantId, 'SEQUENCE', id);
  if (flow === null) throw new Refusal([problem('SEQUENCE_NOT_FOUND', ['input', 'sequenceId'], 'no sequence with this id in this tenant')]);
  if (flow.state !== 'RUNNING' && flow.state !== 'PAUSED')
    throw new Refusal([problem('STATE_CONFLICT', ['input', 'sequenceId'], `expected it started: it is ${flow.state}`)]);
  return { flow, leadIds };
}

function payloadOf(kit: Kit, name: 'Enrol' | 'Unenrol', field: 'enrolled' | 'ended', description: string) {
  return kit.builder.objectRef<Answer>(`${name}Payload`).implement({
    description: `Answer of ${name.toLowerCase()}.`,
    fields: (t) => ({
      [field]: t.int({ description, resolve: (answer) => ('leads' in answer ? answer.leads : 0) }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
}

export function addEnrol(kit: Kit): void {
  const { builder } = kit;
  const EnrolInput = builder.inputType('EnrolInput', {
    description: 'Who goes through a sequence.',
    fields: (t) => ({
      sequenceId: t.id({ required: true, description: 'the sequence: it must have been started' }),
      leadIds: t.idList({ required: true, description: '1 to 1000 leads' }),
    }),
  });
  builder.mutationField('enrol', (t) =>
    t.field({
      type: payloadOf(
        kit,
        'Enrol',
        'enrolled',
        'How many begin now; the others are in it and may not come again, have asked not to be messaged, are at its goal, or are not of this tenant.',
      ),
      description: 'Leads begin a sequence. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: EnrolInput, required: true, description: 'who, and in what' }) },
      resolve: (_root, { input }, context): Promise<Answer> =>
        attempt(async () => {
          const { flow, leadIds } = await read(context, input);
          if (flow.supersededBy !== null) {
            const fault = `expected the version that takes leads now: Sequence:${flow.supersededBy}`;
            throw new Refusal([problem('STATE_CONFLICT', ['input', 'sequenceId'], fault)]);
          }
          const leads = await context.flows.enrol(context.viewer.tenantId, flow.id, leadIds);
          await context.audit({ viewer: context.viewer, action: 'enrol', subject: flow.id, detail: { enrolled: leads } });
          return { leads };
        }),
    }),
  );
  const UnenrolInput = builder.inputType('UnenrolInput', {
    description: 'Who leaves a sequence.',
    fields: (t) => ({
      sequenceId: t.id({ required: true, description: 'the sequence' }),
      leadIds: t.idList({ required: true, description: '1 to 1000 leads' }),
    }),
  });
  builder.mutationField('unenrol', (t) =>
    t.field({
      type: payloadOf(kit, 'Unenrol', 'ended', 'How many leave it now; the others were not in it, or through.'),
      description: 'Leads leave a sequence: nothing more of it goes to them, a planned message is taken back. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: UnenrolInput, required: true, description: 'who, and what' }) },
      resolve: (_root, { input }, context): Promise<Answer> =>
        attempt(async () => {
          const { flow, leadIds } = await read(context, input);
          const leads = await context.flows.unenrol(context.viewer.tenantId, flow.id, leadIds);
          await context.audit({ viewer: context.viewer, action: 'unenrol', subject: flow.id, detail: { ended: leads } });
          return { leads };
        }),
    }),
  );
}
