import { createReadStream } from 'node:fs';
import {
  type AnyMessageContent,
  generateWAMessageFromContent,
  prepareWAMessageMedia,
  proto,
  type WAMessage,
  type WASocket,
} from '@whiskeysockets/baileys';
import type { Log } from '../../../ops/telemetry/index.ts';
import { isMedia, type MediaContent, type MessageContent } from '../../../schema/domain/index.ts';
import type { Composed } from './line-port.ts';
import { quietLogger } from './quiet-logger.ts';

/** What a message of each kind looks like to WhatsApp. With line.ts the only file that runs Baileys. */

const UPLOAD_MS = 90_000;

export const jidOf = (phone: string): string => `${phone.replace(/^\+/, '')}@s.whatsapp.net`;

/** @throws what the upload throws; nothing has been sent */
export async function compose(sock: WASocket, message: Composed, log: Log): Promise<Uint8Array> {
  const { content, to, reference } = message;
  const jid = jidOf(to);
  const inner = isMedia(content) ? await uploaded(sock, content, message, log) : plain(content, message);
  if (content.kind === 'reaction' || reference === null) return encode(inner);
  const quoted: WAMessage = {
    key: { remoteJid: jid, fromMe: reference.ours, id: reference.wireId },
    message: { conversation: reference.body },
  };
  const { message: whole } = generateWAMessageFromContent(jid, inner, { userJid: sock.user?.id ?? '', quoted });
  return encode(whole ?? inner);
}

const encode = (message: proto.IMessage): Uint8Array => proto.Message.encode(proto.Message.fromObject(message)).finish();

function plain(content: Exclude<MessageContent, MediaContent>, { to, body, reference }: Composed): proto.IMessage {
  switch (content.kind) {
    case 'text':
      return { extendedTextMessage: { text: body } };
    case 'location':
      return {
        locationMessage: {
          degreesLatitude: content.latitude,
          degreesLongitude: content.longitude,
          name: content.name ?? null,
          address: content.address ?? null,
        },
      };
    case 'contact':
      return { contactMessage: { displayName: content.name, vcard: vcardOf(content.name, content.phone) } };
    case 'reaction':
      return {
        reactionMessage: {
          key: { remoteJid: jidOf(to), fromMe: reference?.ours ?? false, id: reference?.wireId ?? '' },
          text: content.emoji,
        },
      };
  }
}

/** Source: RFC 2426 (vCard 3.0), with WhatsApp's own `waid` so that the card opens a chat. */
export function vcardOf(name: string, phone: string): string {
  const text = name.replace(/[\\;,]/g, (mark) => `\\${mark}`).replace(/\r?\n/g, ' ');
  const digits = phone.replace(/^\+/, '');
  return `BEGIN:VCARD\nVERSION:3.0\nN:;${text};;;\nFN:${text}\nTEL;type=CELL;type=VOICE;waid=${digits}:${phone}\nEND:VCARD`;
}

async function uploaded(sock: WASocket, content: MediaContent, { body, media }: Composed, log: Log): Promise<proto.IMessage> {
  if (media === undefined) throw new Error('media without a file');
  const from = { stream: createReadStream(media.file) };
  const caption = body === '' ? {} : { caption: body };
  // null, not absent: what is not given is not worked out here, by libraries that read foreign files
  const none = null as unknown as undefined;
  const mimetype = media.type;
  const asked = {
    image: { image: from, mimetype, jpegThumbnail: none, ...caption },
    video: { video: from, mimetype, jpegThumbnail: none, ...caption },
    audio: {
      audio: from,
      mimetype: mimetype === 'audio/ogg' ? 'audio/ogg; codecs=opus' : mimetype,
      ptt: content.voice === true,
      seconds: none,
      waveform: none,
    },
    document: { document: from, mimetype, fileName: content.fileName ?? nameOf(content.url), ...caption },
  }[content.kind];
  return prepareWAMessageMedia(asked as AnyMessageContent as Parameters<typeof prepareWAMessageMedia>[0], {
    upload: sock.waUploadToServer,
    logger: quietLogger(log),
    mediaUploadTimeoutMs: UPLOAD_MS,
  });
}

function nameOf(url: string): string {
  const last = new URL(url).pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(last) || 'file';
  } catch {
    return last || 'file';
  }
}
