import { WEBHOOK_BATCH_LIMIT, WEBHOOKS_LIMIT, type WebhookEvent } from '../../domain/index.ts';
import type { WebhookRow } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { type Checks, createChecks } from '../validate.ts';
import type { WebhookTypes } from './types.ts';

export const webhookNotFound = (path: readonly string[]): Refusal =>
  new Refusal([problem('WEBHOOK_NOT_FOUND', path, 'no webhook with this id in this tenant')]);

const URL_LIMIT = 2000;

type Answer = ({ readonly webhook: WebhookRow; readonly secret: string | null } & Refused) | Refused;

function urlOf(checks: Checks, text: string, context: GraphqlContext): string {
  const fault = text.length > URL_LIMIT ? `it has ${text.length} characters` : context.webhooks.urlFault(text);
  if (fault !== null) {
    const expected = `expected an address such as https://example.com/hooks, of at most ${URL_LIMIT} characters`;
    checks.add(problem('URL_INVALID', ['input', 'url'], `${expected}: ${fault}`));
  }
  return text;
}
function eventsOf(checks: Checks, events: readonly WebhookEvent[]): readonly WebhookEvent[] {
  if (events.length === 0) checks.add(problem('INVALID_INPUT', ['input', 'events'], 'expected at least one event'));
  return [...new Set(events)];
}

function payloadOf({ builder }: Kit, { Webhook }: WebhookTypes) {
  return builder.objectRef<Answer>('WebhookPayload').implement({
    description: 'Answer of createWebhook and updateWebhook.',
    fields: (t) => ({
      webhook: t.field({
        type: Webhook,
        nullable: true,
        description: 'The webhook after it.',
        resolve: (answer) => ('webhook' in answer ? answer.webhook : null),
      }),
      secret: t.string({
        nullable: true,
        description: 'A new secret (`whsec_` and base64 of the key). It is shown this once: it is kept sealed.',
        resolve: (answer) => ('secret' in answer ? answer.secret : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
}
type Payload = ReturnType<typeof payloadOf>;

function addCreate({ builder }: Kit, { Event }: WebhookTypes, Payload: Payload): void {
  const Input = builder.inputType('CreateWebhookInput', {
    description: 'A new webhook.',
    fields: (t) => ({
      url: t.string({
        required: true,
        description: 'address, http or https; not in a private network (WEBHOOK_PRIVATE_HOSTS names exceptions)',
      }),
      events: t.field({ type: [Event], required: true, description: 'what it is to be told' }),
      batch: t.int({ required: false, description: `events one request may carry, 1 to ${WEBHOOK_BATCH_LIMIT}; 1 when left out` }),
    }),
  });
  builder.mutationField('createWebhook', (t) =>
    t.field({
      type: Payload,
      description: `Makes a webhook, and its secret, which is shown this once. At most ${WEBHOOKS_LIMIT} in a tenant. Scope ADMIN.`,
      authScopes: { scope: 'admin' },
      args: { input: t.arg({ type: Input, required: true, description: 'the webhook' }) },
      resolve: (_root, { input }, context): Promise<Answer> =>
        attempt(async () => {
          const checks = createChecks();
          const url = urlOf(checks, input.url, context);
          const events = eventsOf(checks, input.events);
          const batch = checks.whole(['input', 'batch'], input.batch ?? 1, 1, WEBHOOK_BATCH_LIMIT);
          checks.done();
          const made = await context.webhooks.create(context.viewer.tenantId, { url, events, batch });
          if (made === 'TOO_MANY')
            throw new Refusal([problem('TOO_MANY', ['input'], `expected at most ${WEBHOOKS_LIMIT} webhooks in a tenant: delete one`)]);
          await context.audit({ viewer: context.viewer, action: 'createWebhook', subject: made.row.id, detail: { events } });
          return { webhook: made.row, secret: made.secret };
        }),
    }),
  );
}

function addUpdate({ builder }: Kit, { Event }: WebhookTypes, Payload: Payload): void {
  const Input = builder.inputType('UpdateWebhookInput', {
    description: 'What to change; what is left out stays as it is.',
    fields: (t) => ({
      id: t.id({ required: true, description: 'the webhook' }),
      url: t.string({ required: false, description: 'another address: it begins anew, nothing is held against it' }),
      events: t.field({ type: [Event], required: false, description: 'what it is to be told from now on' }),
      batch: t.int({ required: false, description: `events one request may carry, 1 to ${WEBHOOK_BATCH_LIMIT}` }),
      enabled: t.boolean({ required: false, description: 'false: what happens meanwhile is not told; true: what waited goes out at once' }),
      rotateSecret: t.boolean({
        required: false,
        description: 'true: a new secret, shown this once; for a day requests are signed with the one before too',
      }),
    }),
  });
  builder.mutationField('updateWebhook', (t) =>
    t.field({
      type: Payload,
      description: 'Changes a webhook, switches it on or off, or gives it a new secret. Scope ADMIN.',
      authScopes: { scope: 'admin' },
      args: { input: t.arg({ type: Input, required: true, description: 'which, and what' }) },
      resolve: (_root, { input }, context): Promise<Answer> =>
        attempt(async () => {
          const checks = createChecks();
          const id = checks.id('Webhook', ['input', 'id'], String(input.id));
          const patch = {
            ...(input.url === null || input.url === undefined ? {} : { url: urlOf(checks, input.url, context) }),
            ...(input.events === null || input.events === undefined ? {} : { events: eventsOf(checks, input.events) }),
            ...(input.batch === null || input.batch === undefined
              ? {}
              : { batch: checks.whole(['input', 'batch'], input.batch, 1, WEBHOOK_BATCH_LIMIT) }),
            ...(input.enabled === null || input.enabled === undefined ? {} : { enabled: input.enabled }),
            rotateSecret: input.rotateSecret ?? false,
          };
          checks.done();
          const changed = await context.webhooks.update(context.viewer.tenantId, id, patch);
          if (changed === null) throw webhookNotFound(['input', 'id']);
          const { url, ...detail } = patch;
          const told = { ...detail, ...(url === undefined ? {} : { url: true }) };
          await context.audit({ viewer: context.viewer, action: 'updateWebhook', subject: id, detail: told });
          return { webhook: changed.row, secret: changed.secret };
        }),
    }),
  );
}

function addDelete({ builder }: Kit): void {
  const Input = builder.inputType('DeleteWebhookInput', {
    description: 'Which webhook to take away.',
    fields: (t) => ({ id: t.id({ required: true, description: 'the webhook' }) }),
  });
  const Payload = builder.objectRef<Refused>('DeleteWebhookPayload').implement({
    description: 'Answer of deleteWebhook.',
    fields: (t) => ({
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('deleteWebhook', (t) =>
    t.field({
      type: Payload,
      description: 'Takes a webhook away: it is told nothing more, not even what waits. Scope ADMIN.',
      authScopes: { scope: 'admin' },
      args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<Refused> =>
        attempt(async () => {
          const checks = createChecks();
          const id = checks.id('Webhook', ['input', 'id'], String(input.id));
          checks.done();
          if (!(await context.webhooks.remove(context.viewer.tenantId, id))) throw webhookNotFound(['input', 'id']);
          await context.audit({ viewer: context.viewer, action: 'deleteWebhook', subject: id });
          return {};
        }),
    }),
  );
}

/** Making, changing and taking away. */
export function addWebhookChanges(kit: Kit, types: WebhookTypes): void {
  const Payload = payloadOf(kit, types);
  addCreate(kit, types, Payload);
  addUpdate(kit, types, Payload);
  addDelete(kit);
}
