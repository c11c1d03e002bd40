import {
  addReportCounts,
  type FlowRow,
  type FlowVariant,
  NO_COUNTS,
  type ReportCounts,
  type VariantPlace,
  variantSubject,
} from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { problem } from '../problems.ts';
import { BODY_LIMIT, type Checks } from '../validate.ts';
import type { FlowTypes } from './types.ts';

/** Campaigns that try one text against another. */

const VARIANTS = 2;
const DAY_S = 86_400;
/** reports keep days for 800 days */
const DAYS = 1000;

export interface TextInput {
  readonly template?: string | null | undefined;
  readonly variants?: readonly FlowVariant[] | null | undefined;
}

interface VariantShape extends FlowVariant {
  readonly flow: FlowRow;
  /** its place, from 1 */
  readonly place: number;
  /** of all variants of the campaign, read once */
  readonly places: () => Promise<readonly VariantPlace[]>;
}

function shapesOf(flow: FlowRow, context: GraphqlContext): VariantShape[] {
  let read: Promise<readonly VariantPlace[]> | undefined;
  const places = (): Promise<readonly VariantPlace[]> => {
    read ??= context.flows.variantProgress(flow.no);
    return read;
  };
  return flow.variants.map((variant, index) => ({ ...variant, flow, place: index + 1, places }));
}

async function ownPlaces({ place, places }: VariantShape): Promise<VariantPlace[]> {
  return (await places()).filter(({ variant }) => variant === place);
}

/** All that reports know of a variant: whole days, from the one it was made on. */
async function resultsOf({ flow, place }: VariantShape, context: GraphqlContext): Promise<ReportCounts> {
  const dayMs = DAY_S * 1000;
  const fromMs = Math.floor(flow.createdAt / dayMs) * dayMs;
  const ask = { kind: 'FLOW', subject: variantSubject(flow.no, place), grain: DAY_S, fromMs, untilMs: context.now() + dayMs } as const;
  const steps = await context.reports.steps(context.viewer.tenantId, ask, DAYS);
  return steps.reduce<ReportCounts>((sum, step) => addReportCounts(sum, step), NO_COUNTS);
}

/** `Campaign.variants`, and the input that makes them. */
export function addVariants({ builder }: Kit, types: FlowTypes) {
  const Variant = builder.objectRef<VariantShape>('CampaignVariant').implement({
    description: 'One of the texts of a campaign, and what became of it.',
    fields: (t) => ({
      name: t.exposeString('name', { description: 'Its name.' }),
      template: t.exposeString('template', { description: 'Its text, with gaps such as `{{first_name|there}}`.' }),
      percent: t.exposeInt('percent', { description: 'Its share of the leads; those of a campaign add up to 100.' }),
      leads: t.int({
        description: 'Leads that were enrolled with it. Counted from enrolments now.',
        complexity: 10,
        resolve: async (variant) => (await ownPlaces(variant)).reduce((sum, { leads }) => sum + leads, 0),
      }),
      progress: t.field({
        type: [types.Place],
        description: 'How many of its leads are where. Counted from enrolments now.',
        complexity: 10,
        resolve: async (variant) => (await ownPlaces(variant)).map((place) => ({ ...place, flowNo: variant.flow.no })),
      }),
      results: t.field({
        type: 'ReportTotal',
        description: 'What became of its messages, since the campaign was made: from the reports, some 15 s behind. Tests do not count.',
        complexity: 10,
        resolve: (variant, _args, context) => resultsOf(variant, context),
      }),
    }),
  });
  builder.objectFields(types.Campaign, (t) => ({
    variants: t.field({
      type: [Variant],
      description: 'Its texts where it tries one against another; empty: all leads get the text of its step.',
      complexity: { field: 1, multiplier: VARIANTS },
      resolve: (flow, _args, context) => shapesOf(flow, context),
    }),
  }));
  return builder.inputType('CampaignVariantInput', {
    description: 'One of two texts that a campaign tries against each other.',
    fields: (t) => ({
      name: t.string({ required: true, description: '1 to 80 characters, not that of the other' }),
      template: t.string({ required: true, description: 'the text, with gaps such as `{{first_name|there}}`' }),
      percent: t.int({ required: true, description: 'its share of the leads, 1 to 99; both add up to 100' }),
    }),
  });
}

/**
 * The text of a campaign, or its two texts. `template` is what the step has: with variants the first one's.
 * @param gaps finds the fault of a template, or null
 */
export function textsOf(
  checks: Checks,
  input: TextInput,
  gaps: (template: string) => string | null,
): { readonly template: string; readonly variants: readonly FlowVariant[] } {
  const textOf = (path: readonly string[], text: string | null | undefined): string => {
    const template = checks.body(path, text);
    const fault = template.length > BODY_LIMIT ? null : gaps(template);
    if (fault !== null) checks.add(problem('TEMPLATE_INVALID', path, fault));
    return template;
  };
  const given = input.variants ?? null;
  if (given === null) return { template: textOf(['input', 'template'], input.template), variants: [] };
  const path = ['input', 'variants'];
  if (input.template !== null && input.template !== undefined)
    checks.add(problem('INVALID_INPUT', ['input', 'template'], 'expected either `template` or `variants`, not both'));
  if (given.length !== VARIANTS) checks.add(problem('INVALID_INPUT', path, `expected ${VARIANTS} variants, got ${given.length}`));
  const variants = given.slice(0, VARIANTS).map(({ name, template, percent }, index) => {
    const at = [...path, String(index)];
    return {
      name: checks.name([...at, 'name'], name),
      template: textOf([...at, 'template'], template),
      percent: checks.whole([...at, 'percent'], percent, 1, 99),
    };
  });
  const [first, second] = variants;
  if (first !== undefined && second !== undefined && given.length === VARIANTS) {
    if (first.name.toLowerCase() === second.name.toLowerCase())
      checks.add(problem('NAME_TAKEN', [...path, '1', 'name'], `expected another name than that of the first variant, "${first.name}"`));
    const sum = first.percent + second.percent;
    if (sum !== 100) checks.add(problem('INVALID_INPUT', [...path, '1', 'percent'], `expected shares that add up to 100, got ${sum}`));
  }
  return { template: first?.template ?? '', variants };
}
