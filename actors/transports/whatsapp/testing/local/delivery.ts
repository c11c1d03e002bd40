import { createCipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { type BinaryNode, getBinaryNodeChild, getBinaryNodeChildren, jidDecode, proto } from '@whiskeysockets/baileys';
import { type Account, type Companion, push, seconds } from './account.ts';

/** How the server treats what comes; a test changes it. */
export interface Manners {
  /** `failure` reasons of the next connections, first one first: 405, 503, 401 … */
  readonly refusals: number[];
  /** numbers (E.164) that are not on WhatsApp */
  readonly absent: Set<string>;
  /** what a message is answered with; `silent` = it never arrives anywhere and no ack comes */
  answer(message: MessageSeen): Verdict;
  /** queries that get no answer: what they are about (their `xmlns`) */
  readonly deafTo: Set<string>;
  /** what the account's phone does when a device asks it to upload a file again: its new path, or why not; null = no answer */
  uploadAgain(id: string): { readonly key: string; readonly path: string } | 'NOT_FOUND' | 'GENERAL_ERROR' | null;
  /** QR codes offered per connection */
  refs: number;
}
export interface MessageSeen {
  readonly id: string;
  /** E.164 of the chat */
  readonly to: string;
  readonly from: Companion;
  /** how often this id came from this device, this one included */
  readonly times: number;
}
export type Verdict =
  | { readonly kind: 'ok' }
  | { readonly kind: 'error'; readonly code: number }
  /** delivered, but the ack never comes */
  | { readonly kind: 'lost-ack' }
  | { readonly kind: 'silent' };

/** Carries messages from devices to phones and other devices, and receipts back. Owns: the count of each id. Called by server.ts. */
export interface Delivery {
  message(from: Companion, node: BinaryNode): Promise<void>;
  receiptFrom(from: Companion, node: BinaryNode): Promise<void>;
  receipt(to: Companion, from: string, ids: readonly string[], type: 'delivered' | 'read'): void;
}

export function createDelivery(deps: { accountOf(jid: string): Account | undefined; readonly manners: Manners }): Delivery {
  const times = new Map<string, number>();

  const receipt: Delivery['receipt'] = (to, from, ids, type) => {
    const [id = '', ...more] = ids;
    const items = more.map((one): BinaryNode => ({ tag: 'item', attrs: { id: one } }));
    const node: BinaryNode = {
      tag: 'receipt',
      attrs: { from, id, t: seconds(), ...(type === 'read' ? { type } : {}) },
      ...(items.length === 0 ? {} : { content: [{ tag: 'list', attrs: {}, content: items }] }),
    };
    // repeated at the next login until it is confirmed
    push(to, node);
  };

  /** to a phone, which decrypts it and says so */
  const toPhone = async (account: Account, from: Companion, id: string, enc: BinaryNode): Promise<void> => {
    const { type = 'msg' } = enc.attrs;
    try {
      const message = await account.party.decrypt(from.jid, type, enc.content as Uint8Array);
      // what the phone of the sender's own account hears of is a copy
      if (account === from.account) return;
      account.arrived.push({ id, from: from.jid, text: textOf(message), message });
      if (account.manner === 'silent') return;
      receipt(from, account.jid, [id], 'delivered');
      if (account.manner === 'reads') receipt(from, account.jid, [id], 'read');
    } catch (error) {
      account.unreadable.push({ id, from: from.jid, why: error instanceof Error ? error.message : String(error) });
      if (account !== from.account) await askAgain(account, from, id);
    }
  };
  const askAgain = async (account: Account, from: Companion, id: string): Promise<void> => {
    await account.party.forget(from.jid);
    const bundle = await account.party.bundle(account.jid);
    const parts = Array.isArray(bundle.content) ? bundle.content : [];
    const registration = parts.filter(({ tag }) => tag === 'registration');
    const keys: BinaryNode = { tag: 'keys', attrs: {}, content: parts.filter(({ tag }) => tag !== 'registration') };
    const retry: BinaryNode = { tag: 'retry', attrs: { v: '1', count: '1', id, t: seconds() } };
    push(from, { tag: 'receipt', attrs: { from: account.jid, id, type: 'retry', t: seconds() }, content: [retry, ...registration, keys] });
  };
  const toDevice = (companion: Companion, from: Companion, node: BinaryNode, enc: BinaryNode): void => {
    const { id = '', type = 'text' } = node.attrs;
    push(companion, { tag: 'message', attrs: { from: from.jid, id, type, t: seconds(), sender_lid: from.account.lid }, content: [enc] });
  };

  const carry = async (from: Companion, node: BinaryNode): Promise<void> => {
    const { id = '', to = '' } = node.attrs;
    const direct = getBinaryNodeChild(node, 'enc');
    const each = getBinaryNodeChildren(getBinaryNodeChild(node, 'participants'), 'to').map((one) => ({
      jid: one.attrs['jid'] ?? '',
      enc: getBinaryNodeChild(one, 'enc'),
    }));
    if (direct !== undefined) each.push({ jid: node.attrs['participant'] ?? to, enc: direct });
    for (const { jid, enc } of each) {
      const account = deps.accountOf(jid);
      if (account === undefined || enc === undefined) continue;
      const device = jidDecode(jid)?.device ?? 0;
      const companion = account.companions.get(device);
      if (device === 0) await toPhone(account, from, id, enc);
      else if (companion !== undefined) toDevice(companion, from, node, enc);
    }
  };

  return {
    async message(from, node) {
      const { id = '', to = '' } = node.attrs;
      const account = deps.accountOf(to);
      const key = `${from.jid}/${id}`;
      const count = (times.get(key) ?? 0) + 1;
      times.set(key, count);
      const verdict = deps.manners.answer({ id, to: account?.phone ?? to, from, times: count });
      if (verdict.kind === 'silent') return;
      if (verdict.kind !== 'lost-ack') {
        const error = verdict.kind === 'error' ? { error: String(verdict.code) } : {};
        from.link?.send({ tag: 'ack', attrs: { class: 'message', id, from: to, t: seconds(), ...error } });
      }
      if (verdict.kind !== 'error') await carry(from, node);
    },
    async receiptFrom(from, node) {
      if (node.attrs['type'] === 'server-error') {
        uploadAgain(from, node, deps.manners);
        return;
      }
      from.account.receiptsSent.push({ id: node.attrs['id'] ?? '', type: node.attrs['type'] ?? 'delivered', to: node.attrs['to'] ?? '' });
    },
    receipt,
  };
}

/** Source: as Baileys reads it (decodeMediaRetryNode, decryptMediaRetryData). */
function uploadAgain(from: Companion, node: BinaryNode, manners: Manners): void {
  const { id = '' } = node.attrs;
  const said = manners.uploadAgain(id);
  const rmr = getBinaryNodeChild(node, 'rmr');
  if (said === null || rmr === undefined) return;
  const answer = (content: BinaryNode): void =>
    push(from, { tag: 'notification', attrs: { from: from.account.jid, type: 'mediaretry', id, t: seconds() }, content: [rmr, content] });
  const { ResultType } = proto.MediaRetryNotification;
  if (typeof said === 'string') {
    answer({ tag: 'error', attrs: { code: String(ResultType[said]) } });
    return;
  }
  const plain = proto.MediaRetryNotification.encode({ stanzaId: id, directPath: said.path, result: ResultType.SUCCESS }).finish();
  const key = Buffer.from(hkdfSync('sha256', Buffer.from(said.key, 'base64'), Buffer.alloc(32), 'WhatsApp Media Retry Notification', 32));
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(id));
  const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  answer({
    tag: 'encrypt',
    attrs: {},
    content: [
      { tag: 'enc_p', attrs: {}, content: sealed },
      { tag: 'enc_iv', attrs: {}, content: iv },
    ],
  });
}

function textOf(message: proto.Message): string {
  return message.conversation || message.extendedTextMessage?.text || message.imageMessage?.caption || '';
}
