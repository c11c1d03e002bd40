export { openWebhooks, type WebhooksDeps } from './open.ts';
export { createWebhookPort, type WebhookPortDeps } from './port.ts';
export { createPost, type Post, type Posted, type PostOptions } from './post.ts';
export { createSecrets, type Secrets } from './secrets.ts';
export { createWebhookSender, WEBHOOK_SENDER, type WebhookSender, type WebhookSenderDeps, type WebhookSenderOptions } from './sender.ts';
export { signatureOf } from './sign.ts';
