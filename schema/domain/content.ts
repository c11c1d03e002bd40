/** What a message is beside its text; null or absent = a plain text. `body` is the text, or the caption of an image, video or document. */
export type MessageContent =
  | TextContent
  | MediaContent
  | {
      readonly kind: 'location';
      readonly latitude: number;
      readonly longitude: number;
      readonly name?: string;
      readonly address?: string;
      readonly replyTo?: string;
    }
  | { readonly kind: 'contact'; readonly name: string; readonly phone: string; readonly replyTo?: string }
  /** `emoji` empty = takes the reaction back */
  | { readonly kind: 'reaction'; readonly to: string; readonly emoji: string };

export interface TextContent {
  readonly kind: 'text';
  /** the message answered: id of a ledger message, or WhatsApp's id of one that the recipient sent */
  readonly replyTo: string;
}

export type MediaKind = 'image' | 'video' | 'audio' | 'document';
export const MEDIA_KINDS: readonly MediaKind[] = ['image', 'video', 'audio', 'document'];

export interface MediaContent {
  readonly kind: MediaKind;
  /** https or http, public addresses only; or `upload:` and the id of a file that was uploaded */
  readonly url: string;
  /** documents: what the recipient sees */
  readonly fileName?: string;
  /** audio: shown as a voice message */
  readonly voice?: boolean;
  readonly replyTo?: string;
}

export const isMedia = (content: MessageContent): content is MediaContent => (MEDIA_KINDS as readonly string[]).includes(content.kind);

const UPLOAD = 'upload:';
/** Id of the uploaded file that an address of media stands for; null = it is an address. */
export const uploadOf = (url: string): string | null => (url.startsWith(UPLOAD) ? url.slice(UPLOAD.length) : null);
export const urlOfUpload = (id: string): string => UPLOAD + id;

const MB = 1024 * 1024;
/**
 * What WhatsApp takes, by kind: the most bytes, and the types (documents: any but web pages). Source: Meta, "Supported media types", WhatsApp Business
 * Platform, Cloud API reference (image 5 MB, audio and video 16 MB, document 100 MB).
 */
export const MEDIA_LIMITS: Readonly<Record<MediaKind, { readonly bytes: number; readonly types: readonly string[] }>> = {
  image: { bytes: 5 * MB, types: ['image/jpeg', 'image/png'] },
  video: { bytes: 16 * MB, types: ['video/mp4', 'video/3gpp'] },
  audio: { bytes: 16 * MB, types: ['audio/aac', 'audio/amr', 'audio/mpeg', 'audio/mp4', 'audio/ogg'] },
  document: { bytes: 100 * MB, types: [] },
};
