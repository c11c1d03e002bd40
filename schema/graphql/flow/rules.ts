import { KEYWORD_LIMIT, plainWords } from '../../domain/index.ts';
import type { FlowRow, FlowRule, Reentry } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import { problem } from '../problems.ts';
import type { Checks } from '../validate.ts';
import type { FlowTypes } from './types.ts';

/** How leads come into sequences, leave them before their end, and come in again. */

const TRIGGERS_LIMIT = 20;
const TEXT_LIMIT = 200;
const DAYS_LIMIT = 3650;
/** the name of a hook stands in its address */
const HOOK = /^[a-z0-9][a-z0-9_-]{0,63}$/;

const KINDS = {
  TAG: 'The lead gets the tag `value`, by whatever import or change.',
  STAGE: 'The lead comes to the stage `value`.',
  REPLY: 'The lead writes to any device of the tenant.',
  KEYWORD: 'The lead writes `value` and nothing else; case, punctuation and spaces do not count.',
  WEBHOOK: 'The hook of the name `value` is called for the lead: POST /api/hooks/<name>, with a key of the scope SENDER.',
} as const;
const REENTRY = {
  NEVER: 'Once is all.',
  AFTER_END: 'Again, when its last time has ended.',
  AFTER_DAYS: 'Again, `reentryDays` after its last time has ended.',
} as const;
type Kind = keyof typeof KINDS;

export interface RulesInput {
  readonly stopOnReply: boolean;
  readonly goal?:
    | { readonly tags?: readonly string[] | null | undefined; readonly stages?: readonly string[] | null | undefined }
    | null
    | undefined;
  readonly triggers?: readonly { readonly kind: Kind; readonly value?: string | null | undefined }[] | null | undefined;
  readonly reentry: Reentry['rule'];
  readonly reentryDays?: number | null | undefined;
}

const valuesOf = <T extends Record<string, string>>(words: T) =>
  Object.fromEntries(Object.entries(words).map(([value, description]) => [value, { value, description }])) as {
    readonly [K in keyof T & string]: { readonly value: K; readonly description: string };
  };

/** The types of rules, and the fields that say which a sequence has. */
export function ruleTypes(kit: Kit, types: FlowTypes) {
  const { builder } = kit;
  const TriggerKind = builder.enumType('SequenceTriggerKind', {
    description: 'What leads a lead into a sequence.',
    values: valuesOf(KINDS),
  });
  const ReentryRule = builder.enumType('ReentryRule', {
    description: 'May a lead come into a sequence again, into whatever version of it.',
    values: valuesOf(REENTRY),
  });
  const Trigger = builder.objectRef<FlowRule>('SequenceTrigger').implement({
    description: 'What leads a lead into a sequence.',
    fields: (t) => ({
      kind: t.field({ type: TriggerKind, description: 'What happens.', resolve: (rule) => rule.kind }),
      value: t.string({
        nullable: true,
        description: 'The tag, stage, keyword or name of the hook.',
        resolve: (rule) => rule.value || null,
      }),
    }),
  });
  builder.objectFields(types.Sequence, (t) => ({
    stopOnReply: t.boolean({ description: 'It ends for a lead who writes back.', resolve: (row) => ends(row, 'REPLY').length > 0 }),
    goalTags: t.stringList({ description: 'It ends for a lead who gets one of these tags.', resolve: (row) => ends(row, 'TAG') }),
    goalStages: t.stringList({ description: 'It ends for a lead who comes to one of these stages.', resolve: (row) => ends(row, 'STAGE') }),
    triggers: t.field({
      type: [Trigger],
      description: 'What leads a lead into it, beside `enrol`.',
      resolve: (row) => row.rules.filter((rule) => rule.does === 'ENROL'),
    }),
    reentry: t.field({ type: ReentryRule, description: 'May a lead come in again.', resolve: (row) => row.reentry.rule }),
    reentryDays: t.int({
      nullable: true,
      description: 'After so many days, with AFTER_DAYS.',
      resolve: (row) => (row.reentry.rule === 'AFTER_DAYS' ? row.reentry.days : null),
    }),
    supersededBy: t.id({
      nullable: true,
      description: 'The version that takes leads in its place; those who are in this one go on in it.',
      resolve: (row) => (row.supersededBy === null ? null : `Sequence:${row.supersededBy}`),
    }),
  }));
  return {
    ReentryRule,
    Trigger: builder.inputType('SequenceTriggerInput', {
      description: 'What leads a lead into a sequence.',
      fields: (t) => ({
        kind: t.field({ type: TriggerKind, required: true, description: 'what happens' }),
        value: t.string({ required: false, description: 'the tag, stage, keyword or name of the hook; nothing with REPLY' }),
      }),
    }),
    Goal: builder.inputType('SequenceGoalInput', {
      description: 'What a sequence is for: it ends for a lead who has one of these.',
      fields: (t) => ({
        tags: t.stringList({ required: false, description: 'one of these tags' }),
        stages: t.stringList({ required: false, description: 'one of these stages' }),
      }),
    }),
  };
}

const ends = (row: FlowRow, kind: FlowRule['kind']): string[] =>
  row.rules.filter((rule) => rule.does === 'END' && rule.kind === kind).map((rule) => rule.value);

/** The value of a trigger as it is kept. */
function triggerValue(checks: Checks, path: readonly string[], kind: Kind, given: string | null | undefined): string {
  const value = given ?? '';
  const wrong = (message: string): string => {
    checks.add(problem('INVALID_INPUT', path, message));
    return '';
  };
  switch (kind) {
    case 'REPLY':
      return value === '' ? '' : wrong('expected no value: every reply counts; a certain one is a KEYWORD');
    case 'KEYWORD': {
      const words = plainWords(value);
      if (words === '' || words.length > KEYWORD_LIMIT) return wrong(`expected 1 to ${KEYWORD_LIMIT} letters or digits`);
      return words;
    }
    case 'WEBHOOK':
      return HOOK.test(value) ? value : wrong('expected a name of small letters, digits, - and _, at most 64, such as order-placed');
    default:
      if (value.trim() === '') return wrong(`expected the ${kind.toLowerCase()}`);
      return checks.text(path, value, TEXT_LIMIT);
  }
}

function goalsOf(checks: Checks, input: RulesInput): FlowRule[] {
  const { goal } = input;
  if (goal === null || goal === undefined) return [];
  const list = (name: 'tags' | 'stages', kind: 'TAG' | 'STAGE'): FlowRule[] => {
    const values = goal[name] ?? [];
    const path = ['input', 'goal', name];
    if (values.length > TRIGGERS_LIMIT)
      checks.add(problem('INVALID_INPUT', path, `expected at most ${TRIGGERS_LIMIT}, got ${values.length}`));
    if (values.some((value) => value.trim() === '')) checks.add(problem('INVALID_INPUT', path, 'expected no empty ones'));
    return [...new Set(values)].map((value) => ({ does: 'END', kind, value: checks.text(path, value, TEXT_LIMIT) }));
  };
  const rules = [...list('tags', 'TAG'), ...list('stages', 'STAGE')];
  if (rules.length === 0) checks.add(problem('INVALID_INPUT', ['input', 'goal'], 'expected a tag or a stage'));
  return rules;
}

/** The rules of a new sequence. Faults are gathered in `checks`. */
export function rulesOf(checks: Checks, input: RulesInput): { readonly rules: readonly FlowRule[]; readonly reentry: Reentry } {
  const given = input.triggers ?? [];
  if (given.length > TRIGGERS_LIMIT)
    checks.add(problem('INVALID_INPUT', ['input', 'triggers'], `expected at most ${TRIGGERS_LIMIT}, got ${given.length}`));
  const triggers = given.map(
    ({ kind, value }, index): FlowRule => ({
      does: 'ENROL',
      kind,
      value: triggerValue(checks, ['input', 'triggers', String(index), 'value'], kind, value),
    }),
  );
  const goals = goalsOf(checks, input);
  triggers.forEach((one, index) => {
    const path = ['input', 'triggers', String(index)];
    const same = (other: FlowRule): boolean => other.kind === one.kind && other.value === one.value;
    if (triggers.findIndex(same) < index) checks.add(problem('INVALID_INPUT', path, 'expected each trigger once'));
    if (goals.some(same))
      checks.add(problem('INVALID_INPUT', path, 'expected another than the goal: a lead would come in and be at its end'));
  });
  const replies: FlowRule[] = input.stopOnReply ? [{ does: 'END', kind: 'REPLY', value: '' }] : [];
  const days = input.reentryDays ?? null;
  if (input.reentry !== 'AFTER_DAYS' && days !== null)
    checks.add(problem('INVALID_INPUT', ['input', 'reentryDays'], 'expected only with reentry AFTER_DAYS'));
  if (input.reentry === 'AFTER_DAYS' && days === null)
    checks.add(problem('INVALID_INPUT', ['input', 'reentryDays'], `expected days, 1 to ${DAYS_LIMIT}, with reentry AFTER_DAYS`));
  if (days !== null) checks.whole(['input', 'reentryDays'], days, 1, DAYS_LIMIT);
  const reentry: Reentry = input.reentry === 'AFTER_DAYS' ? { rule: 'AFTER_DAYS', days: days ?? 1 } : { rule: input.reentry };
  return { rules: [...triggers, ...goals, ...replies], reentry };
}
