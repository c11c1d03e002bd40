import type { Telemetry } from '../../ops/telemetry/index.ts';
import { KEYS_CHANNEL } from '../../schema/domain/index.ts';

/**
 * Tells every gateway that a key was revoked. Owns nothing but who listens here.
 * Lossy (pub/sub): every holder of open sockets and streams looks at its keys once a second all the same, so a lost word costs a second.
 */
export interface Revocations {
  announce(keyId: string): void;
  on(listener: (keyId: string) => void): void;
  start(): Promise<void>;
}

export function createRevocations(deps: {
  readonly publish: (channel: string, text: string) => Promise<unknown>;
  readonly subscribe: (channel: string, handler: (text: string) => void) => Promise<void>;
  readonly telemetry: Pick<Telemetry, 'log'>;
}): Revocations {
  const listeners: ((keyId: string) => void)[] = [];
  const tell = (keyId: string): void => {
    for (const listener of listeners) listener(keyId);
  };
  return {
    announce(keyId) {
      tell(keyId);
      deps.publish(KEYS_CHANNEL, keyId).catch((error: unknown) => deps.telemetry.log.debug('keys.announce', { error: String(error) }));
    },
    on: (listener) => void listeners.push(listener),
    start: () => deps.subscribe(KEYS_CHANNEL, tell),
  };
}
