import { GraphQLError } from 'graphql';
import type { Kit } from '../builder.ts';
import type { GraphqlServices } from '../context.ts';
import type { FlowNow, FlowProgressUpdate } from '../live/port.ts';
import { liveSource } from '../live/source.ts';
import { argumentId } from '../validate.ts';
import { etaOf, leftOf, SPEED_STEPS, sentPerMinute, speedAsk } from './speed.ts';
import type { FlowTypes } from './types.ts';

const speedOf = ({ flow, steps, asOf }: FlowProgressUpdate): number => sentPerMinute(flow, steps, asOf);

/** How far a campaign is now. @returns null: the tenant has no such campaign */
export async function flowNow(
  { flows, reports, now }: Pick<GraphqlServices, 'flows' | 'reports' | 'now'>,
  tenantId: string,
  id: string,
): Promise<FlowNow | null> {
  const flow = await flows.byId(tenantId, 'CAMPAIGN', id);
  if (flow === null) return null;
  const [places, steps] = await Promise.all([flows.progress([flow.no]), reports.steps(tenantId, speedAsk(flow.no, now()), SPEED_STEPS)]);
  return { flow, places, steps };
}

/** Subscription `campaignProgress`. */
export function addProgress({ builder }: Kit, types: FlowTypes): void {
  const Update = builder.objectRef<FlowProgressUpdate>('CampaignProgress').implement({
    description: 'How far a campaign is, as of one moment.',
    fields: (t) => ({
      epoch: t.exposeString('epoch', { description: 'Life of the stream.' }),
      seq: t.exposeFloat('seq', { description: 'Position after this update.' }),
      asOf: t.expose('asOf', { type: 'DateTime', description: 'When it was counted.' }),
      campaign: t.field({ type: types.Campaign, description: 'The campaign, as it was then.', resolve: ({ flow }) => flow }),
      state: t.field({ type: types.State, description: 'Where it stands.', resolve: ({ flow }) => flow.state }),
      enrolled: t.int({ description: 'Leads enrolled from its audience.', resolve: ({ flow }) => flow.enrolled }),
      enrolling: t.boolean({ description: 'Its audience is being gone through.', resolve: ({ flow }) => flow.enrolling }),
      progress: t.field({ type: [types.Place], description: 'How many leads are where.', resolve: ({ places }) => [...places] }),
      left: t.int({ description: 'Leads that wait, or whose message is under way.', resolve: ({ places }) => leftOf(places) }),
      sentPerMinute: t.float({
        description: 'Messages of it that were sent, a minute, over the last five minutes; some 15 s behind.',
        resolve: speedOf,
      }),
      eta: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When its last lead is through if it goes on like that; null where that cannot be said (`Campaign.eta`).',
        resolve: (update) => etaOf(update.flow, update.places, speedOf(update), update.asOf),
      }),
    }),
  });
  builder.subscriptionField('campaignProgress', (t) =>
    t.field({
      type: Update,
      description:
        'How far a campaign is, live: what it is now, then each change, at most one a second (fewer where there are millions of leads to count). Scope VIEWER.',
      authScopes: { scope: 'viewer' },
      complexity: 10,
      args: { id: t.arg.id({ required: true, description: '`Campaign:uuid`, or the bare uuid' }) },
      subscribe: async (_root, args, context) => {
        const id = argumentId('Campaign', 'id', String(args.id));
        const { tenantId } = context.viewer;
        if ((await context.flows.byId(tenantId, 'CAMPAIGN', id)) === null)
          throw new GraphQLError('there is no such campaign', { extensions: { code: 'CAMPAIGN_NOT_FOUND', path: ['id'] } });
        return liveSource(context.live.flowProgress(tenantId, id), null);
      },
      resolve: (update) => update as FlowProgressUpdate,
    }),
  );
}
