import { createHmac, randomBytes } from 'node:crypto';

/** Signatures after the Standard Webhooks specification 1.0 (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`. */

const PREFIX = 'whsec_';
const SECRET_BYTES = 32;

/** A new secret, as it is shown once. */
export function newWebhookSecret(): string {
  return `${PREFIX}${randomBytes(SECRET_BYTES).toString('base64')}`;
}

/** One `v1,<base64>` for each secret. @param seconds since 1970 */
export function signatureOf(secrets: readonly string[], id: string, seconds: number, body: string | Buffer): string {
  return secrets
    .map((secret) => {
      const key = Buffer.from(secret.slice(PREFIX.length), 'base64');
      return `v1,${createHmac('sha256', key).update(`${id}.${seconds}.`).update(body).digest('base64')}`;
    })
    .join(' ');
}
