/** What webhooks are told, and what each event means. Stable: receivers match on them. */
export const WEBHOOK_EVENTS = {
  'message.sent': 'The provider has taken a message.',
  'message.delivered': 'A message has reached its recipient.',
  'message.read': 'The recipient has read a message.',
  'message.failed': 'The provider refused a message for good.',
  'message.dead': 'All attempts of a message are used up, or a person has to decide.',
  'message.cancelled': 'A message was taken back before it was tried.',
  'message.suppressed': 'A message was not sent: its recipient has asked not to be messaged.',
  'device.state':
    'A device is in another state. ONLINE stands for ONLINE, SENDING and THROTTLED; states on the way (CONNECTING, MOVING, UNKNOWN) are not told.',
  'inbound.received': 'A device has received a message.',
  'campaign.ended': 'A campaign has come to its end, or was cancelled.',
  'sequence.ended': 'A sequence has come to its end, or was cancelled.',
  'webhook.disabled': 'Another webhook of the tenant was switched off because it failed for too long.',
} as const;
export type WebhookEvent = keyof typeof WEBHOOK_EVENTS;
export const WEBHOOK_EVENT_NAMES = Object.keys(WEBHOOK_EVENTS) as readonly WebhookEvent[];

/** Webhooks one tenant may have. */
export const WEBHOOKS_LIMIT = 20;
/** Events that one request may carry. */
export const WEBHOOK_BATCH_LIMIT = 100;
