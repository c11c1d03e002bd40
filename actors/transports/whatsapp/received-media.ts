import type { proto } from '@whiskeysockets/baileys';
import type { ReceivedMedia } from '../../../schema/domain/index.ts';

/** What a sender says of a file: kept, bounded, not believed. */

const TYPE = /^[a-z0-9][a-z0-9.+-]{0,40}\/[a-z0-9][a-z0-9.+-]{0,80}$/;
const PATH = /^\/[\x21-\x7e]{1,1000}$/;
const MOST_NAME = 200;
const KEY_BYTES = 32;

interface Said {
  readonly mimetype?: string | null;
  readonly fileLength?: unknown;
  readonly fileName?: string | null;
  readonly seconds?: number | null;
  readonly ptt?: boolean | null;
  readonly directPath?: string | null;
  readonly mediaKey?: Uint8Array | null;
}

/** a path on WhatsApp's media server; null = it is none */
export const pathOf = (said: string | null | undefined): string | null => (PATH.test(said ?? '') ? (said ?? null) : null);

const count = (value: unknown): number | null => {
  const number = value == null ? Number.NaN : Number(value);
  return Number.isSafeInteger(number) && number >= 0 ? number : null;
};

/** Null: the message has no file. */
export function mediaOf(content: proto.IMessage, chat: string): ReceivedMedia | null {
  const kinds: readonly (readonly [ReceivedMedia['kind'], Said | null | undefined])[] = [
    ['image', content.imageMessage],
    ['video', content.videoMessage],
    ['video', content.ptvMessage],
    ['audio', content.audioMessage],
    ['document', content.documentMessage],
    ['sticker', content.stickerMessage],
  ];
  for (const [kind, said] of kinds) if (said != null) return { ...described(kind, said), chat: chat.slice(0, MOST_NAME) };
  return null;
}

function described(kind: ReceivedMedia['kind'], said: Said): ReceivedMedia {
  const type = said.mimetype?.split(';')[0]?.trim().toLowerCase() ?? '';
  const name =
    said.fileName
      ?.replace(/[\p{C}/\\]/gu, '')
      .trim()
      .slice(0, MOST_NAME) ?? '';
  const key = said.mediaKey ?? new Uint8Array();
  return {
    kind,
    type: TYPE.test(type) ? type : 'application/octet-stream',
    bytes: count(said.fileLength),
    fileName: name === '' ? null : name,
    seconds: count(said.seconds),
    voice: said.ptt === true,
    path: pathOf(said.directPath),
    key: key.length === KEY_BYTES ? Buffer.from(key).toString('base64') : null,
  };
}
