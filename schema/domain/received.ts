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
}
