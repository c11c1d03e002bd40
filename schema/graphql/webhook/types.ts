import { WEBHOOK_EVENT_NAMES, WEBHOOK_EVENTS, type WebhookEvent } from '../../domain/index.ts';
import type { DeliveryRow, DeliveryState, WebhookRow } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';

const STATES: Readonly<Record<DeliveryState, string>> = {
  PENDING: 'It waits for its turn, or for its next try.',
  DELIVERED: 'The receiver took it (an answer of 200 to 299).',
  DEAD: 'The receiver did not take it, and it is not tried again: see replayWebhookDeliveries.',
};

const upper = (name: WebhookEvent): string => name.replace('.', '_').toUpperCase();

/** The types of webhooks. */
export function webhookTypes({ builder }: Kit) {
  const Event = builder.enumType('WebhookEvent', {
    description: 'What a webhook may be told.',
    values: Object.fromEntries(
      WEBHOOK_EVENT_NAMES.map((name) => [upper(name), { value: name, description: `\`${name}\`: ${WEBHOOK_EVENTS[name]}` }]),
    ) as { readonly [name: string]: { readonly value: WebhookEvent; readonly description: string } },
  });
  const State = builder.enumType('WebhookDeliveryState', {
    description: 'What became of an event that a webhook is to be told.',
    values: Object.fromEntries(Object.entries(STATES).map(([value, description]) => [value, { value, description }])) as {
      readonly [S in DeliveryState]: { readonly value: S; readonly description: string };
    },
  });
  const Webhook = builder.objectRef<WebhookRow>('Webhook').implement({
    description:
      'An address that is told what happens. Requests are signed after the Standard Webhooks specification: headers `webhook-id` (the same whenever it is tried), ' +
      '`webhook-timestamp` (s since 1970) and `webhook-signature` (`v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`).',
    fields: (t) => ({
      id: t.id({ description: 'The id, of the form `Webhook:uuid`.', resolve: (row) => `Webhook:${row.id}` }),
      url: t.exposeString('url', { description: 'The address.' }),
      events: t.field({ type: [Event], description: 'What it is told.', resolve: (row) => [...row.events] }),
      batch: t.exposeInt('batch', {
        description: 'Events one request may carry. 1: the body is the event; more: `{type: "batch", data: {events}}`.',
      }),
      enabled: t.boolean({ description: 'Is it told anything.', resolve: (row) => row.disabledAt === null }),
      disabledAt: t.expose('disabledAt', { type: 'DateTime', nullable: true, description: 'When it was switched off.' }),
      disabledReason: t.exposeString('disabledReason', {
        nullable: true,
        description: 'BY_REQUEST, SUSTAINED_FAILURE (its requests failed for too long), or GONE (it answered 410).',
      }),
      failingSince: t.expose('failingSince', {
        type: 'DateTime',
        nullable: true,
        description: 'Since when no request was taken; null = all is well.',
      }),
      failures: t.exposeInt('failures', { description: 'Requests that failed since the last that was taken.' }),
      lastError: t.exposeString('lastError', { nullable: true, description: 'Why the last one failed that did.' }),
      succeededAt: t.expose('succeededAt', {
        type: 'DateTime',
        nullable: true,
        description: 'When a request was last taken, give or take ten seconds.',
      }),
      waiting: t.exposeInt('waiting', { description: 'Events it was not told yet; counted up to 10,000.' }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was made.' }),
    }),
  });
  const Delivery = builder.objectRef<DeliveryRow>('WebhookDelivery').implement({
    description: 'An event that a webhook is told, or was.',
    fields: (t) => ({
      id: t.id({ description: 'The id of the event, as its receiver sees it.', resolve: (row) => `evt_${row.no}` }),
      type: t.exposeString('type', { description: 'Name of the event, such as `message.sent`.' }),
      state: t.expose('state', { type: State, description: 'What became of it.' }),
      messageId: t.id({
        nullable: true,
        description: 'The message it is about.',
        resolve: (row) => (row.messageId === null ? null : `Message:${row.messageId}`),
      }),
      deviceId: t.id({
        nullable: true,
        description: 'The device it is about.',
        resolve: (row) => (row.deviceId === null ? null : `Device:${row.deviceId}`),
      }),
      detail: t.exposeString('detail', { description: 'What else it says, a JSON object. People’s numbers and texts are not kept here.' }),
      tries: t.exposeInt('tries', { description: 'How often it was tried.' }),
      status: t.exposeInt('status', { nullable: true, description: 'HTTP status of the last answer; null = there was none.' }),
      error: t.exposeString('error', { nullable: true, description: 'Why the last try failed.' }),
      at: t.expose('at', { type: 'DateTime', description: 'When it happened.' }),
      endedAt: t.expose('endedAt', { type: 'DateTime', nullable: true, description: 'When it was taken, or given up.' }),
    }),
  });
  return { Event, State, Webhook, Delivery };
}
export type WebhookTypes = ReturnType<typeof webhookTypes>;
