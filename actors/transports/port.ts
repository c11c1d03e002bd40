import type { MessageContent, ReceivedMedia, TransportKind } from '../../schema/domain/index.ts';

/** What a transport needs to know about the device it speaks for. */
export interface TransportDevice {
  readonly id: string;
  readonly tenantId: string;
  readonly epoch: number;
  /** the node that owns it */
  readonly node: string;
  /** E.164, when known */
  readonly phone: string | null;
  /** as the row has them now: it changes while the device is connected */
  readonly settings: Readonly<Record<string, unknown>>;
  /** synchronous: may this owner still cause effects? Checked in the same tick as the write, nothing awaited between. */
  canAct(): boolean;
}

export type LinkState = 'UNPAIRED' | 'PAIRING' | 'CONNECTING' | 'ONLINE' | 'OFFLINE' | 'LOGGED_OUT';

export interface TransportEvents {
  state(change: { readonly state: LinkState; readonly reason: string | null }): void;
  /** proof about a message of this device, of any attempt */
  receipt(receipt: {
    readonly messageId: string;
    readonly state: 'WRITTEN' | 'SENT' | 'DELIVERED' | 'READ';
    readonly at: number;
    /** called once the ledger has judged it; never when the process ends before */
    readonly settled?: () => void;
  }): void;
  /** resolves once the inbound message is stored; until then the transport may repeat it */
  inbound(message: {
    readonly id: string;
    readonly from: string;
    readonly fromLid: string | null;
    readonly body: string;
    readonly at: number;
    readonly media?: ReceivedMedia | null;
  }): Promise<void>;
}

export interface OutboundMessage {
  /** ledger id; the wire id is derived from it (whatsappIdOf) */
  readonly id: string;
  readonly attempt: number;
  /** E.164 */
  readonly to: string;
  readonly body: string;
  /** absent or null = a plain text; only `whatsapp` sends the rest, the others their body */
  readonly content?: MessageContent | null;
}

/** `settled`, where there is one, is called once the ledger has judged the outcome; never when the process ends before. */
export type SendOutcome =
  /** the provider acknowledged the message */
  | { readonly kind: 'sent'; readonly at: number; readonly settled?: () => void }
  /** refused, nothing was sent. `retry` false: FAILED */
  | {
      readonly kind: 'rejected';
      readonly retry: boolean;
      readonly code: string;
      readonly detail: string;
      readonly retryAfterMs?: number;
      readonly settled?: () => void;
    }
  /** nothing left this process: the owner may no longer act, or there is no connection */
  | { readonly kind: 'not-sent'; readonly code: 'FENCED' | 'OFFLINE' }
  /** the bytes may have left and no answer came */
  | { readonly kind: 'unknown'; readonly code: string };

export interface Connection {
  /**
   * Sends one message; the write happens in the tick of the call where the transport can, else `canAct` is asked again right before it.
   * Settles within `timeoutMs`, never rejects.
   */
  send(message: OutboundMessage, timeoutMs: number): Promise<SendOutcome>;
  /** lets go without logging out; idempotent */
  close(): Promise<void>;
}

/** One per kind and node; conformance suite: actors/transports/conformance.ts */
export interface Transport {
  readonly kind: TransportKind;
  /** may an attempt with an unknown outcome be sent again under the same id? */
  readonly resendsUnknown: boolean;
  /** starts connecting; the states follow as events. `signal` aborted = close at once, no further events. */
  connect(device: TransportDevice, events: TransportEvents, signal: AbortSignal): Connection;
  close(): Promise<void>;
}
