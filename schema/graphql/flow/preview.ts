import type { FlowPreview, FlowRow } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { type SendAnswer, sendMessage } from '../message/send.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { createChecks } from '../validate.ts';

const SAMPLES_LIMIT = 50;
/** leads that a preview looks at: it is a look, not a count */
const LOOKED = 10_000;

type Lead = FlowPreview['samples'][number];
type Sample = Lead & { readonly text: string | null; readonly variantName: string | null };
type PreviewAnswer = (Omit<FlowPreview, 'samples'> & { readonly samples: readonly Sample[] } & Refused) | Refused;

async function campaignOf(context: GraphqlContext, id: string): Promise<FlowRow> {
  const flow = await context.flows.byId(context.viewer.tenantId, 'CAMPAIGN', id);
  if (flow === null) throw new Refusal([problem('CAMPAIGN_NOT_FOUND', ['input', 'id'], 'no campaign with this id in this tenant')]);
  return flow;
}

/** The text of a variant (its place, from 1), or the one that all get. */
function textFor(flow: FlowRow, variant: number | null): { readonly name: string | null; readonly template: string } {
  const one = variant === null ? undefined : flow.variants[variant - 1];
  return one ?? { name: null, template: flow.steps[0]?.template ?? '' };
}

/** The place of the variant that is asked for by name; null: none is. */
function placeOf(flow: FlowRow, name: string | null | undefined): number | null {
  if (name === null || name === undefined) return null;
  const index = flow.variants.findIndex((variant) => variant.name === name);
  if (index >= 0) return index + 1;
  const known = flow.variants.map((variant) => `"${variant.name}"`).join(' or ');
  const expected = known === '' ? 'expected none: this campaign has one text for all' : `expected ${known}`;
  throw new Refusal([problem('INVALID_INPUT', ['input', 'variant'], expected)]);
}

/** What a campaign would do, before it does it. */
export function addPreview(kit: Kit): void {
  addPreviewCampaign(kit);
  addTestCampaign(kit);
}

function addPreviewCampaign(kit: Kit): void {
  const { builder } = kit;
  const SampleType = builder.objectRef<Sample>('CampaignSample').implement({
    description: 'What one lead would get.',
    fields: (t) => ({
      leadId: t.id({ description: 'Who, of the form `Lead:uuid`.', resolve: (sample) => `Lead:${sample.id}` }),
      phone: t.exposeString('phone', { nullable: true, description: 'The number; null: the lead has none, and gets nothing.' }),
      deviceId: t.id({
        nullable: true,
        description: 'Through which device; null: none can send now.',
        resolve: (sample) => (sample.deviceId === null ? null : `Device:${sample.deviceId}`),
      }),
      text: t.string({
        nullable: true,
        description: 'The text; null: the lead lacks a value that the text needs, and gets nothing.',
        resolve: (sample) => sample.text,
      }),
      variant: t.string({
        nullable: true,
        description: 'The name of the variant that the lead gets; null where the campaign has one text for all.',
        resolve: (sample) => sample.variantName,
      }),
    }),
  });
  const Input = builder.inputType('PreviewCampaignInput', {
    description: 'Which campaign to look at.',
    fields: (t) => ({
      id: t.id({ required: true, description: 'the campaign' }),
      samples: t.int({ required: true, defaultValue: 10, description: `leads to show, 1 to ${SAMPLES_LIMIT}` }),
    }),
  });
  const Payload = builder.objectRef<PreviewAnswer>('PreviewCampaignPayload').implement({
    description: 'Answer of previewCampaign.',
    fields: (t) => ({
      looked: t.int({ description: `Leads looked at, at most ${LOOKED}.`, resolve: (answer) => ('looked' in answer ? answer.looked : 0) }),
      whole: t.boolean({ description: 'These were all leads of the tenant.', resolve: (answer) => 'whole' in answer && answer.whole }),
      belonging: t.int({
        description: 'Of these: leads of the audience.',
        resolve: (answer) => ('belonging' in answer ? answer.belonging : 0),
      }),
      suppressed: t.int({
        description: 'Of these: who asked not to be messaged. They get nothing.',
        resolve: (answer) => ('suppressed' in answer ? answer.suppressed : 0),
      }),
      unconsented: t.int({
        description:
          'Of the rest: who has no record of consent, where the tenant asks for one (`Tenant.consentRequired`). They get nothing either.',
        resolve: (answer) => ('unconsented' in answer ? answer.unconsented : 0),
      }),
      samples: t.field({
        type: [SampleType],
        description: 'The first ones, and what each would get.',
        resolve: (answer) => ('samples' in answer ? [...answer.samples] : []),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('previewCampaign', (t) =>
    t.field({
      type: Payload,
      description: 'Who would get what, through which device. Nothing is sent. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<PreviewAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const id = checks.id('Campaign', ['input', 'id'], String(input.id));
          const samples = checks.whole(['input', 'samples'], input.samples, 1, SAMPLES_LIMIT);
          checks.done();
          const flow = await campaignOf(context, id);
          const seen = await context.flows.preview(context.viewer.tenantId, id, { looked: LOOKED, samples, leadId: null });
          if (seen === null) throw new Refusal([problem('CAMPAIGN_NOT_FOUND', ['input', 'id'], 'no campaign with this id in this tenant')]);
          const sampleOf = (lead: Lead): Sample => {
            const { name, template } = textFor(flow, lead.variant);
            return { ...lead, text: context.flows.render(template, lead), variantName: name };
          };
          return { ...seen, samples: seen.samples.map(sampleOf) };
        }),
    }),
  );
}

function addTestCampaign(kit: Kit): void {
  const { builder } = kit;
  const Input = builder.inputType('TestCampaignInput', {
    description: 'A campaign’s text, sent to a number of one’s own.',
    fields: (t) => ({
      id: t.id({ required: true, description: 'the campaign' }),
      deviceId: t.id({ required: true, description: 'through which device' }),
      to: t.string({ required: true, description: 'to which number, E.164' }),
      leadId: t.id({ required: false, description: 'with the values of this lead; of the first of the audience when left out' }),
      variant: t.string({
        required: false,
        description: 'the text of the variant of this name; of the one that the lead gets when left out, where there are any',
      }),
    }),
  });
  const Payload = builder.objectRef<SendAnswer>('TestCampaignPayload').implement({
    description: 'Answer of testCampaign.',
    fields: (t) => ({
      message: t.field({
        type: 'Message',
        nullable: true,
        description: 'The message: it does not count as one of the campaign.',
        resolve: (answer) => ('message' in answer ? answer.message : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was accepted.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('testCampaign', (t) =>
    t.field({
      type: Payload,
      description: 'Sends the text of a campaign to a number of one’s own, as it would reach a lead. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'what, and where to' }) },
      resolve: async (_root, { input }, context): Promise<SendAnswer> => {
        const made = await attempt(async () => {
          const checks = createChecks();
          const id = checks.id('Campaign', ['input', 'id'], String(input.id));
          const given = input.leadId;
          const leadId = given === null || given === undefined ? null : checks.id('Lead', ['input', 'leadId'], String(given));
          checks.done();
          const flow = await campaignOf(context, id);
          const wanted = placeOf(flow, input.variant);
          const seen = await context.flows.preview(context.viewer.tenantId, id, { looked: LOOKED, samples: 1, leadId });
          const lead = seen?.samples[0];
          if (lead === undefined && leadId !== null)
            throw new Refusal([problem('LEAD_NOT_FOUND', ['input', 'leadId'], 'no lead with this id in this tenant that may be messaged')]);
          const { template } = textFor(flow, wanted ?? lead?.variant ?? null);
          const body = context.flows.render(template, lead ?? { name: null, phone: null, attributes: {} });
          if (body === null)
            throw new Refusal([problem('TEMPLATE_INVALID', ['input', 'leadId'], 'expected a lead that has every value the text needs')]);
          await context.audit({ viewer: context.viewer, action: 'testCampaign', subject: id });
          return { body };
        });
        if (!('body' in made)) return made;
        return sendMessage({ deviceId: String(input.deviceId), to: input.to, body: made.body, lane: 'high' }, context);
      },
    }),
  );
}
