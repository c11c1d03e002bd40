import type { RedriveCount, RedriveRow } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { argumentId, createChecks } from '../validate.ts';
import { type FilterInput, type filterInput, readFilter } from './filter.ts';

const REASON_LIMIT = 200;
/** letters that were put back so often are left out, when nothing else is said */
const REDRIVES_DEFAULT = 5;
const RATE_LIMIT = 1_000_000;

const STATES = {
  RUNNING: 'Letters are being put back.',
  DONE: 'All that fitted were dealt with.',
  CANCELLED: 'Ended by a person. What was put back before stays.',
} as const;

/** The filter as it was given, with moments in words. Pure. */
function askedOf({ since, until, ...rest }: FilterInput): Readonly<Record<string, unknown>> {
  const said = Object.entries({ since, until }).flatMap(([name, at]) =>
    at === null || at === undefined ? [] : [[name, new Date(at).toISOString()]],
  );
  return { ...rest, ...Object.fromEntries(said) };
}

/** 0 to 1; null while it is not known how many there are. Pure. */
export function progressOf(row: RedriveRow): number | null {
  if (row.state === 'DONE') return 1;
  const dealtWith = row.redriven + row.suppressed + row.leftOut;
  return row.whole && row.matching > 0 ? Math.min(1, dealtWith / row.matching) : null;
}

/** How long it goes on at its rate, s. Pure. */
export function secondsLeftOf(row: RedriveRow): number | null {
  if (row.state !== 'RUNNING') return 0;
  if (row.perMinute === null || !row.whole) return null;
  return (Math.max(0, row.matching - row.redriven - row.suppressed - row.leftOut) * 60) / row.perMinute;
}

function redriveType({ builder }: Kit) {
  const State = builder.enumType('RedriveState', {
    description: 'Life of a redrive.',
    values: Object.fromEntries(Object.entries(STATES).map(([value, description]) => [value, { value, description }])) as {
      readonly [S in keyof typeof STATES]: { readonly value: S; readonly description: string };
    },
  });
  return builder.objectRef<RedriveRow>('Redrive').implement({
    description: 'An order to put dead letters back, and how far it is. It survives every process; kept for 90 days.',
    fields: (t) => ({
      id: t.id({ description: 'The id, of the form `Redrive:uuid`.', resolve: (row) => `Redrive:${row.id}` }),
      state: t.expose('state', { type: State, description: 'Where it stands.' }),
      reason: t.exposeString('reason', { description: 'Why, as it was given.' }),
      filter: t.exposeString('filter', { description: 'Which letters, as it was asked for: a JSON object.' }),
      ratePerMinute: t.exposeInt('perMinute', { nullable: true, description: 'Most a minute; null = as fast as they can be put back.' }),
      maxRedrives: t.exposeInt('redrivesBelow', { description: 'Letters that were put back so often are left out.' }),
      matching: t.float({ description: 'Letters that fitted when it was ordered; see `whole`.', resolve: (row) => row.matching }),
      whole: t.exposeBoolean('whole', { description: 'False: there were more than were counted, and `matching` is a lower bound.' }),
      redriven: t.float({ description: 'Messages that were put back.', resolve: (row) => row.redriven }),
      suppressed: t.float({
        description: 'Letters that stay because their people have asked not to be messaged.',
        resolve: (row) => row.suppressed,
      }),
      leftOut: t.float({
        description:
          'Letters that could not be put back: no longer kept, put back by somebody else, of a deleted device or a cancelled campaign.',
        resolve: (row) => row.leftOut,
      }),
      progress: t.float({ nullable: true, description: '0 to 1; null when not all could be counted.', resolve: progressOf }),
      secondsLeft: t.float({ nullable: true, description: 'At its rate; null when that is not known.', resolve: secondsLeftOf }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was ordered. Letters that came later are not in it.' }),
      endedAt: t.expose('endedAt', { type: 'DateTime', nullable: true, description: 'When it ended.' }),
    }),
  });
}
type Type = ReturnType<typeof redriveType>;

function addQueries({ builder }: Kit, Redrive: Type): void {
  builder.queryField('redrive', (t) =>
    t.field({
      type: Redrive,
      nullable: true,
      description: 'One redrive. Null when there is none or it belongs to someone else.',
      authScopes: { scope: 'viewer' },
      args: { id: t.arg.id({ required: true, description: '`Redrive:uuid`, or the bare uuid' }) },
      resolve: async (_root, args, context) => {
        const ids = [argumentId('Redrive', 'id', args.id)];
        return (await context.redrives.page(context.viewer.tenantId, { before: null, limit: 1, ids })).rows[0] ?? null;
      },
    }),
  );
  builder.queryField('redrives', (t) =>
    t.connection(
      {
        type: Redrive,
        description: 'Redrives by filter, newest first.',
        authScopes: { scope: 'viewer' },
        complexity: (args) => listCost(args),
        resolve: async (_root, args, context) => {
          const before = args.after === null || args.after === undefined ? null : argumentId('Redrive', 'after', args.after);
          const page = await context.redrives.page(context.viewer.tenantId, { before, limit: limitOf(args) });
          return connectionOf(page, (row) => row.id, args);
        },
      },
      { name: 'RedriveConnection', description: 'A page of the list.' },
      { name: 'RedriveEdge', description: 'One place in the list.' },
    ),
  );
}

type StartAnswer = ({ readonly redrive: RedriveRow | null; readonly count: RedriveCount } & Refused) | Refused;
type CancelAnswer = ({ readonly redrive: RedriveRow } & Refused) | Refused;

function addStart({ builder }: Kit, Redrive: Type, Filter: ReturnType<typeof filterInput>['Filter']): void {
  const Count = builder.objectRef<RedriveCount>('RedriveCount').implement({
    description: 'How many letters a redrive is about.',
    fields: (t) => ({
      matching: t.float({ description: 'Letters that fit.', resolve: (row) => row.matching }),
      whole: t.exposeBoolean('whole', { description: 'False: there are more than were counted (the oldest 200,000 are).' }),
      suppressed: t.exposeInt('suppressed', {
        description: 'Of the oldest 10,000 that fit: letters of people who have asked not to be messaged. They stay.',
      }),
    }),
  });
  const Input = builder.inputType('StartRedriveInput', {
    description: 'Which dead letters to put back, and how fast.',
    fields: (t) => ({
      filter: t.field({ type: Filter, required: true, description: 'which; `{}` = all of the tenant' }),
      reason: t.string({ required: true, description: `why, 1 to ${REASON_LIMIT} characters: it is kept with the redrive` }),
      ratePerMinute: t.int({ required: false, description: `most a minute, 1 to ${RATE_LIMIT}; as fast as possible when left out` }),
      maxRedrives: t.int({
        required: false,
        description: `leave out what was put back so often, 1 to 100; ${REDRIVES_DEFAULT} when left out`,
      }),
      dryRun: t.boolean({ required: false, description: 'true: count only, change nothing' }),
    }),
  });
  const Payload = builder.objectRef<StartAnswer>('StartRedrivePayload').implement({
    description: 'Answer of startRedrive.',
    fields: (t) => ({
      count: t.field({
        type: Count,
        nullable: true,
        description: 'How many letters it is about.',
        resolve: (answer) => ('count' in answer ? answer.count : null),
      }),
      redrive: t.field({
        type: Redrive,
        nullable: true,
        description: 'What was ordered; null after a dry run.',
        resolve: (answer) => ('redrive' in answer ? answer.redrive : null),
      }),
      errors: t.field({
        type: ['UserError'],
        description: 'Empty when it was done; TOO_MANY: too many redrives of the tenant run already.',
        resolve: (answer) => [...answer.errors],
      }),
    }),
  });
  builder.mutationField('startRedrive', (t) =>
    t.field({
      type: Payload,
      description:
        'Puts dead and failed messages back to QUEUED, oldest first, under the same ids, at the end of their lanes and in their order there, with a fresh attempt budget. ' +
        'It goes on whatever process dies, until it is done or cancelled. People who have asked not to be messaged are not. ' +
        'Messages that may have arrived (cause OUTCOME_UNKNOWN) are put back only when `causes` names that. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      complexity: 20,
      args: { input: t.arg({ type: Input, required: true, description: 'which, and how fast' }) },
      resolve: (_root, { input }, context): Promise<StartAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const { tenantId } = context.viewer;
          const reason = checks.text(['input', 'reason'], input.reason.trim(), REASON_LIMIT);
          if (reason === '') checks.add(problem('INVALID_INPUT', ['input', 'reason'], 'expected a reason: it is empty'));
          const perMinute = input.ratePerMinute ?? null;
          if (perMinute !== null) checks.whole(['input', 'ratePerMinute'], perMinute, 1, RATE_LIMIT);
          const redrivesBelow = checks.whole(['input', 'maxRedrives'], input.maxRedrives ?? REDRIVES_DEFAULT, 1, 100);
          const { filter, faults } = await readFilter(['input', 'filter'], input.filter, context);
          for (const fault of faults) checks.add(fault);
          checks.done();
          const count = await context.redrives.count(tenantId, { filter, redrivesBelow });
          const dryRun = input.dryRun ?? false;
          const redrive = dryRun
            ? null
            : await context.redrives.start({ tenantId, filter, redrivesBelow, reason, perMinute, count, asked: askedOf(input.filter) });
          if (redrive === 'TOO_MANY') {
            throw new Refusal([
              problem('TOO_MANY', ['input'], 'too many redrives run already: wait for one to end, or cancel one', 10_000),
            ]);
          }
          if (redrive !== null) {
            const detail = { matching: count.matching, whole: count.whole, ratePerMinute: perMinute };
            await context.audit({ viewer: context.viewer, action: 'startRedrive', subject: redrive.id, detail });
          }
          return { redrive, count };
        }),
    }),
  );
}

function addCancel({ builder }: Kit, Redrive: Type): void {
  const Input = builder.inputType('CancelRedriveInput', {
    description: 'Which redrive to end.',
    fields: (t) => ({ id: t.id({ required: true, description: 'the redrive' }) }),
  });
  const Payload = builder.objectRef<CancelAnswer>('CancelRedrivePayload').implement({
    description: 'Answer of cancelRedrive.',
    fields: (t) => ({
      redrive: t.field({
        type: Redrive,
        nullable: true,
        description: 'The redrive after it.',
        resolve: (answer) => ('redrive' in answer ? answer.redrive : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('cancelRedrive', (t) =>
    t.field({
      type: Payload,
      description: 'Ends a redrive that runs; what was put back before stays. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<CancelAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const id = checks.id('Redrive', ['input', 'id'], String(input.id));
          checks.done();
          const { tenantId } = context.viewer;
          const done = await context.redrives.cancel(tenantId, id);
          const [redrive] = (await context.redrives.page(tenantId, { before: null, limit: 1, ids: [id] })).rows;
          if (redrive === undefined)
            throw new Refusal([problem('REDRIVE_NOT_FOUND', ['input', 'id'], 'no redrive with this id in this tenant')]);
          if (!done && redrive.state !== 'CANCELLED')
            throw new Refusal([problem('STATE_CONFLICT', ['input', 'id'], `expected it running: it is ${redrive.state}`)]);
          if (done) await context.audit({ viewer: context.viewer, action: 'cancelRedrive', subject: id });
          return { redrive };
        }),
    }),
  );
}

/** Redrives by filter: dead letters are put back set by set, at a rate. */
export function addRedrives(kit: Kit, Filter: ReturnType<typeof filterInput>['Filter']): void {
  const Redrive = redriveType(kit);
  addQueries(kit, Redrive);
  addStart(kit, Redrive, Filter);
  addCancel(kit, Redrive);
}
