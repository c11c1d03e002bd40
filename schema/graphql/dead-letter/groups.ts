import type { DeadLetterGroup, DeadLetterGroups } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import { filterArgument, type filterInput } from './filter.ts';

type Refs = ReturnType<typeof filterInput>;

/** What messages died of. */
export function addGroups({ builder }: Kit, State: Refs['State'], Filter: Refs['Filter']): void {
  const Group = builder.objectRef<DeadLetterGroup>('DeadLetterGroup').implement({
    description: 'Dead letters of one cause.',
    fields: (t) => ({
      cause: t.exposeString('cause', { description: 'Machine-readable why: give it to startRedrive.' }),
      state: t.expose('state', { type: State, description: 'How they ended.' }),
      count: t.exposeInt('letters', { description: 'How many.' }),
      devices: t.exposeInt('devices', { description: 'Of how many devices.' }),
      oldest: t.expose('oldest', { type: 'DateTime', description: 'When the first of them ended.' }),
      newest: t.expose('newest', { type: 'DateTime', description: 'When the last of them ended.' }),
      sample: t.field({
        type: 'Message',
        nullable: true,
        description: 'One of the newest; null when it is no longer kept.',
        resolve: (row, _args, context) => context.loaders.message(row.messageId),
      }),
      sampleId: t.id({ description: 'Its id.', resolve: (row) => `Message:${row.messageId}` }),
      outcomeUnknown: t.boolean({
        description: 'They may have arrived: a redrive leaves them out unless it names this cause.',
        resolve: (row) => row.cause === 'OUTCOME_UNKNOWN',
      }),
    }),
  });
  const Groups = builder.objectRef<DeadLetterGroups>('DeadLetterGroups').implement({
    description: 'Dead letters by cause.',
    fields: (t) => ({
      whole: t.exposeBoolean('whole', { description: 'False: there are more than the newest 200,000, which were looked at.' }),
      groups: t.field({ type: [Group], description: 'Largest first, at most 200.', resolve: (row) => [...row.groups] }),
    }),
  });
  builder.queryField('deadLetterGroups', (t) =>
    t.field({
      type: Groups,
      description: 'What messages died of: the dead letters that were not put back, by cause and state.',
      authScopes: { scope: 'viewer' },
      complexity: { field: 20, multiplier: 10 },
      args: { filter: t.arg({ type: Filter, required: false, description: 'which; all when left out' }) },
      resolve: async (_root, args, context) => context.redrives.groups(context.viewer.tenantId, await filterArgument(args.filter, context)),
    }),
  );
}
