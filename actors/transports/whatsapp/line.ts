import type { Agent as HttpsAgent } from 'node:https';
import {
  type AuthenticationCreds,
  type BinaryNode,
  DEFAULT_CONNECTION_CONFIG,
  initAuthCreds,
  isLidUser,
  isPnUser,
  jidDecode,
  jidNormalizedUser,
  makeWASocket,
  type NewChatMessageCapInfo,
  proto,
  S_WHATSAPP_NET,
  type SignalDataSet,
  type SignalDataTypeMap,
  type SignalKeyStore,
  type UserFacingSocketConfig,
  type WAMessage,
  type WASocket,
  type WAVersion,
} from '@whiskeysockets/baileys';
import type { DeviceSession } from '../../sessions/index.ts';
import { compose, jidOf } from './compose.ts';
import { createIncoming, type Incoming, isIgnored } from './incoming.ts';
import type { Counted, LineEvents, LineFactory, LineMessage, LineOptions } from './line-port.ts';
import { MediaGone, type WantedMedia } from './media-again.ts';
import { withSharedStorage } from './one-storage.ts';
import { quietLogger } from './quiet-logger.ts';
import { createRatchets } from './ratchets.ts';
import type { ReachOut } from './reach-out.ts';
import { createRoutes } from './routes.ts';
import { serverAddress } from './server-address.ts';
import { createStoreWait, type StoreWait } from './store-wait.ts';
import type { ProxyFault } from './tunnel.ts';

/** Baileys' socket. With compose.ts and incoming.ts the only file that runs Baileys; loaded by library.ts, after the console is silent. */

/** Baileys' own: the first QR code lives this long, the later ones 20 s */
const FIRST_QR_MS = 60_000;
const LATER_QR_MS = 20_000;

/** stanzas that answer nothing; a `receipt` is another device's word of a message, the server's own answer is an `ack` */
const UNASKED: ReadonlySet<string> = new Set(['receipt', 'message', 'notification', 'call']);

export const openLine: LineFactory['openLine'] = (options, events) => {
  const address = serverAddress(options.server, options.proxy);
  let fault: ProxyFault | undefined;
  const { agent, fetchAgent, dispatcher } = createRoutes(address, options.proxy, (why) => {
    fault = why;
  });
  const wait = createStoreWait({ clock: options.clock, log: options.log, fenced: (error) => events.fenced(error) });
  const incoming = createIncoming({
    me: () => (options.creds as { me?: { id?: string; lid?: string } }).me ?? {},
    numberOf: (lid) => sock.signalRepository.lidMapping.getPNForLID(lid).catch(() => null),
    askedFor: async (id) => {
      const known: unknown = await sock.placeholderResendCache.get(id);
      return typeof known === 'object' ? (known as WAMessage | null) : null;
    },
    store: (message) => wait.hold(events.inbound(message)),
    crowded: (behind) => events.crowded(behind),
  });
  const ratchets = createRatchets(keyStore(options.session), wait, incoming.opened);
  const config: UserFacingSocketConfig = {
    ...(address === undefined ? {} : { waWebSocketUrl: address }),
    ...(agent === undefined ? {} : { agent: agent as HttpsAgent }),
    ...(fetchAgent === undefined ? {} : { fetchAgent }),
    // what Baileys fetches by itself
    ...(dispatcher === undefined ? {} : { options: { dispatcher } as unknown as RequestInit }),
    version: (options.version?.split('.').map(Number) as WAVersion | undefined) ?? DEFAULT_CONNECTION_CONFIG.version,
    auth: { creds: options.creds as unknown as AuthenticationCreds, keys: ratchets.keys },
    makeSignalRepository: ratchets.watch(DEFAULT_CONNECTION_CONFIG.makeSignalRepository),
    logger: quietLogger(options.log),
    // else the phone gets no notifications any more
    markOnlineOnConnect: false,
    syncFullHistory: false,
    emitOwnEvents: false,
    generateHighQualityLinkPreview: false,
    // the ledger answers for what was sent: no copies of it beside
    enableRecentMessageCache: false,
    keepAliveIntervalMs: options.keepAliveMs,
    ...(options.qrLifeMs === undefined ? {} : { qrTimeout: options.qrLifeMs }),
    transactionOpts: { maxCommitRetries: options.keyWriteTries.tries, delayBetweenTriesMs: options.keyWriteTries.delayMs },
    msgRetryCounterCache: options.retryCounts,
    userDevicesCache: options.recipientDevices,
    shouldIgnoreJid: (jid) => isIgnored(jid),
    getMessage: async (key) => {
      const found = key.id == null ? null : await options.findSent(key.id);
      if (found === null) return undefined;
      return found.wire === undefined ? { conversation: found.body } : proto.Message.decode(found.wire);
    },
    patchMessageBeforeSending: (message) => {
      ratchets.look();
      return message;
    },
  };
  const sock = withSharedStorage(() => makeWASocket(config));
  listen(sock, events, options, { incoming, wait, fault: () => fault });
  return {
    send: async (message, gate, leaving) => {
      try {
        await ratchets.send(gate, leaving, () => write(sock, message));
      } catch {
        return { written: false, open: sock.ws.isOpen };
      }
      // Baileys has asked for the recipient's LID by now and answers from memory
      void tellIdentity(sock, jidOf(message.to), events);
      return { written: true, open: true };
    },
    compose: (message) => compose(sock, message, options.log),
    end: async () => {
      sock.ev.removeAllListeners('connection.update');
      // closing from here on: what waits for a store can say nothing wrong any more
      const ended = sock.end(undefined);
      wait.end();
      await ended;
    },
    probe: () => probe(sock),
    askMediaAgain: (wanted) => askMediaAgain(sock, wanted),
    askReachOut: async () => reachOutOf(await sock.fetchAccountReachoutTimelock()),
    askNewChats: async () => newChatsOf(await sock.fetchNewChatMessageCap()),
    isOnWhatsApp: async (phone) => (await sock.onWhatsApp(phone))?.some(({ exists }) => exists === true) ?? null,
    requestCode: (phone) => sock.requestPairingCode(phone.replace(/^\+/, '')),
  };
};

export const freshCreds: LineFactory['freshCreds'] = () => initAuthCreds() as unknown as Record<string, unknown>;

/** Asks how many one-time keys the server holds for this device: it has to look that up, unlike the answer to a ping. */
async function probe(sock: WASocket): Promise<void> {
  const id = sock.generateMessageTag();
  const answered = new Promise<void>((resolve) => sock.ws.once(`TAG:${id}`, () => resolve()));
  const query = { id, xmlns: 'encrypt', type: 'get', to: S_WHATSAPP_NET };
  await sock.sendNode({ tag: 'iq', attrs: query, content: [{ tag: 'count', attrs: {} }] });
  await answered;
}

const NOT_FOUND = 404;

async function askMediaAgain(sock: WASocket, { id, chat, kind, key }: WantedMedia): Promise<string | null> {
  const media = { mediaKey: Buffer.from(key, 'base64') };
  const message: WAMessage = {
    key: { id, remoteJid: chat, fromMe: false },
    message: { [`${kind}Message`]: media } as unknown as proto.IMessage,
  };
  try {
    await sock.updateMediaMessage(message);
  } catch (error) {
    // what the phone said; anything else is the socket's trouble
    const { message: said, output } = error as { readonly message?: unknown; readonly output?: { readonly statusCode?: unknown } };
    if (!/re-upload/.test(String(said))) throw error;
    throw new MediaGone(output?.statusCode === NOT_FOUND);
  }
  return (media as { readonly directPath?: string }).directPath ?? null;
}

async function tellIdentity(sock: WASocket, jid: string, events: LineEvents): Promise<void> {
  try {
    pairOf(jid, await sock.signalRepository.lidMapping.getLIDForPN(jid), events);
  } catch {
    // the socket went: it is told by the next message
  }
}

/** tells what belongs together: a JID with a number and one with a LID, in any form */
function pairOf(pn: string | null | undefined, lid: string | null | undefined, events: LineEvents): void {
  const number = pn == null || isPnUser(pn) !== true ? undefined : jidDecode(pn)?.user;
  const other = lid == null || isLidUser(lid) !== true ? undefined : jidNormalizedUser(lid);
  if (number !== undefined && other !== undefined) events.identity(`+${number}`, other);
}

async function write(sock: WASocket, { to, body, wireId: messageId, wire }: LineMessage): Promise<void> {
  const jid = jidOf(to);
  // linkPreview null: no page is fetched because a message names it
  if (wire === undefined) await sock.sendMessage(jid, { text: body, linkPreview: null }, { messageId });
  else await sock.relayMessage(jid, proto.Message.decode(wire), { messageId });
}

function keyStore(session: DeviceSession): SignalKeyStore {
  return {
    async get<T extends keyof SignalDataTypeMap>(type: T, ids: string[]) {
      const found = await session.get(type, ids);
      if (type === 'app-state-sync-key') {
        for (const [id, value] of Object.entries(found)) {
          found[id] = proto.Message.AppStateSyncKeyData.fromObject(value as Record<string, unknown>);
        }
      }
      return found as { [id: string]: SignalDataTypeMap[T] };
    },
    set: (data: SignalDataSet) => session.set(data),
  };
}

interface Parts {
  readonly incoming: Incoming;
  readonly wait: StoreWait;
  fault(): ProxyFault | undefined;
}

function listen(sock: WASocket, events: LineEvents, options: LineOptions, { incoming, wait, fault }: Parts): void {
  let codes = 0;
  sock.ev.on('connection.update', (update) => {
    if (update.qr !== undefined) events.qr(update.qr, options.qrLifeMs ?? (codes === 0 ? FIRST_QR_MS : LATER_QR_MS));
    if (update.qr !== undefined) codes += 1;
    // thrown into Baileys' handler before it confirms to the phone: a refused pairing is never completed
    if (update.isNewLogin === true && !events.linked(ownJid(options))) throw new Error('this pairing is refused');
    if (update.reachoutTimeLock !== undefined) events.reachOut(reachOutOf(update.reachoutTimeLock));
    if (update.connection === 'open') events.opened(ownJid(options));
    if (update.connection === 'close') {
      wait.end();
      const error = update.lastDisconnect?.error as { output?: { statusCode?: unknown } } | undefined;
      const code = error?.output?.statusCode;
      events.closed(typeof code === 'number' ? code : null, fault());
    }
  });
  sock.ev.on('message-capping.update', (info) => {
    const chats = newChatsOf(info);
    if (chats !== null) events.newChats(chats);
  });
  sock.ev.on('creds.update', () => events.credsChanged());
  // Baileys reads acks for errors only and tells nobody about the good ones
  sock.ws.on('CB:ack,class:message', (node: { attrs: Record<string, string | undefined> }) => {
    const { id, error } = node.attrs;
    if (id !== undefined) events.acknowledged(id, error ?? null);
  });
  sock.ws.on('frame', (frame: BinaryNode | Uint8Array) => {
    events.frame(!(frame instanceof Uint8Array) && UNASKED.has(frame.tag));
    if (!(frame instanceof Uint8Array)) incoming.came(frame);
  });
  sock.ws.on('CB:notification,type:passkey_prologue_request', () => events.passkeyDemanded());
  sock.ev.on('messages.update', (updates) => {
    for (const { key, update } of updates) {
      const state = stateOf(update.status);
      if (key.fromMe === true && key.id != null && state !== null) events.receipt(key.id, state);
    }
  });
  sock.ev.on('lid-mapping.update', ({ pn, lid }) => pairOf(pn, lid, events));
  sock.ev.on('messaging-history.set', ({ lidPnMappings }) => {
    for (const { pn, lid } of lidPnMappings ?? []) pairOf(pn, lid, events);
  });
  sock.ev.on('messages.upsert', ({ messages }) => {
    for (const { key } of messages) {
      pairOf(key.remoteJid, key.remoteJidAlt, events);
      pairOf(key.remoteJidAlt, key.remoteJid, events);
    }
    for (const message of messages) incoming.told(message);
  });
}

function reachOutOf(lock: { readonly isActive?: boolean; readonly timeEnforcementEnds?: Date | undefined }): ReachOut {
  return { locked: lock.isActive === true, until: lock.timeEnforcementEnds?.getTime() ?? null };
}

/** Null when nothing in it can be used: a query whose time is up answers undefined. */
function newChatsOf(info: NewChatMessageCapInfo | null | undefined): Counted | null {
  const count = (value: unknown): number | null => (value == null || !Number.isFinite(Number(value)) ? null : Number(value));
  const used = count(info?.used_quota);
  const total = count(info?.total_quota);
  const ends = count(info?.cycle_end_timestamp);
  const status = info?.capping_status;
  if (used === null && total === null && status === undefined) return null;
  const capped = status === undefined ? total !== null && total > 0 && used !== null && used >= total : String(status) === 'CAPPED';
  return { used, total, endsAt: ends === null || ends === 0 ? null : ends * 1000, capped };
}

const ownJid = (options: LineOptions): string => (options.creds as { me?: { id?: string } }).me?.id ?? '';

function stateOf(status: proto.WebMessageInfo.Status | null | undefined): 'SENT' | 'DELIVERED' | 'READ' | null {
  const { Status } = proto.WebMessageInfo;
  if (status === Status.SERVER_ACK) return 'SENT';
  if (status === Status.DELIVERY_ACK) return 'DELIVERED';
  if (status === Status.READ || status === Status.PLAYED) return 'READ';
  return null;
}
