import { KEYWORD_LIMIT, plainWords } from '../../domain/index.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext, TenantRow, TenantRules } from '../context.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { type Checks, createChecks, PER_MINUTE_LIMIT, perMinuteOf } from '../validate.ts';

/** `updateTenant`: the settings of a tenant, each checked before any is changed. */
type UpdateAnswer = ({ readonly tenant: TenantRow } & Refused) | Refused;
interface TenantChange {
  readonly flowsPerMinute?: number | null | undefined;
  readonly recipientCap?: { readonly messages: number; readonly days: number } | null | undefined;
  readonly defaultRegion?: string | null | undefined;
  readonly consentRequired?: boolean | null | undefined;
  readonly stopWords?: readonly string[] | null | undefined;
  readonly startWords?: readonly string[] | null | undefined;
}
const MOST_WORDS = 100;
/** as the checks of the tenants table have them */
const MOST_MESSAGES = 100;
const MOST_DAYS = 90;

export function addUpdateTenant(kit: Kit): void {
  const { builder } = kit;
  const Cap = builder.inputType('RecipientCapInput', {
    description: 'Most messages of campaigns to the same person in a time.',
    fields: (t) => ({
      messages: t.int({ required: true, description: `1 to ${MOST_MESSAGES}` }),
      days: t.int({ required: true, description: `days of 24 hours, 1 to ${MOST_DAYS}` }),
    }),
  });
  const Input = builder.inputType('UpdateTenantInput', {
    description: 'What changes of the tenant.',
    fields: (t) => ({
      defaultRegion: t.string({
        required: false,
        description: 'country of numbers without a country code, two letters such as DE; null takes it away',
      }),
      consentRequired: t.boolean({ required: false, description: 'true: nothing goes to people without a record of consent' }),
      stopWords: t.stringList({
        required: false,
        description: `whole messages that mean "do not write to me again", beside the common ones: at most ${MOST_WORDS} of ${KEYWORD_LIMIT} characters each`,
      }),
      startWords: t.stringList({ required: false, description: 'whole messages that take it back, as stopWords' }),
      recipientCap: t.field({
        type: Cap,
        required: false,
        description: 'how often campaigns may write to the same person, counted from when a cap is first set on; null takes it away',
      }),
      flowsPerMinute: t.int({
        required: false,
        description: `most messages of its campaigns and sequences a minute, all devices together: 1 to ${PER_MINUTE_LIMIT}; null takes it away`,
      }),
    }),
  });
  const Payload = builder.objectRef<UpdateAnswer>('UpdateTenantPayload').implement({
    description: 'Answer of updateTenant.',
    fields: (t) => ({
      tenant: t.field({
        type: 'Tenant',
        nullable: true,
        description: 'The tenant after it.',
        resolve: (answer) => ('tenant' in answer ? answer.tenant : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('updateTenant', (t) =>
    t.field({
      type: Payload,
      description: 'Changes the settings of the tenant that the key acts in; what is left out stays. Scope ADMIN.',
      authScopes: { scope: 'admin' },
      args: { input: t.arg({ type: Input, required: true, description: 'what changes' }) },
      resolve: (_root, { input }, context): Promise<UpdateAnswer> => attempt(async () => ({ tenant: await update(input, context) })),
    }),
  );
}

async function update(input: TenantChange, context: GraphqlContext): Promise<TenantRow> {
  const { tenantId } = context.viewer;
  const checks = createChecks();
  const region = regionOf(input, context, checks);
  const rules = rulesOf(input, checks);
  const before = await context.accessReads.tenant(tenantId);
  if (before === null) throw new Refusal([problem('INVALID_INPUT', ['input'], 'the tenant is gone')]);
  const twice = (rules.stopWords ?? before.stopWords).find((word) => (rules.startWords ?? before.startWords).includes(word));
  if (twice !== undefined)
    checks.add(problem('INVALID_INPUT', ['input'], `expected words that mean one thing: "${twice}" is a stop and a start`));
  checks.done();
  if (region !== undefined) await context.access.setDefaultRegion(tenantId, region);
  if (Object.keys(rules).length > 0) await context.access.setRules(tenantId, rules);
  const detail = { ...(region === undefined ? {} : { defaultRegion: region }), ...rules };
  if (Object.keys(detail).length > 0) await context.audit({ viewer: context.viewer, action: 'updateTenant', subject: tenantId, detail });
  return (await context.accessReads.tenant(tenantId)) ?? before;
}

/** undefined: stays */
function regionOf(input: TenantChange, context: GraphqlContext, checks: Checks): string | null | undefined {
  const region = input.defaultRegion?.toUpperCase() ?? input.defaultRegion;
  if (region !== null && region !== undefined && context.flows.phoneReader(region) === null)
    checks.add(problem('INVALID_INPUT', ['input', 'defaultRegion'], 'expected a country code of two letters, such as DE'));
  return region as string | null | undefined;
}

function rulesOf(input: TenantChange, checks: Checks): TenantRules {
  const words = (name: 'stopWords' | 'startWords'): readonly string[] => {
    const given = input[name] ?? [];
    if (given.length > MOST_WORDS)
      checks.add(problem('INVALID_INPUT', ['input', name], `expected at most ${MOST_WORDS} words: it has ${given.length}`));
    const plain = given.map(plainWords);
    const bad = plain.findIndex((word) => word === '' || word.length > KEYWORD_LIMIT);
    if (bad >= 0)
      checks.add(problem('INVALID_INPUT', ['input', name, String(bad)], `expected letters or digits, at most ${KEYWORD_LIMIT} characters`));
    return [...new Set(plain)];
  };
  const cap = input.recipientCap ?? null;
  if (cap !== null) {
    checks.whole(['input', 'recipientCap', 'messages'], cap.messages, 1, MOST_MESSAGES);
    checks.whole(['input', 'recipientCap', 'days'], cap.days, 1, MOST_DAYS);
  }
  const perMinute = perMinuteOf(checks, ['input', 'flowsPerMinute'], input.flowsPerMinute);
  return {
    ...(input.flowsPerMinute === undefined ? {} : { flowsPerMinute: perMinute }),
    ...(input.recipientCap === undefined ? {} : { recipientCap: cap }),
    ...(input.consentRequired === null || input.consentRequired === undefined ? {} : { consentRequired: input.consentRequired }),
    ...(input.stopWords === null || input.stopWords === undefined ? {} : { stopWords: words('stopWords') }),
    ...(input.startWords === null || input.startWords === undefined ? {} : { startWords: words('startWords') }),
  };
}
