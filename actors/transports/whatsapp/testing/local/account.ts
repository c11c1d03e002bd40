import { randomBytes, randomUUID } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { type BinaryNode, proto, S_WHATSAPP_NET } from '@whiskeysockets/baileys';
import { createParty, type Party } from './party.ts';

/** A linked device of an account, as the server knows it. */
export interface Companion {
  readonly account: Account;
  readonly device: number;
  /** user:device@s.whatsapp.net */
  readonly jid: string;
  /** base64 of the Noise key it paired with: a login with another one is not this device */
  readonly noiseKey: string;
  /** what it uploaded; taken from the front */
  keys: { readonly registration: Uint8Array; readonly identity: Uint8Array; signed: BinaryNode; readonly list: BinaryNode[] } | undefined;
  /** what it has not confirmed yet, by id: repeated at the next login */
  readonly pending: Map<string, BinaryNode>;
  /** the open socket */
  link: { send(node: BinaryNode): void; end(error: BinaryNode | undefined): void } | undefined;
  /** the phone has sent its history */
  welcomed: boolean;
  /** the server hears nothing and says nothing, the socket stays open */
  frozen: boolean;
  /** the server answers and sends nothing by itself: it keeps that for the next login */
  mute: boolean;
}

export interface Arrived {
  readonly id: string;
  /** JID of the sending device */
  readonly from: string;
  readonly text: string;
  readonly message: proto.Message;
}

/** One WhatsApp account: a phone with a number, its linked devices, and what came to it. */
export interface Account {
  /** E.164 */
  readonly phone: string;
  readonly user: string;
  readonly jid: string;
  readonly lid: string;
  readonly party: Party;
  readonly companions: Map<number, Companion>;
  nextDevice: number;
  /** messages that the phone decrypted, oldest first; one that came twice stands here twice */
  readonly arrived: Arrived[];
  /** messages it could not decrypt, with what libsignal said */
  readonly unreadable: { readonly id: string; readonly from: string; readonly why: string }[];
  /** receipts that its devices sent */
  readonly receiptsSent: { readonly id: string; readonly type: string; readonly to: string }[];
  /** what the phone does with a message it could read */
  manner: 'silent' | 'delivers' | 'reads';
}

export function createAccount(phone: string): Account {
  const user = phone.replace(/^\+/, '');
  return {
    phone,
    user,
    jid: `${user}@${S_WHATSAPP_NET.replace(/^@/, '')}`,
    // a number of its own, as real ones are
    lid: `9${user}7@lid`,
    party: createParty(),
    companions: new Map(),
    nextDevice: 1,
    arrived: [],
    unreadable: [],
    receiptsSent: [],
    manner: 'delivers',
  };
}

export function addCompanion(account: Account, noiseKey: string): Companion {
  const device = account.nextDevice++;
  const companion: Companion = {
    account,
    device,
    jid: `${account.user}:${device}@s.whatsapp.net`,
    noiseKey,
    keys: undefined,
    pending: new Map(),
    link: undefined,
    welcomed: false,
    frozen: false,
    mute: false,
  };
  account.companions.set(device, companion);
  return companion;
}

/** Sends now if it can, and again at every login until it is confirmed. */
export function push(companion: Companion, node: BinaryNode): void {
  const { id } = node.attrs;
  if (id !== undefined) companion.pending.set(id, node);
  if (!companion.frozen && !companion.mute) companion.link?.send(node);
}

export const seconds = (): string => String(Math.floor(Date.now() / 1000));

/** What a phone sends to a device it has just linked: a key of the app state and a first piece of history. */
export function welcome(): readonly proto.IMessage[] {
  const { ProtocolMessage } = proto.Message;
  const history = proto.HistorySync.encode({ syncType: proto.HistorySync.HistorySyncType.INITIAL_BOOTSTRAP, progress: 100 }).finish();
  return [
    {
      protocolMessage: {
        type: ProtocolMessage.Type.APP_STATE_SYNC_KEY_SHARE,
        appStateSyncKeyShare: {
          keys: [
            {
              keyId: { keyId: randomBytes(6) },
              keyData: { keyData: randomBytes(32), fingerprint: { rawId: 1, currentIndex: 0, deviceIndexes: [0] }, timestamp: Date.now() },
            },
          ],
        },
      },
    },
    {
      protocolMessage: {
        type: ProtocolMessage.Type.HISTORY_SYNC_NOTIFICATION,
        historySyncNotification: {
          syncType: proto.HistorySync.HistorySyncType.INITIAL_BOOTSTRAP,
          chunkOrder: 1,
          progress: 100,
          initialHistBootstrapInlinePayload: deflateSync(history),
        },
      },
    },
  ];
}

/** A message of `from` to each linked device of `to`, encrypted by its phone. `id` again = a repeated message. */
export async function sendTo(
  to: Account,
  from: Account,
  message: proto.IMessage,
  attrs: Readonly<Record<string, string>> = {},
  id = `3A${randomUUID().replaceAll('-', '').slice(0, 18).toUpperCase()}`,
): Promise<string> {
  for (const companion of to.companions.values()) {
    const { type, ciphertext } = await from.party.encrypt(companion.jid, message, () => bundleOf(companion));
    push(companion, {
      tag: 'message',
      attrs: { from: from.jid, id, t: seconds(), type: 'text', notify: from.user, sender_lid: from.lid, ...attrs },
      content: [{ tag: 'enc', attrs: { v: '2', type }, content: ciphertext }],
    });
  }
  return id;
}

/** What somebody needs to write to this device; takes one of its one-time keys. */
export function bundleOf(companion: Companion, jid = companion.jid): BinaryNode | undefined {
  const { keys } = companion;
  if (keys === undefined) return undefined;
  const preKey = keys.list.shift();
  return {
    tag: 'user',
    attrs: { jid },
    content: [
      { tag: 'registration', attrs: {}, content: keys.registration },
      { tag: 'identity', attrs: {}, content: keys.identity },
      keys.signed,
      ...(preKey === undefined ? [] : [preKey]),
    ],
  };
}
