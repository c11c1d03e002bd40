import type { Audience, FlowPace, FlowStep, Hours } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import { problem } from '../problems.ts';
import { argumentError, BODY_LIMIT, type Checks, PACE_LIMIT_MS } from '../validate.ts';

const LIST_LIMIT = 100;
const TEXT_LIMIT = 200;
const DEVICES_LIMIT = 10_000;
export const STEPS_LIMIT = 100;
/** longest delay of a step: a year */
const DELAY_LIMIT_MS = 366 * 86_400_000;

export interface HoursInput {
  readonly zone: string;
  readonly from: string;
  readonly to: string;
  readonly days?: readonly number[] | null | undefined;
}
export interface AudienceInput {
  readonly tags?: readonly string[] | null | undefined;
  readonly niches?: readonly string[] | null | undefined;
  readonly stages?: readonly string[] | null | undefined;
  readonly consent?: boolean | null | undefined;
}
export interface StepInput {
  readonly delayMs: number;
  readonly template: string;
}

/** The input types that campaigns and sequences share. */
export function flowInputs(kit: Kit) {
  const { builder } = kit;
  return {
    Hours: builder.inputType('HoursInput', {
      description: 'When messages may go out, in the time of a zone.',
      fields: (t) => ({
        zone: t.string({ required: true, description: 'zone by its IANA name, such as Europe/Berlin' }),
        from: t.string({ required: true, description: 'beginning, HH:MM' }),
        to: t.string({ required: true, description: 'end, HH:MM; at or before the beginning it lies on the next day' }),
        days: t.intList({ required: false, description: 'days of the week, 1 = Monday; every day when left out' }),
      }),
    }),
    Audience: builder.inputType('AudienceInput', {
      description: 'Which leads: every condition that is given must hold. Empty = all leads of the tenant.',
      fields: (t) => ({
        tags: t.stringList({ required: false, description: 'at least one of these tags' }),
        niches: t.stringList({ required: false, description: 'one of these niches' }),
        stages: t.stringList({ required: false, description: 'one of these stages' }),
        consent: t.boolean({ required: false, description: 'true: only leads with a consent record' }),
      }),
    }),
    Pace: builder.inputType('FlowPaceInput', {
      description: 'Between two of its messages on a device; a device whose own pace is slower keeps that.',
      fields: (t) => ({
        minMs: t.int({ required: true, description: `least pause, 0 to ${PACE_LIMIT_MS} ms` }),
        maxMs: t.int({ required: true, description: 'most pause, ms: each is drawn between the two' }),
      }),
    }),
    Step: builder.inputType('FlowStepInput', {
      description: 'One message.',
      fields: (t) => ({
        delayMs: t.float({ required: true, description: 'after enrolment (the first) or after the send of the one before, ms' }),
        template: t.string({ required: true, description: 'its text, with gaps such as `{{first_name|there}}`' }),
      }),
    }),
  };
}
export type FlowInputs = ReturnType<typeof flowInputs>;

export function audienceOf(checks: Checks, path: readonly string[], input: AudienceInput | null | undefined): Audience {
  const list = (name: 'tags' | 'niches' | 'stages'): readonly string[] | undefined => {
    const values = input?.[name];
    if (values === null || values === undefined) return undefined;
    if (values.length < 1 || values.length > LIST_LIMIT)
      checks.add(problem('INVALID_INPUT', [...path, name], `expected 1 to ${LIST_LIMIT} entries, got ${values.length}`));
    return values.map((value) => checks.text([...path, name], value, TEXT_LIMIT));
  };
  const [tags, niches, stages] = [list('tags'), list('niches'), list('stages')];
  return {
    ...(tags === undefined ? {} : { tags }),
    ...(niches === undefined ? {} : { niches }),
    ...(stages === undefined ? {} : { stages }),
    ...(input?.consent === true ? { consent: true } : {}),
  };
}

export function hoursOf(checks: Checks, path: readonly string[], input: HoursInput | null | undefined): Hours | null {
  if (input === null || input === undefined) return null;
  for (const name of ['from', 'to'] as const) {
    if (!/^([01]\d|2[0-3]):[0-5]\d$/.test(input[name]))
      checks.add(problem('INVALID_INPUT', [...path, name], `expected a time such as 09:30, got "${input[name].slice(0, 20)}"`));
  }
  const days = input.days ?? [1, 2, 3, 4, 5, 6, 7];
  if (days.length === 0 || new Set(days).size !== days.length || days.some((day) => day < 1 || day > 7))
    checks.add(problem('INVALID_INPUT', [...path, 'days'], 'expected days of the week, 1 (Monday) to 7, each once'));
  try {
    new Intl.DateTimeFormat('en', { timeZone: input.zone });
  } catch {
    checks.add(problem('INVALID_INPUT', [...path, 'zone'], 'expected a zone by its IANA name, such as Europe/Berlin'));
  }
  return { zone: input.zone, from: input.from, to: input.to, days };
}

/** @param gaps finds the fault of a template, or null */
export function stepsOf(
  checks: Checks,
  path: readonly string[],
  steps: readonly StepInput[],
  gaps: (template: string) => string | null,
): readonly FlowStep[] {
  if (steps.length < 1 || steps.length > STEPS_LIMIT)
    checks.add(problem('INVALID_INPUT', path, `expected 1 to ${STEPS_LIMIT} steps, got ${steps.length}`));
  return steps.map((step, index) => {
    const at = [...path, String(index)];
    if (!Number.isInteger(step.delayMs) || step.delayMs < 0 || step.delayMs > DELAY_LIMIT_MS)
      checks.add(problem('INVALID_INPUT', [...at, 'delayMs'], `expected whole milliseconds from 0 to ${DELAY_LIMIT_MS}`));
    const template = checks.body([...at, 'template'], step.template);
    const fault = template.length > BODY_LIMIT ? null : gaps(template);
    if (fault !== null) checks.add(problem('TEMPLATE_INVALID', [...at, 'template'], fault));
    return { delayMs: step.delayMs, template };
  });
}

export function devicesOf(
  checks: Checks,
  path: readonly string[],
  ids: readonly (string | number)[] | null | undefined,
): readonly string[] | null {
  if (ids === null || ids === undefined) return null;
  if (ids.length < 1 || ids.length > DEVICES_LIMIT)
    checks.add(problem('INVALID_INPUT', path, `expected 1 to ${DEVICES_LIMIT} devices, got ${ids.length}`));
  return ids.map((id) => checks.id('Device', path, String(id)));
}

/** A cursor that is a number. @throws GraphQLError INVALID_INPUT */
export function numberOf(cursor: string | null | undefined): number | null {
  if (cursor === null || cursor === undefined) return null;
  if (!/^[1-9]\d{0,14}$/.test(cursor)) throw argumentError('INVALID_INPUT', 'after', 'expected a cursor of this list');
  return Number(cursor);
}

export function paceOf(checks: Checks, path: readonly string[], pace: FlowPace | null | undefined): FlowPace | null {
  if (pace === null || pace === undefined) return null;
  const minMs = checks.whole([...path, 'minMs'], pace.minMs, 0, PACE_LIMIT_MS);
  const maxMs = checks.whole([...path, 'maxMs'], pace.maxMs, 0, PACE_LIMIT_MS);
  if (maxMs < minMs) checks.add(problem('INVALID_INPUT', path, `expected a most pause not below the least: ${maxMs} is below ${minMs}`));
  return { minMs, maxMs };
}
