import {
  type BinaryNode,
  cleanMessage,
  decodeMessageNode,
  isJidBroadcast,
  isJidGroup,
  isJidNewsletter,
  isLidUser,
  isPnUser,
  jidDecode,
  jidNormalizedUser,
  normalizeMessageContent,
  proto,
  unpadRandomMax16,
  type WAMessage,
} from '@whiskeysockets/baileys';
import type { InboundText } from './line-port.ts';
import { mediaOf } from './received-media.ts';

/**
 * Messages of people, from the wire to the ledger. Baileys 7.0.0-rc14 decrypts a message, sends its receipt, and only then tells us of it: one that could not be stored
 * then is lost, because WhatsApp does not deliver again what has its receipt. So it is stored when it has been decrypted, and the receipt waits.
 * Owns: which message a ciphertext belongs to, what was stored and Baileys has yet to tell. Does not own: the store. Called by line.ts and ratchets.ts, one per socket.
 *
 * A1. The receipt of a message goes out after it is stored, or not at all: `opened` resolves after `store` has.
 * A2. Baileys handles one message at a time: what comes behind one that is not stored waits inside Baileys, and is counted.
 * A3. So is what the account's phone sends in place of a message that this device could not read, in a message of its own.
 */
export interface Incoming {
  /** a stanza has come, before anybody handles it */
  came(node: BinaryNode): void;
  /** a ciphertext has been decrypted; nothing of that is stored, WhatsApp has no answer */
  opened(ciphertext: Uint8Array, plain: Uint8Array): Promise<void>;
  /** Baileys has handled a message; what did not pass `opened` is stored now */
  told(message: WAMessage): void;
}

export function createIncoming(deps: {
  /** the device's own JIDs */
  me(): { readonly id?: string; readonly lid?: string };
  /** JID with a number; null = not known */
  numberOf(lid: string): Promise<string | null>;
  /** what Baileys knew of a message when it asked the phone for it */
  askedFor(id: string): Promise<WAMessage | null>;
  /** resolves once it is stored. @throws when the socket is over */
  store(message: InboundText): Promise<void>;
  /** so many messages have come behind the one that is being stored */
  crowded(behind: number): void;
}): Incoming {
  const nodes = new WeakMap<Uint8Array, BinaryNode>();
  const stored = new Set<string>();
  let storing = false;
  let behind = 0;

  const messageOf = (node: BinaryNode, plain: Uint8Array): WAMessage | null => {
    const { id = '', lid = '' } = deps.me();
    try {
      const { fullMessage } = decodeMessageNode(node, id, lid);
      const message = proto.Message.decode(unpadRandomMax16(plain));
      fullMessage.message = message.deviceSentMessage?.message ?? message;
      cleanMessage(fullMessage, id, lid);
      return fullMessage;
    } catch {
      // Baileys finds the same and answers for it
      return null;
    }
  };
  // A3
  const inPlaceOf = async ({ key, message }: WAMessage): Promise<readonly WAMessage[]> => {
    const response = normalizeMessageContent(message)?.protocolMessage?.peerDataOperationRequestResponseMessage;
    if (key.fromMe !== true || response == null) return [];
    const found: WAMessage[] = [];
    for (const { placeholderMessageResendResponse: again } of response.peerDataOperationResult ?? []) {
      const info = decoded(again?.webMessageInfoBytes);
      if (info === null) continue;
      const known = await deps.askedFor(info.key.id ?? '');
      found.push({
        ...(known ?? info),
        message: info.message ?? null,
        messageTimestamp: info.messageTimestamp ?? known?.messageTimestamp ?? null,
      });
    }
    return found;
  };
  return {
    came(node) {
      if (node.tag !== 'message' || !Array.isArray(node.content) || isIgnored(node.attrs['from'] ?? '')) return;
      for (const { tag, content } of node.content) {
        if (tag === 'enc' && content instanceof Uint8Array) nodes.set(content, node);
      }
      if (!storing) return;
      behind += 1;
      deps.crowded(behind);
    },
    async opened(ciphertext, plain) {
      const node = nodes.get(ciphertext);
      const message = node === undefined ? null : messageOf(node, plain);
      if (message === null) return;
      [storing, behind] = [true, 0];
      try {
        for (const one of [message, ...(await inPlaceOf(message))]) {
          const text = await readText(deps.numberOf, one);
          if (text === null) continue;
          await deps.store(text);
          stored.add(text.id);
        }
      } finally {
        storing = false;
      }
    },
    told(message) {
      if (stored.delete(message.key.id ?? '')) return;
      const late = async (): Promise<void> => {
        const text = await readText(deps.numberOf, message);
        if (text !== null) await deps.store(text);
      };
      // the socket is over: who stores it goes on by itself
      late().catch(() => {});
    },
  };
}

function decoded(bytes: Uint8Array | null | undefined): WAMessage | null {
  try {
    const info = bytes == null ? null : proto.WebMessageInfo.decode(bytes);
    return info?.key == null ? null : (info as WAMessage);
  } catch {
    // Baileys says so
    return null;
  }
}

/** Groups, status, channels: not this product's business; ignored ones are not even decrypted. */
export function isIgnored(jid: string): boolean {
  return isJidGroup(jid) === true || isJidBroadcast(jid) === true || isJidNewsletter(jid) === true;
}

/** Null for what is not a message of a person to this device. A file counts with its caption, or with an empty body. */
async function readText(numberOf: (lid: string) => Promise<string | null>, message: WAMessage): Promise<InboundText | null> {
  const { key } = message;
  const content = normalizeMessageContent(message.message);
  if (key.fromMe === true || key.id == null || key.remoteJid == null || isIgnored(key.remoteJid) || content == null) return null;
  if (content.protocolMessage != null || content.reactionMessage != null) return null;
  const jids = [key.remoteJid, key.remoteJidAlt].map((jid) => (jid == null ? '' : jidNormalizedUser(jid)));
  const lid = jids.find((jid) => isLidUser(jid) === true) ?? null;
  const number = jids.find((jid) => isPnUser(jid) === true) ?? (lid === null ? null : await numberOf(lid));
  const user = number === null ? undefined : jidDecode(number)?.user;
  if (user === undefined && lid === null) return null;
  return {
    id: key.id,
    from: user === undefined ? `${lid}` : `+${user}`,
    fromLid: lid,
    body: storable(
      content.conversation ??
        content.extendedTextMessage?.text ??
        content.imageMessage?.caption ??
        content.videoMessage?.caption ??
        content.documentMessage?.caption ??
        '',
    ),
    media: mediaOf(content, key.remoteJid),
    at: Number(message.messageTimestamp ?? 0) * 1000,
  };
}

/** Postgres takes no zero character, and a message that it refuses would never be stored. */
const storable = (text: string): string => text.replaceAll('\0', '');
