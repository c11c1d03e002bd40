import type { Kit } from '../builder.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { attempt, problem, type Refused } from '../problems.ts';
import { argumentError, argumentId, createChecks } from '../validate.ts';
import { addWebhookChanges, webhookNotFound } from './changes.ts';
import type { WebhookTest } from './port.ts';
import { type WebhookTypes, webhookTypes } from './types.ts';

const REPLAY_LIMIT = 10_000;
const IDS_LIMIT = 1000;
const EVENT = /^evt_(\d{1,18})$/;

function addQueries({ builder }: Kit, { Webhook, Delivery, State }: WebhookTypes): void {
  builder.queryField('webhooks', (t) =>
    t.field({
      type: [Webhook],
      description: 'The webhooks of the tenant, oldest first. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      complexity: { field: 5, multiplier: 10 },
      resolve: async (_root, _args, context) => [...(await context.webhooks.list(context.viewer.tenantId, null))],
    }),
  );
  builder.queryField('webhook', (t) =>
    t.field({
      type: Webhook,
      nullable: true,
      description: 'One webhook. Null when there is none or it belongs to someone else. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { id: t.arg.id({ required: true, description: '`Webhook:uuid`, or the bare uuid' }) },
      resolve: async (_root, args, context) =>
        (await context.webhooks.list(context.viewer.tenantId, [argumentId('Webhook', 'id', args.id)]))[0] ?? null,
    }),
  );
  builder.queryField('webhookDeliveries', (t) =>
    t.connection(
      {
        type: Delivery,
        description: 'What a webhook is told, newest first; kept for WEBHOOK_RETENTION_DAYS. Scope OPERATOR.',
        authScopes: { scope: 'operator' },
        complexity: (args) => listCost(args),
        args: {
          webhookId: t.arg.id({ required: true, description: 'of this webhook' }),
          states: t.arg({ type: [State], required: false, description: 'only in these states' }),
        },
        resolve: async (_root, args, context) => {
          const id = argumentId('Webhook', 'webhookId', args.webhookId);
          const place = args.after === null || args.after === undefined ? null : EVENT.exec(args.after)?.[1];
          if (place === undefined) throw argumentError('INVALID_INPUT', 'after', 'expected a cursor of this list');
          const before = place === null ? null : Number(place);
          const page = await context.webhooks.deliveries(context.viewer.tenantId, id, {
            states: args.states ?? null,
            before,
            limit: limitOf(args),
          });
          return connectionOf(page, (row) => `evt_${row.no}`, args);
        },
      },
      { name: 'WebhookDeliveryConnection', description: 'A page of the list.' },
      { name: 'WebhookDeliveryEdge', description: 'One place in the list.' },
    ),
  );
}

type TestAnswer = (WebhookTest & Refused) | Refused;

function addTest({ builder }: Kit): void {
  const Input = builder.inputType('TestWebhookInput', {
    description: 'Which webhook to try.',
    fields: (t) => ({ id: t.id({ required: true, description: 'the webhook' }) }),
  });
  const Payload = builder.objectRef<TestAnswer>('TestWebhookPayload').implement({
    description: 'Answer of testWebhook.',
    fields: (t) => ({
      taken: t.boolean({ description: 'The receiver took it.', resolve: (answer) => 'taken' in answer && answer.taken }),
      status: t.int({
        nullable: true,
        description: 'HTTP status of its answer; null = there was none.',
        resolve: (answer) => ('status' in answer ? answer.status : null),
      }),
      error: t.string({
        nullable: true,
        description: 'Why it was not taken.',
        resolve: (answer) => ('error' in answer ? answer.error : null),
      }),
      tookMs: t.int({ nullable: true, description: 'How long it took.', resolve: (answer) => ('tookMs' in answer ? answer.tookMs : null) }),
      errors: t.field({ type: ['UserError'], description: 'Empty when the request was made.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('testWebhook', (t) =>
    t.field({
      type: Payload,
      description: 'Tells a webhook `webhook.test`, now and once, whether it is on or off, and says what it answered. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      complexity: 20,
      args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<TestAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const id = checks.id('Webhook', ['input', 'id'], String(input.id));
          checks.done();
          const said = await context.webhooks.test(context.viewer.tenantId, id);
          if (said === null) throw webhookNotFound(['input', 'id']);
          await context.audit({ viewer: context.viewer, action: 'testWebhook', subject: id, detail: { status: said.status } });
          return said;
        }),
    }),
  );
}

type ReplayAnswer = ({ readonly count: number; readonly more: boolean } & Refused) | Refused;

function addReplay({ builder }: Kit): void {
  const Input = builder.inputType('ReplayWebhookDeliveriesInput', {
    description: 'Which events to tell again.',
    fields: (t) => ({
      webhookId: t.id({ required: true, description: 'of this webhook' }),
      deliveryIds: t.idList({
        required: false,
        description: `these, 1 to ${IDS_LIMIT}, whether they were taken or not; when left out, those that were given up (DEAD)`,
      }),
      since: t.field({ type: 'DateTime', required: false, description: 'that happened then or later' }),
      until: t.field({ type: 'DateTime', required: false, description: 'that happened before' }),
    }),
  });
  const Payload = builder.objectRef<ReplayAnswer>('ReplayWebhookDeliveriesPayload').implement({
    description: 'Answer of replayWebhookDeliveries.',
    fields: (t) => ({
      count: t.int({ description: 'How many go out again.', resolve: (answer) => ('count' in answer ? answer.count : 0) }),
      more: t.boolean({
        description: `True: there were more than ${REPLAY_LIMIT}; ask again.`,
        resolve: (answer) => 'more' in answer && answer.more,
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('replayWebhookDeliveries', (t) =>
    t.field({
      type: Payload,
      description: `Tells events again, under the same ids, the oldest ${REPLAY_LIMIT} at a time, before what is newer. Scope OPERATOR.`,
      authScopes: { scope: 'operator' },
      complexity: 20,
      args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<ReplayAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const { tenantId } = context.viewer;
          const id = checks.id('Webhook', ['input', 'webhookId'], String(input.webhookId));
          const given = input.deliveryIds ?? null;
          const path = ['input', 'deliveryIds'];
          if (given !== null && (given.length === 0 || given.length > IDS_LIMIT))
            checks.add(problem('INVALID_INPUT', path, `expected 1 to ${IDS_LIMIT} ids, got ${given.length}`));
          const nos = given?.slice(0, IDS_LIMIT).map((text) => Number(EVENT.exec(String(text))?.[1] ?? Number.NaN)) ?? null;
          if (nos?.some((no) => !Number.isSafeInteger(no)))
            checks.add(problem('INVALID_ID', path, 'expected ids of deliveries, such as evt_17'));
          const [since, until] = [input.since ?? null, input.until ?? null];
          if (since !== null && until !== null && until <= since)
            checks.add(problem('INVALID_INPUT', ['input', 'until'], 'expected a moment after `since`'));
          checks.done();
          if ((await context.webhooks.list(tenantId, [id])).length === 0) throw webhookNotFound(['input', 'webhookId']);
          const count = await context.webhooks.replay(tenantId, id, { nos, states: ['DEAD'], since, until, limit: REPLAY_LIMIT });
          await context.audit({ viewer: context.viewer, action: 'replayWebhookDeliveries', subject: id, detail: { count } });
          return { count, more: count >= REPLAY_LIMIT };
        }),
    }),
  );
}

/** Webhooks: who is told what, and what became of it. */
export function addWebhook(kit: Kit): void {
  const types = webhookTypes(kit);
  addQueries(kit, types);
  addWebhookChanges(kit, types);
  addTest(kit);
  addReplay(kit);
}
