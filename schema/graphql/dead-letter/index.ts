import { isUuid } from '../../domain/index.ts';
import type { Kit } from '../builder.ts';
import type { DeadLetterPageQuery, DeadLetterRow } from '../context.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { argumentError, createChecks } from '../validate.ts';
import { filterArgument, filterInput } from './filter.ts';
import { addGroups } from './groups.ts';
import { addRedrives } from './redrives.ts';

/** Most messages one redrive puts back. */
const REDRIVE_LIMIT = 1000;

const cursorOf = (row: DeadLetterRow): string => `${row.createdMicros}:${row.messageId}`;
function keyOf(after: string | null | undefined): DeadLetterPageQuery['after'] {
  if (after === null || after === undefined) return null;
  const [at = '', messageId = ''] = after.split(':');
  if (!/^\d{1,16}$/.test(at) || !isUuid(messageId)) throw argumentError('INVALID_INPUT', 'after', 'expected a cursor of this list');
  return { createdMicros: Number(at), messageId };
}

function addType(kit: Kit): void {
  kit.builder.objectType('DeadLetter', {
    description: 'A message that ended DEAD or FAILED and can be put back.',
    fields: (t) => ({
      message: t.field({
        type: 'Message',
        nullable: true,
        description: 'The message itself; null when it is no longer kept.',
        resolve: (row, _args, context) => context.loaders.message(row.messageId),
      }),
      messageId: t.id({ description: 'Its id.', resolve: (row) => `Message:${row.messageId}` }),
      device: t.field({
        type: 'Device',
        nullable: true,
        description: 'The device that should have sent it.',
        resolve: (row, _args, context) => context.loaders.deviceEver(row.deviceId),
      }),
      state: t.expose('state', { type: kit.MessageState, description: 'DEAD or FAILED.' }),
      cause: t.exposeString('cause', { description: 'Machine-readable why.' }),
      attempts: t.exposeInt('attempts', { description: 'How often it was tried.' }),
      lastError: t.exposeString('lastError', { nullable: true, description: 'What the transport said last.' }),
      createdAt: t.field({ type: 'DateTime', description: 'When it ended.', resolve: (row) => Math.floor(row.createdMicros / 1000) }),
      redrives: t.exposeInt('redrives', { description: 'How often it was put back before.' }),
    }),
  });
}

type RedriveAnswer = ({ readonly ids: readonly string[] } & Refused) | Refused;

function addRedrive(kit: Kit): void {
  const { builder } = kit;
  const Input = builder.inputType('RedriveDeadLettersInput', {
    description: 'Which dead letters to put back.',
    fields: (t) => ({
      messageIds: t.idList({ required: false, description: 'these messages; when not given, the oldest ones' }),
      limit: t.int({ required: false, description: `at most so many, 1 to ${REDRIVE_LIMIT}; ${REDRIVE_LIMIT} when not given` }),
    }),
  });
  const Payload = builder.objectRef<RedriveAnswer>('RedriveDeadLettersPayload').implement({
    description: 'Answer of redriveDeadLetters.',
    fields: (t) => ({
      count: t.int({ description: 'How many were put back.', resolve: (answer) => ('ids' in answer ? answer.ids.length : 0) }),
      messageIds: t.idList({
        description: 'The messages that are QUEUED again.',
        resolve: (answer) => ('ids' in answer ? answer.ids.map((id) => `Message:${id}`) : []),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('redriveDeadLetters', (t) =>
    t.field({
      type: Payload,
      description: 'Puts dead and failed messages back to QUEUED, under the same id and with a new place in their lane. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<RedriveAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const given = input.messageIds ?? null;
          const limit = checks.whole(['input', 'limit'], input.limit ?? REDRIVE_LIMIT, 1, REDRIVE_LIMIT);
          if (given !== null && (given.length === 0 || given.length > REDRIVE_LIMIT)) {
            checks.add(problem('INVALID_INPUT', ['input', 'messageIds'], `expected 1 to ${REDRIVE_LIMIT} ids, got ${given.length}`));
          }
          const wanted =
            given?.slice(0, REDRIVE_LIMIT).map((id, at) => checks.id('Message', ['input', 'messageIds', String(at)], id)) ?? null;
          checks.done();
          const ids = await context.messages.redrive(context.viewer.tenantId, wanted, limit);
          if (wanted !== null && ids.length === 0) {
            const message = 'none of these messages is a dead letter of this tenant';
            throw new Refusal([problem('NOT_REDRIVABLE', ['input', 'messageIds'], message)]);
          }
          await context.audit({ viewer: context.viewer, action: 'redriveDeadLetters', subject: null, detail: { count: ids.length } });
          return { ids };
        }),
    }),
  );
}

export function addDeadLetter(kit: Kit): void {
  addType(kit);
  const { State, Filter } = filterInput(kit);
  kit.builder.queryField('deadLetters', (t) =>
    t.connection(
      {
        type: 'DeadLetter',
        description: 'Messages that ended DEAD or FAILED and were not put back, newest first.',
        authScopes: { scope: 'viewer' },
        complexity: (args) => listCost(args),
        args: { filter: t.arg({ type: Filter, required: false, description: 'which; all when left out' }) },
        resolve: async (_root, args, context) => {
          const place = { after: keyOf(args.after), limit: limitOf(args) };
          const filter = await filterArgument(args.filter, context);
          const page = await context.ledger.deadLetterPage(context.viewer.tenantId, { ...place, filter });
          return connectionOf(page, cursorOf, args);
        },
      },
      { name: 'DeadLetterConnection', description: 'A page of the list.' },
      { name: 'DeadLetterEdge', description: 'One place in the list.' },
    ),
  );
  addGroups(kit, State, Filter);
  addRedrive(kit);
  addRedrives(kit, Filter);
}
