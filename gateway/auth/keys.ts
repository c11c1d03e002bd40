import { createHash, randomBytes } from 'node:crypto';

const PREFIX = 'flk_';

/** A new key: `flk_` and 32 random bytes in base64url. Its SHA-256 is all that is kept. */
export function newSecret(): string {
  return PREFIX + randomBytes(32).toString('base64url');
}

/** What a device says hello with on /link: `flt_` and 32 random bytes in base64url. */
export function newLinkToken(): string {
  return `flt_${randomBytes(32).toString('base64url')}`;
}

/** Keys are 256-bit random strings, so one SHA-256 hides them at rest: there is nothing to guess. */
export function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret, 'utf8').digest();
}

/**
 * The key in an `Authorization` header or a `connection_init` payload's `authorization`: `Bearer <key>`, whatever the case of the
 * word, or the bare key. Null when it has another form.
 */
export function secretOf(authorization: string): string | null {
  const match = /^(?:bearer[ \t]+)?([\x21-\x7e]{8,512})[ \t]*$/i.exec(authorization);
  return match?.[1] ?? null;
}
