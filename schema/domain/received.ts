import type { MediaKind } from './content.ts';

/** A file that came with a message, as its sender describes it: nothing of it has been looked at, and nothing of it is true until it was fetched. */
export interface ReceivedMedia {
  readonly kind: MediaKind | 'sticker';
  /** media type, lower case, without parameters */
  readonly type: string;
  readonly bytes: number | null;
  readonly fileName: string | null;
  readonly seconds: number | null;
  /** recorded as a voice message */
  readonly voice: boolean;
  /** path on WhatsApp's media server; null = the message does not say */
  readonly path: string | null;
  /** 32 bytes, base64: opens the file. A secret, as the text of a message is. */
  readonly key: string | null;
  /** JID of the chat as the message had it; messages of before it was kept lack it */
  readonly chat?: string | null;
}

/** A file that the phone of the device is to upload again. */
export interface MediaWanted {
  readonly deviceId: string;
  readonly messageId: string;
}
export const MEDIA_AGAIN = ['asking', 'again', 'gone', 'failed', 'unanswered', 'offline'] as const;
/**
 * What came of that. asking: the phone was asked; again: it did, the row says where; gone: it does not have it either; failed: it says that it cannot;
 * unanswered: no answer in time, so it is not known; offline: the device is not connected, nobody was asked.
 */
export type MediaAgain = (typeof MEDIA_AGAIN)[number];
