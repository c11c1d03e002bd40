import type { FlowPlace, FlowRow, LeadRow } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import type { Refused } from '../problems.ts';
import { etaOf, SPEED_STEPS, sentPerMinute, speedAsk } from './speed.ts';

export type FlowAnswer = ({ readonly flow: FlowRow } & Refused) | Refused;
export const FLOW_STATES = {
  DRAFT: 'Made, not started.',
  SCHEDULED: 'It starts by itself at its hour.',
  RUNNING: 'Leads are enrolled and messages go out, within its hours.',
  PAUSED: 'Nothing goes out; what was planned is planned anew when it runs again.',
  CANCELLED: 'Ended by a person. It cannot be started again.',
  DONE: 'Everybody of a campaign is through. Failed messages of it may still be redriven. A sequence goes on: leads come into it at any time.',
} as const;

async function speedOf(flow: FlowRow, context: GraphqlContext): Promise<number> {
  const now = context.now();
  return sentPerMinute(flow, await context.reports.steps(context.viewer.tenantId, speedAsk(flow.no, now), SPEED_STEPS), now);
}

/** Types that campaigns and sequences share: both are flows inside. */
export function flowTypes(kit: Kit) {
  const { builder } = kit;
  const State = builder.enumType('FlowState', {
    description: 'Life of a campaign or a sequence.',
    values: Object.fromEntries(Object.entries(FLOW_STATES).map(([value, description]) => [value, { value, description }])) as {
      readonly [S in keyof typeof FLOW_STATES]: { readonly value: S; readonly description: string };
    },
  });
  const Step = builder.objectRef<FlowRow['steps'][number]>('FlowStep').implement({
    description: 'One message of a campaign or a sequence.',
    fields: (t) => ({
      delayMs: t.float({
        description: 'After enrolment (the first) or after the send of the one before, ms.',
        resolve: (step) => step.delayMs,
      }),
      template: t.exposeString('template', {
        description: 'Its text, with gaps such as `{{first_name|there}}`. Of a campaign with variants that of the first one.',
      }),
    }),
  });
  const Hours = builder.objectRef<NonNullable<FlowRow['hours']>>('Hours').implement({
    description: 'When messages may go out, in the time of a zone.',
    fields: (t) => ({
      zone: t.exposeString('zone', { description: 'Zone by its IANA name.' }),
      from: t.exposeString('from', { description: 'Beginning, HH:MM.' }),
      to: t.exposeString('to', { description: 'End, HH:MM; at or before the beginning it lies on the next day.' }),
      days: t.intList({ description: 'Days of the week, 1 = Monday.', resolve: (hours) => [...hours.days] }),
    }),
  });
  const Pace = builder.objectRef<NonNullable<FlowRow['pace']>>('FlowPace').implement({
    description: 'Between two of its messages on a device; a device whose own pace is slower keeps that.',
    fields: (t) => ({
      minMs: t.exposeInt('minMs', { description: 'Least pause, ms.' }),
      maxMs: t.exposeInt('maxMs', { description: 'Most pause, ms.' }),
    }),
  });
  const Place = builder.objectRef<FlowPlace>('FlowProgress').implement({
    description: 'How many leads are at one place.',
    fields: (t) => ({
      place: t.exposeString('place', {
        description:
          'WAITING, SENDING (its message is in the queue of a device), DONE, FAILED, DEAD, SUPPRESSED, CANCELLED, REPLIED, GOAL (reached), STOPPED (taken out), ERASED, NO_TEXT (it lacks what the text needs), NO_PHONE.',
      }),
      leads: t.exposeInt('leads', { description: 'How many.' }),
    }),
  });
  const Lead = builder.objectRef<LeadRow>('Lead').implement({
    description: 'Somebody to write to.',
    fields: (t) => ({
      id: t.id({ description: 'The id, of the form `Lead:uuid`.', resolve: (lead) => `Lead:${lead.id}` }),
      phone: t.exposeString('phone', { nullable: true, description: 'The number in E.164.' }),
      name: t.exposeString('name', { nullable: true, description: 'Name.' }),
      tags: t.stringList({ description: 'Tags.', resolve: (lead) => [...lead.tags] }),
      niche: t.exposeString('niche', { nullable: true, description: 'Niche.' }),
      stage: t.exposeString('stage', { nullable: true, description: 'Stage.' }),
      attributes: t.string({ description: 'More, a JSON object.', resolve: (lead) => JSON.stringify(lead.attributes) }),
      consentSource: t.exposeString('consentSource', { nullable: true, description: 'Where consent came from.' }),
      consentAt: t.expose('consentAt', { type: 'DateTime', nullable: true, description: 'When consent was given.' }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When the lead was first imported.' }),
    }),
  });
  const flow = (name: 'Campaign' | 'Sequence', description: string) =>
    builder.objectRef<FlowRow>(name).implement({
      description,
      fields: (t) => ({
        id: t.id({ description: `The id, of the form \`${name}:uuid\`.`, resolve: (row) => `${name}:${row.id}` }),
        name: t.exposeString('name', { description: 'Its name.' }),
        version: t.exposeInt('version', {
          description: 'Its version: a sequence made under a known name is the next one; leads keep theirs.',
        }),
        state: t.expose('state', { type: State, description: 'Where it stands.' }),
        steps: t.field({ type: [Step], description: 'Its messages.', resolve: (row) => [...row.steps] }),
        hours: t.field({
          type: Hours,
          nullable: true,
          description: 'When messages may go out; null = always.',
          resolve: (row) => row.hours,
        }),
        pace: t.field({ type: Pace, nullable: true, description: 'Its own pace; null = that of its devices.', resolve: (row) => row.pace }),
        perMinute: t.int({
          nullable: true,
          description: 'Most messages of it a minute, all devices together; null = no ceiling.',
          resolve: (row) => row.perMinute,
        }),
        staggerMs: t.int({
          nullable: true,
          description: 'Its devices begin one after the other within this time, ms; null = all at once.',
          resolve: (row) => row.staggerMs,
        }),
        enrolled: t.int({ description: 'Leads enrolled from its audience.', resolve: (row) => row.enrolled }),
        enrolling: t.exposeBoolean('enrolling', { description: 'Its audience is being gone through.' }),
        startAt: t.expose('startAt', { type: 'DateTime', nullable: true, description: 'When it starts by itself.' }),
        startedAt: t.expose('startedAt', { type: 'DateTime', nullable: true, description: 'When it was started.' }),
        endedAt: t.expose('endedAt', { type: 'DateTime', nullable: true, description: 'When it ended.' }),
        createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was made.' }),
        progress: t.field({
          type: [Place],
          description: 'How many leads are where. Counted from enrolments now.',
          complexity: 10,
          resolve: async (row, _args, context) => [...(await context.flows.progress([row.no]))],
        }),
        sentPerMinute: t.float({
          description: 'Messages of it that were sent, a minute, over the last five minutes; some 15 s behind.',
          complexity: 10,
          resolve: (row, _args, context) => speedOf(row, context),
        }),
        eta: t.field({
          type: 'DateTime',
          nullable: true,
          description:
            'When its last lead is through if it goes on as in the last five minutes. Null where that cannot be said: it does not run, is still enrolling, or sent nothing; and of a sequence, which has no last lead.',
          complexity: 20,
          resolve: async (row, _args, context) =>
            name === 'Sequence' ? null : etaOf(row, await context.flows.progress([row.no]), await speedOf(row, context), context.now()),
        }),
      }),
    });
  return {
    State,
    Place,
    Lead,
    Campaign: flow('Campaign', 'One message to many leads.'),
    Sequence: flow('Sequence', 'Several messages to each lead, one after the other.'),
  };
}
export type FlowTypes = ReturnType<typeof flowTypes>;
