import type { FlowKind, NewFlow } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { attempt, problem, Refusal } from '../problems.ts';
import { argumentId, createChecks, PACE_LIMIT_MS, perMinuteOf } from '../validate.ts';
import { addEnrol } from './enrol.ts';
import { addLeadImports } from './imports.ts';
import { audienceOf, devicesOf, type FlowInputs, flowInputs, hoursOf, numberOf, paceOf, type StepInput, stepsOf } from './input.ts';
import { addLeads } from './leads.ts';
import { addPreview } from './preview.ts';
import { addProgress } from './progress.ts';
import { type RulesInput, rulesOf, ruleTypes } from './rules.ts';
import { type FlowAnswer, type FlowTypes, flowTypes } from './types.ts';
import { addVariants, textsOf } from './variants.ts';

type Name = 'Campaign' | 'Sequence';
const KIND: Readonly<Record<Name, FlowKind>> = { Campaign: 'CAMPAIGN', Sequence: 'SEQUENCE' };
const notFound = (name: Name, path: readonly string[]): Refusal =>
  new Refusal([problem(`${KIND[name]}_NOT_FOUND`, path, `no ${name.toLowerCase()} with this id in this tenant`)]);

/** Campaigns, sequences and leads. */
export function addFlow(kit: Kit): void {
  const types = flowTypes(kit);
  const inputs = flowInputs(kit);
  const rules = ruleTypes(kit, types);
  const Variant = addVariants(kit, types);
  for (const name of ['Campaign', 'Sequence'] as const) {
    const payload = payloadOf(kit, types, name);
    addQueries(kit, types, name);
    addStates(kit, payload, name);
    if (name === 'Campaign') addCreateCampaign(kit, inputs, Variant, payload);
    else addCreateSequence(kit, inputs, rules, payload);
  }
  addLeads(kit, types);
  addEnrol(kit);
  addLeadImports(kit);
  addPreview(kit);
  addProgress(kit, types);
}

function payloadOf(kit: Kit, types: FlowTypes, name: Name) {
  const field = name === 'Campaign' ? 'campaign' : 'sequence';
  return kit.builder.objectRef<FlowAnswer>(`${name}Payload`).implement({
    description: `Answer of a command on a ${field}.`,
    fields: (t) => ({
      [field]: t.field({
        type: types[name],
        nullable: true,
        description: `The ${field} after it.`,
        resolve: (answer) => ('flow' in answer ? answer.flow : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
}
type Payload = ReturnType<typeof payloadOf>;

function addQueries(kit: Kit, types: FlowTypes, name: Name): void {
  const { builder } = kit;
  const one = name === 'Campaign' ? 'campaign' : 'sequence';
  builder.queryField(one, (t) =>
    t.field({
      type: types[name],
      nullable: true,
      description: `One ${one}. Null when there is none or it belongs to someone else.`,
      authScopes: { scope: 'viewer' },
      args: { id: t.arg.id({ required: true, description: `\`${name}:uuid\`, or the bare uuid` }) },
      resolve: (_root, args, context) => context.flows.byId(context.viewer.tenantId, KIND[name], argumentId(name, 'id', args.id)),
    }),
  );
  builder.queryField(`${one}s`, (t) =>
    t.connection(
      {
        type: types[name],
        description: `The ${one}s of the tenant, newest first.`,
        authScopes: { scope: 'viewer' },
        complexity: (args) => listCost(args),
        resolve: async (_root, args, context) => {
          const page = await context.flows.page(context.viewer.tenantId, KIND[name], {
            before: numberOf(args.after),
            limit: limitOf(args),
          });
          return connectionOf(page, (row) => String(row.no), args);
        },
      },
      { name: `${name}Connection`, description: 'A page of the list.' },
      { name: `${name}Edge`, description: 'One place in the list.' },
    ),
  );
}

const VERBS = {
  start: {
    state: 'RUNNING',
    does: 'Starts it: its audience is enrolled, and messages go out at the pace of the devices',
    now: 'as a draft',
  },
  pause: { state: 'PAUSED', does: 'Holds it, on every node at once; planned messages are taken back', now: 'while it runs' },
  resume: { state: 'RUNNING', does: 'Goes on where it was held', now: 'while it is paused' },
  cancel: { state: 'CANCELLED', does: 'Ends it for good, on every node at once', now: 'until it has ended' },
} as const;

function addStates(kit: Kit, payload: Payload, name: Name): void {
  const { builder } = kit;
  const one = name === 'Campaign' ? 'campaign' : 'sequence';
  for (const verb of ['start', 'pause', 'resume', 'cancel'] as const) {
    const { state, does, now } = VERBS[verb];
    const action = `${verb}${name}`;
    const Input = builder.inputType(`${verb.charAt(0).toUpperCase()}${verb.slice(1)}${name}Input`, {
      description: `Which ${one} to ${verb}.`,
      fields: (t) => ({ id: t.id({ required: true, description: `the ${one}` }) }),
    });
    builder.mutationField(action, (t) =>
      t.field({
        type: payload,
        description: `${does}. Scope OPERATOR.`,
        authScopes: { scope: 'operator' },
        args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
        resolve: (_root, { input }, context): Promise<FlowAnswer> =>
          attempt(async () => {
            const checks = createChecks();
            const id = checks.id(name, ['input', 'id'], String(input.id));
            checks.done();
            const { tenantId } = context.viewer;
            const before = await context.flows.byId(tenantId, KIND[name], id);
            if (before === null) throw notFound(name, ['input', 'id']);
            // the same command again is no mistake
            const starting = before.state === 'DRAFT' || before.state === 'SCHEDULED';
            const fits = verb === 'start' ? starting : verb !== 'resume' || !starting;
            const outcome = fits ? await context.flows.setState(tenantId, id, state) : { state: before.state, changed: false };
            if (outcome === null) throw notFound(name, ['input', 'id']);
            if (!outcome.changed && outcome.state !== state)
              throw new Refusal([problem('STATE_CONFLICT', ['input', 'id'], `expected it ${now}: it is ${outcome.state}`)]);
            await context.audit({ viewer: context.viewer, action, subject: id });
            const flow = await context.flows.byId(tenantId, KIND[name], id);
            if (flow === null) throw notFound(name, ['input', 'id']);
            return { flow };
          }),
      }),
    );
  }
}

async function create(context: GraphqlContext, name: Name, flow: Omit<NewFlow, 'id' | 'tenantId' | 'kind'>): Promise<FlowAnswer> {
  const made = await context.flows.create({ ...flow, tenantId: context.viewer.tenantId, kind: KIND[name] });
  if (made === 'NAME_TAKEN') {
    throw new Refusal([problem('NAME_TAKEN', ['input', 'name'], `expected a name that no other ${name.toLowerCase()} of this tenant has`)]);
  }
  if (made === 'DEVICE_NOT_FOUND') {
    throw new Refusal([problem('DEVICE_NOT_FOUND', ['input', 'deviceIds'], 'expected devices of this tenant')]);
  }
  if (made === 'SEQUENCE_NOT_FOUND') {
    throw new Refusal([problem('SEQUENCE_NOT_FOUND', ['input', 'nextSequenceId'], 'no sequence with this id in this tenant')]);
  }
  if (made === 'SEQUENCE_LOOPS') {
    const fault = 'expected a sequence that does not lead back to this one: leads would go round for ever';
    throw new Refusal([problem('INVALID_INPUT', ['input', 'nextSequenceId'], fault)]);
  }
  await context.audit({ viewer: context.viewer, action: `create${name}`, subject: made.id });
  return { errors: [], flow: made };
}

function addCreateCampaign(kit: Kit, inputs: FlowInputs, Variant: ReturnType<typeof addVariants>, payload: Payload): void {
  const { builder } = kit;
  const Input = builder.inputType('CreateCampaignInput', {
    description: 'A new campaign: one message to many leads.',
    fields: (t) => ({
      name: t.string({ required: true, description: '1 to 80 characters, unique in the tenant' }),
      template: t.string({ required: false, description: 'the text, with gaps such as `{{first_name|there}}`; this or `variants`' }),
      variants: t.field({
        type: [Variant],
        required: false,
        description: 'two texts to try against each other: each lead gets one of them, always the same',
      }),
      audience: t.field({ type: inputs.Audience, required: false, description: 'which leads; all of the tenant when left out' }),
      deviceIds: t.idList({ required: false, description: 'through which devices; all of the tenant when left out' }),
      hours: t.field({ type: inputs.Hours, required: false, description: 'when messages may go out; always when left out' }),
      pace: t.field({ type: inputs.Pace, required: false, description: 'slower than its devices; their own pace when left out' }),
      perMinute: t.int({ required: false, description: 'most messages of it a minute, all devices together; no ceiling when left out' }),
      staggerMs: t.int({
        required: false,
        description: 'its devices begin one after the other within this time, at most a day; all at once when left out',
      }),
      startAt: t.field({
        type: 'DateTime',
        required: false,
        description: 'when it starts, once it was told to start; at once when left out',
      }),
    }),
  });
  builder.mutationField('createCampaign', (t) =>
    t.field({
      type: payload,
      description: 'Makes a campaign, as a draft: nothing goes out before startCampaign. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'the campaign' }) },
      resolve: (_root, { input }, context): Promise<FlowAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const name = checks.name(['input', 'name'], input.name);
          const { template, variants } = textsOf(checks, input, context.flows.templateFault);
          const audience = audienceOf(checks, ['input', 'audience'], input.audience);
          const deviceIds = devicesOf(checks, ['input', 'deviceIds'], input.deviceIds);
          const hours = hoursOf(checks, ['input', 'hours'], input.hours);
          const pace = paceOf(checks, ['input', 'pace'], input.pace);
          const perMinute = perMinuteOf(checks, ['input', 'perMinute'], input.perMinute);
          const staggerMs = input.staggerMs ?? null;
          if (staggerMs !== null) checks.whole(['input', 'staggerMs'], staggerMs, 0, PACE_LIMIT_MS);
          const startAt = checks.schedule(['input', 'startAt'], input.startAt, context.now());
          checks.done();
          return create(context, 'Campaign', {
            name,
            lane: 'high',
            audience,
            deviceIds,
            hours,
            pace,
            perMinute,
            staggerMs,
            startAt,
            nextFlowId: null,
            steps: [{ delayMs: 0, template }],
            variants,
          });
        }),
    }),
  );
}

function addCreateSequence(kit: Kit, inputs: FlowInputs, types: ReturnType<typeof ruleTypes>, payload: Payload): void {
  const { builder } = kit;
  const Input = builder.inputType('CreateSequenceInput', {
    description: 'A new sequence, or the next version of one: several messages to each lead.',
    fields: (t) => ({
      name: t.string({ required: true, description: '1 to 80 characters; a known name makes its next version' }),
      steps: t.field({ type: [inputs.Step], required: true, description: 'its messages, 1 to 100' }),
      audience: t.field({ type: inputs.Audience, required: false, description: 'enrol these leads at the start; none when left out' }),
      deviceIds: t.idList({ required: false, description: 'through which devices; all of the tenant when left out' }),
      hours: t.field({ type: inputs.Hours, required: false, description: 'when messages may go out; always when left out' }),
      pace: t.field({ type: inputs.Pace, required: false, description: 'slower than its devices; their own pace when left out' }),
      perMinute: t.int({ required: false, description: 'most messages of it a minute, all devices together; no ceiling when left out' }),
      staggerMs: t.int({
        required: false,
        description: 'its devices begin one after the other within this time, at most a day; all at once when left out',
      }),
      nextSequenceId: t.id({ required: false, description: 'where leads go on that have gone through it' }),
      triggers: t.field({
        type: [types.Trigger],
        required: false,
        description: 'what leads a lead into it, at most 20; `enrol` always does',
      }),
      stopOnReply: t.boolean({ required: true, defaultValue: true, description: 'it ends for a lead who writes back' }),
      goal: t.field({ type: types.Goal, required: false, description: 'what it is for: it ends for a lead who has it' }),
      reentry: t.field({ type: types.ReentryRule, required: true, defaultValue: 'NEVER', description: 'may a lead come in again' }),
      reentryDays: t.int({ required: false, description: 'after so many days, 1 to 3650, with AFTER_DAYS' }),
    }),
  });
  builder.mutationField('createSequence', (t) =>
    t.field({
      type: payload,
      description: 'Makes a sequence, as a draft: nothing goes out before startSequence. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'the sequence' }) },
      resolve: (_root, { input }, context): Promise<FlowAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const name = checks.name(['input', 'name'], input.name);
          const steps = stepsOf(checks, ['input', 'steps'], input.steps as readonly StepInput[], context.flows.templateFault);
          const audience =
            input.audience === null || input.audience === undefined ? null : audienceOf(checks, ['input', 'audience'], input.audience);
          const deviceIds = devicesOf(checks, ['input', 'deviceIds'], input.deviceIds);
          const hours = hoursOf(checks, ['input', 'hours'], input.hours);
          const pace = paceOf(checks, ['input', 'pace'], input.pace);
          const perMinute = perMinuteOf(checks, ['input', 'perMinute'], input.perMinute);
          const staggerMs = input.staggerMs ?? null;
          if (staggerMs !== null) checks.whole(['input', 'staggerMs'], staggerMs, 0, PACE_LIMIT_MS);
          const next = input.nextSequenceId;
          const { rules, reentry } = rulesOf(checks, input as RulesInput);
          const nextFlowId = next === null || next === undefined ? null : checks.id('Sequence', ['input', 'nextSequenceId'], String(next));
          checks.done();
          return create(context, 'Sequence', {
            name,
            lane: 'normal',
            audience,
            deviceIds,
            hours,
            pace,
            perMinute,
            staggerMs,
            startAt: null,
            nextFlowId,
            steps,
            rules,
            reentry,
          });
        }),
    }),
  );
}
