import { type KeyRing, loadKeyRing, webhookContext } from '../../actors/sessions/index.ts';

/** Secrets of webhooks at rest: sealed with the key ring of the installation (SESSION_KEYS), bound to their webhook. */
export interface Secrets {
  seal(webhookId: string, secret: string): Buffer;
  /** @throws FlotillaError terminal when the ring does not hold the key, or the bytes are damaged */
  open(webhookId: string, sealed: Uint8Array): string;
}

/** The ring is read at the first need: a gateway without webhooks needs none. */
export function createSecrets(config: Parameters<typeof loadKeyRing>[0]): Secrets {
  let ring: KeyRing | undefined;
  const keys = (): KeyRing => {
    ring ??= loadKeyRing(config);
    return ring;
  };
  return {
    seal: (webhookId, secret) => keys().seal(Buffer.from(secret), webhookContext(webhookId)),
    open: (webhookId, sealed) => keys().open(sealed, webhookContext(webhookId)).toString(),
  };
}
