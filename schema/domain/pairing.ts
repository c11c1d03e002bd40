/**
 * Linking a device to a phone. A request stands in the device's row (`settings.pairing`) until its owner takes it; what happens then is
 * published on the device's pairing channel, and the last of it is kept for those who come to look later (redis-keys.ts).
 */
export type PairingMethod = 'qr' | 'code';

export interface PairingRequest {
  /** wall ms */
  readonly requestedAt: number;
  readonly method: PairingMethod;
  /** E.164; for `code`: the number of the phone that will type it */
  readonly phone: string | null;
}

export type PairingEvent =
  | { readonly kind: 'started' }
  /** a QR code to show, the `number`-th of at most `most`, alive for `lifeMs` */
  | { readonly kind: 'qr'; readonly text: string; readonly lifeMs: number; readonly number: number; readonly most: number }
  /** eight characters to type on the phone */
  | { readonly kind: 'code'; readonly code: string; readonly lifeMs: number }
  /** the phone has accepted; the device logs in */
  | { readonly kind: 'linking' }
  /** PAIRED, or why not: PAIRING_EXPIRED, WRONG_NUMBER, PASSKEY_REQUIRED, PAIRING_FAILED, NETWORK, the reason of a disconnect */
  | { readonly kind: 'end'; readonly outcome: string };

/** A pairing as it stands. */
export interface PairingRecord {
  readonly event: PairingEvent;
  /** wall ms of the node */
  readonly at: number;
  /** rises within a pairing; `pairing` names the pairing */
  readonly pairing: string;
  readonly step: number;
}
