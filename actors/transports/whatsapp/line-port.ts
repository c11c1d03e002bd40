import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import type { FlotillaError, MessageContent, NewChats, ReceivedMedia } from '../../../schema/domain/index.ts';
import type { DeviceSession } from '../../sessions/index.ts';
import type { BoundedMap } from './bounded-map.ts';
import type { WantedMedia } from './media-again.ts';
import type { ReachOut } from './reach-out.ts';
import type { ServerSettings } from './server-address.ts';
import type { HttpProxy, ProxyFault } from './tunnel.ts';
import type { SentMessage } from './wire-ids.ts';

/** New chats as WhatsApp counts them. */
export type Counted = Omit<NewChats, 'at'>;

/** One socket to WhatsApp: what device-connection.ts needs of Baileys, and all it knows of it. line.ts is the real one. */
export interface Line {
  /**
   * Writes one message. `gate` is asked while it is prepared, the last time right before it is written, when what it was encrypted with is
   * stored; false stops it, no byte leaves. `leaving` is called after that last yes: from then on bytes may have left. Never rejects.
   */
  send(message: LineMessage, gate: () => boolean, leaving: () => void): Promise<LineAnswer>;
  /** makes content ready to be sent: the bytes for `LineMessage.wire`; uploads its media. @throws when that fails; nothing was sent */
  compose(message: Composed): Promise<Uint8Array>;
  /** closes without logging out; resolves when the socket is closed (a dead peer takes long). No connection events afterwards. */
  end(): Promise<void>;
  /** asks for a code to type on the phone with this number (E.164), instead of a QR code; after the first `qr` only. @throws when the socket went */
  requestCode(phone: string): Promise<string>;
  /** may the account start new chats? Asks WhatsApp. @throws when it does not say */
  askReachOut(): Promise<ReachOut>;
  /** how many new chats are left? Asks WhatsApp; null = it did not say */
  askNewChats(): Promise<Counted | null>;
  /** a cheap query that WhatsApp must answer; resolves with its answer, good or bad. @throws when the socket went */
  probe(): Promise<void>;
  /** asks the phone to upload a received file again; resolves with its new path. @throws MediaGone; when the socket went */
  askMediaAgain(wanted: WantedMedia): Promise<string | null>;
  /** is this number (E.164) on WhatsApp? Asks WhatsApp; null = it did not say */
  isOnWhatsApp(phone: string): Promise<boolean | null>;
}

export interface LineAnswer {
  readonly written: boolean;
  /** is the socket still open */
  readonly open: boolean;
}

export interface LineMessage {
  readonly wireId: string;
  /** E.164 */
  readonly to: string;
  readonly body: string;
  /** what `compose` made; absent = the text alone */
  readonly wire?: Uint8Array;
}

/** The message that another answers or reacts to. */
export interface Reference {
  readonly wireId: string;
  /** sent by this account */
  readonly ours: boolean;
  readonly body: string;
}

export interface Composed {
  readonly content: MessageContent;
  /** E.164 */
  readonly to: string;
  readonly body: string;
  readonly reference: Reference | null;
  /** the file of media, and its type */
  readonly media?: { readonly file: string; readonly type: string };
}

export interface InboundText {
  readonly id: string;
  /** E.164; the LID JID when the number is not known */
  readonly from: string;
  readonly fromLid: string | null;
  readonly body: string;
  readonly media?: ReceivedMedia | null;
  /** wall ms */
  readonly at: number;
}

export interface LineEvents {
  /** logged in; `jid` is the device's own */
  opened(jid: string): void;
  /** the socket is gone, once; `code` null when the server said none; `fault`: it never was, for want of a way through the device's proxy */
  closed(code: number | null, fault?: ProxyFault): void;
  /** something came; `unasked`: a receipt, a message or a notification, which WhatsApp sends by itself */
  frame(unasked: boolean): void;
  /** a QR code to show, alive for `lifeMs` */
  qr(text: string, lifeMs: number): void;
  /** the phone accepts the pairing as `jid`; false refuses it, then nothing is linked. The server asks for a restart next. */
  linked(jid: string): boolean;
  /** the account wants a passkey before it links a device: this library cannot give one */
  passkeyDemanded(): void;
  /** WhatsApp said whether the account may start new chats */
  reachOut(standing: ReachOut): void;
  /** WhatsApp said by itself how many new chats are left */
  newChats(chats: Counted): void;
  /** `creds` changed; it has been changed in place */
  credsChanged(): void;
  /** the server's answer to a message; `error` null = taken */
  acknowledged(wireId: string, error: string | null): void;
  receipt(wireId: string, state: 'SENT' | 'DELIVERED' | 'READ'): void;
  /** the number (E.164) and the LID (JID without a device) are the same person's */
  identity(phone: string, lid: string): void;
  /** WhatsApp is told of it once this has resolved, and delivers it again if that does not happen before the socket is over */
  inbound(message: InboundText): Promise<void>;
  /** so many messages have come behind one that is not stored yet */
  crowded(behind: number): void;
  /** a session write was refused: another owner has the device */
  fenced(error: FlotillaError): void;
}

export interface LineOptions {
  readonly clock: Clock;
  readonly server: ServerSettings;
  /** the only way out; null = none, it goes straight */
  readonly proxy: HttpProxy | null;
  /** a.b.c; undefined = the one Baileys ships */
  readonly version: string | undefined;
  /** changed in place by the socket */
  readonly creds: Record<string, unknown>;
  readonly session: DeviceSession;
  readonly log: Log;
  /** how long a key write may be tried again before it fails; below the life of a lease */
  readonly keyWriteTries: { readonly tries: number; readonly delayMs: number };
  readonly retryCounts: BoundedMap;
  readonly recipientDevices: BoundedMap;
  findSent(wireId: string): Promise<SentMessage | null>;
  /** time between pings */
  readonly keepAliveMs: number;
  /** life of every QR code, for tests; default: 60 s for the first, 20 s for the others */
  readonly qrLifeMs: number | undefined;
}

export interface LineFactory {
  /** @throws FlotillaError terminal WHATSAPP_FORBIDDEN */
  openLine(options: LineOptions, events: LineEvents): Line;
  /** creds of a device that was never paired */
  freshCreds(): Record<string, unknown>;
}
