import type { Clock } from '../../ops/lifecycle/index.ts';
import { MEDIA_AGAIN, MEDIA_WANTED_CHANNEL, type MediaAgain, type MediaWanted, mediaAgainKey } from '../../schema/domain/index.ts';

/**
 * Has the phone of a device upload a received file again that WhatsApp does not keep any more: tells all nodes, and waits for the word of the one that has the
 * device (actors/transports/whatsapp/media-again.ts). A word that stands already is taken as it is: the phone is not asked twice.
 */
export type AskAgain = (wanted: MediaWanted, signal: AbortSignal) => Promise<Exclude<MediaAgain, 'asking'>>;

export interface AgainDeps {
  readonly redis: { publish(channel: string, text: string): Promise<unknown>; get(key: string): Promise<string | null> };
  readonly clock: Clock;
}
export interface AgainOptions {
  /** nobody has taken it by then: no node has the device */
  readonly noticeMs: number;
  /** longest wait in all; more than the node's own patience with the phone */
  readonly patienceMs: number;
}

const LOOK_MS = 100;

export function createAskAgain({ redis, clock }: AgainDeps, { noticeMs, patienceMs }: AgainOptions): AskAgain {
  return async (wanted, signal) => {
    const key = mediaAgainKey(wanted.deviceId, wanted.messageId);
    const word = async (): Promise<MediaAgain | null> => {
      const said = await redis.get(key);
      return MEDIA_AGAIN.find((one) => one === said) ?? null;
    };
    const began = clock.monotonic();
    const before = await word();
    if (before === null) await redis.publish(MEDIA_WANTED_CHANNEL, JSON.stringify(wanted));
    for (let said = before; ; said = await word()) {
      if (said !== null && said !== 'asking') return said;
      const waited = clock.monotonic() - began;
      if (said === null && waited >= noticeMs) return 'offline';
      if (waited >= patienceMs) return 'unanswered';
      await clock.sleep(LOOK_MS, signal);
    }
  };
}
