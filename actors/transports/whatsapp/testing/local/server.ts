import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type BinaryNode, getBinaryNodeChild, getBinaryNodeChildren, jidDecode, type proto } from '@whiskeysockets/baileys';
import { WebSocketServer } from 'ws';
import { type Account, addCompanion, bundleOf, type Companion, createAccount, push, seconds, sendTo, welcome } from './account.ts';
import { answerTo, type Standing, standingNews } from './answers.ts';
import { createDelivery, type Manners } from './delivery.ts';
import { createLinker, type Linking, streamError } from './linker.ts';
import { createMediaServer, type MediaServer } from './media.ts';
import { type ServerSocket, serve } from './socket.ts';

/**
 * A WhatsApp-shaped server on loopback, for tests and demos: the real Noise handshake, linking by QR code and by pairing code with
 * properly signed identities, the restart after it, logins that check the Noise key, prekeys, Signal sessions with phones that decrypt
 * what they get, acks and errors, receipts, stream errors, messages kept for devices that are away.
 * Owns: the accounts, in memory. What it does not know is answered with an empty result. Not a copy of WhatsApp: it is what Baileys
 * 7.0.0-rc14 needs, and what a test wants to see refused.
 */
export interface WhatsappServer {
  /** for WHATSAPP_URL */
  readonly url: string;
  readonly manners: Manners;
  readonly standing: Standing;
  readonly media: MediaServer;
  /** what came; `ports`: the other side's, of every connection here and to the media server */
  readonly seen: {
    connects: number;
    logins: number;
    connecting: number;
    mostConnecting: number;
    canaries: number;
    readonly ports: number[];
  };
  /** the account of this number (E.164), made when first named */
  account(phone: string): Account;
  /** the phone scans a QR code; resolves when the device has confirmed its identity */
  scan(phone: string, qr: string): Promise<Companion>;
  /** a person types a pairing code on the phone */
  typeCode(phone: string, code: string): Promise<Companion>;
  /** the phone scans, but the account wants a passkey before it links anything */
  demandPasskey(qr: string): void;
  /** links a device without a pairing: its creds must name what this returns */
  link(phone: string, noiseKey: Uint8Array): Companion;
  /** a contact writes to the account's devices; the id is the message's */
  say(from: string, to: string, text: string, options?: { readonly id?: string }): Promise<string>;
  /** a contact sends something else than a text */
  deliver(from: string, to: string, message: proto.IMessage): Promise<string>;
  receipt(to: Companion, from: string, ids: readonly string[], type: 'delivered' | 'read'): void;
  /** ends the device's connection with a stream error (515, 401, 440, 503, any code) */
  streamError(companion: Companion, code: number): void;
  /** cuts the wire of a device */
  cut(companion: Companion): void;
  /** tells a device, unasked, how its account stands (`standing`) */
  tellStanding(companion: Companion): void;
  /** removes the device from its account, as a person does on the phone */
  unlink(companion: Companion): void;
  /** devices logged in right now */
  online(): readonly Companion[];
  close(): Promise<void>;
}

const REFS = 6;
const isCanary = (node: BinaryNode): boolean => node.attrs['xmlns'] === 'encrypt' && getBinaryNodeChild(node, 'count') !== undefined;

export async function startServer(port = 0): Promise<WhatsappServer> {
  const accounts = new Map<string, Account>();
  const lids = new Map<string, Account>();
  const standing: Standing = { lockedUntil: 0, newChatsUsed: 0, newChatsTotal: 1000, newChatsEnd: 0 };
  const manners: Manners = {
    refusals: [],
    absent: new Set(),
    deafTo: new Set(),
    uploadAgain: () => null,
    answer: () => ({ kind: 'ok' }),
    refs: REFS,
  };
  const seen: WhatsappServer['seen'] = { connects: 0, logins: 0, connecting: 0, mostConnecting: 0, canaries: 0, ports: [] };
  const came = ({ remotePort }: { readonly remotePort?: number | undefined }): void => void seen.ports.push(remotePort ?? 0);
  const media = createMediaServer(came);
  let peers = 0;

  const account = (phone: string): Account => {
    const user = phone.replace(/^\+/, '');
    let found = accounts.get(user);
    if (found === undefined) {
      found = createAccount(phone);
      accounts.set(user, found);
      lids.set(jidDecode(found.lid)?.user ?? '', found);
    }
    return found;
  };
  const accountOf = (jid: string): Account | undefined => {
    const decoded = jidDecode(jid);
    if (decoded === undefined || manners.absent.has(`+${decoded.user}`)) return undefined;
    return decoded.server === 'lid' ? lids.get(decoded.user) : account(`+${decoded.user}`);
  };
  const delivery = createDelivery({ accountOf, manners });
  const linker = createLinker({ account, manners });

  const login = (socket: ServerSocket, payload: proto.ClientPayload, noiseKey: string): Companion | undefined => {
    const companion = accounts.get(String(payload.username))?.companions.get(payload.device ?? 0);
    if (companion === undefined || companion.noiseKey !== noiseKey) {
      socket.end({ tag: 'failure', attrs: { reason: '401' } });
      return undefined;
    }
    companion.link?.end(streamError(440));
    companion.link = socket;
    companion.frozen = false;
    companion.mute = false;
    seen.logins += 1;
    socket.send({ tag: 'success', attrs: { lid: companion.account.lid.replace('@', `:${companion.device}@`), t: seconds() } });
    for (const node of companion.pending.values()) socket.send({ ...node, attrs: { ...node.attrs, offline: '0' } });
    socket.send({ tag: 'ib', attrs: {}, content: [{ tag: 'offline', attrs: { count: String(companion.pending.size) } }] });
    return companion;
  };
  const stanza = async (companion: Companion, node: BinaryNode): Promise<void> => {
    if (companion.frozen) return;
    if (node.tag === 'ack' || node.tag === 'receipt') {
      const item = getBinaryNodeChildren(getBinaryNodeChild(node, 'list'), 'item');
      for (const id of [node.attrs['id'], ...item.map(({ attrs }) => attrs['id'])]) companion.pending.delete(id ?? '');
      return node.tag === 'receipt' ? delivery.receiptFrom(companion, node) : undefined;
    }
    if (node.tag === 'message') return delivery.message(companion, node);
    if (node.tag !== 'iq' || node.attrs['type'] === 'result') return;
    if (isCanary(node)) seen.canaries += 1;
    if (manners.deafTo.has(node.attrs['xmlns'] ?? '')) return;
    if (getBinaryNodeChild(node, 'remove-companion-device') !== undefined) return unlink(companion);
    companion.link?.send(await answerTo({ accountOf, standing, mediaHost: media.host }, companion, node));
    if (companion.keys !== undefined && !companion.welcomed) {
      companion.welcomed = true;
      for (const message of welcome()) {
        await sendPeer(companion, message);
      }
    }
  };
  const sendPeer = async (companion: Companion, message: proto.IMessage): Promise<void> => {
    const { account: owner } = companion;
    const { type, ciphertext } = await owner.party.encrypt(companion.jid, message, () => bundleOf(companion));
    push(companion, {
      tag: 'message',
      attrs: { from: owner.jid, id: `PEER${++peers}`, t: seconds(), type: 'text', category: 'peer' },
      content: [{ tag: 'enc', attrs: { v: '2', type }, content: ciphertext }],
    });
  };
  const unlink = (companion: Companion): void => {
    companion.account.companions.delete(companion.device);
    companion.link?.end(streamError(401));
    companion.link = undefined;
  };

  const http = createServer((_request, response) => response.writeHead(404).end());
  http.on('connection', came);
  const sockets = new WebSocketServer({ server: http });
  sockets.on('connection', (raw) => {
    let companion: Companion | undefined;
    let linking: Linking | undefined;
    let own: ServerSocket | undefined;
    seen.connects += 1;
    seen.connecting += 1;
    seen.mostConnecting = Math.max(seen.mostConnecting, seen.connecting);
    let counted = true;
    const settled = (): void => {
      if (counted) seen.connecting -= 1;
      counted = false;
    };
    serve(raw, {
      hello(socket, payload, noiseKey) {
        settled();
        own = socket;
        const refusal = manners.refusals.shift();
        if (refusal !== undefined) return socket.end({ tag: 'failure', attrs: { reason: String(refusal) } });
        if (payload.devicePairingData == null) companion = login(socket, payload, noiseKey);
        else linking = linker.offer(socket, payload, noiseKey);
      },
      async stanza(node) {
        if (linking !== undefined) linker.stanza(linking, node);
        else if (companion !== undefined && companion.link === own) await stanza(companion, node);
      },
      closed() {
        settled();
        if (companion?.link === own && companion !== undefined) companion.link = undefined;
        if (linking !== undefined) linker.gone(linking);
      },
    });
  });
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));

  return {
    url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}/ws/chat`,
    manners,
    standing,
    media,
    seen,
    account,
    scan: linker.scan,
    typeCode: linker.typeCode,
    demandPasskey: linker.demandPasskey,
    link(phone, noiseKey) {
      return addCompanion(account(phone), Buffer.from(noiseKey).toString('base64'));
    },
    say: (from, to, text, options = {}) => sendTo(account(to), account(from), { conversation: text }, {}, options.id),
    deliver: (from, to, message) => sendTo(account(to), account(from), message),
    receipt: (to, from, ids, type) => delivery.receipt(to, account(from).jid, ids, type),
    streamError: (companion, code) => companion.link?.end(streamError(code)),
    cut(companion) {
      (companion.link as ServerSocket | undefined)?.cut();
    },
    unlink,
    tellStanding(companion) {
      for (const [op, data] of standingNews(standing)) {
        const update: BinaryNode = { tag: 'update', attrs: { op_name: op }, content: Buffer.from(JSON.stringify({ data })) };
        push(companion, {
          tag: 'notification',
          attrs: { from: 's.whatsapp.net', type: 'mex', id: `MEX${++peers}`, t: seconds() },
          content: [update],
        });
      }
    },
    online: () => [...accounts.values()].flatMap((one) => [...one.companions.values()].filter(({ link }) => link !== undefined)),
    async close() {
      for (const client of sockets.clients) client.terminate();
      await media.close();
      await new Promise<void>((resolve) => sockets.close(() => resolve()));
      await new Promise<void>((resolve) => http.close(() => resolve()));
    },
  };
}
