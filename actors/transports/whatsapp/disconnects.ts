import type { LinkState } from '../port.ts';
import type { ProxyFault } from './tunnel.ts';

/**
 * What a closed connection means, as data: one row per code. Source of codes: Baileys' DisconnectReason and the stream errors and
 * `failure` stanzas it passes on. docs/whatsapp.md shows the same table to operators.
 */
export type DisconnectAction =
  /** connect again at once; not a failure */
  | { readonly kind: 'restart' }
  /** connect again after a backoff; `slow` starts at its cap; after `limit` failures in a row the device stops (state OFFLINE) */
  | { readonly kind: 'backoff'; readonly slow: boolean; readonly limit: number | null }
  /** another socket took the identity: look at who owns the device */
  | { readonly kind: 'conflict' }
  /** stop until a person acts */
  | { readonly kind: 'stop'; readonly state: LinkState; readonly erase: boolean };

export interface DisconnectRow {
  readonly code: number | null;
  /** machine-readable, shown as the device's reason */
  readonly reason: string;
  readonly action: DisconnectAction;
}

const backoff: DisconnectAction = { kind: 'backoff', slow: false, limit: null };
const slowly: DisconnectAction = { kind: 'backoff', slow: true, limit: null };
const blocked: DisconnectAction = { kind: 'stop', state: 'OFFLINE', erase: false };

export const DISCONNECTS: readonly DisconnectRow[] = [
  { code: null, reason: 'NETWORK', action: backoff },
  // unlinked on the phone: the credentials are dead, keeping them would hide the next QR code
  { code: 401, reason: 'LOGGED_OUT', action: { kind: 'stop', state: 'LOGGED_OUT', erase: true } },
  { code: 402, reason: 'ACCOUNT_BLOCKED', action: blocked },
  { code: 403, reason: 'ACCOUNT_BLOCKED', action: blocked },
  { code: 405, reason: 'CLIENT_VERSION_REFUSED', action: slowly },
  { code: 406, reason: 'ACCOUNT_BLOCKED', action: blocked },
  { code: 408, reason: 'CONNECTION_LOST', action: backoff },
  { code: 411, reason: 'MULTIDEVICE_MISMATCH', action: { kind: 'stop', state: 'LOGGED_OUT', erase: false } },
  { code: 419, reason: 'ACCOUNT_BLOCKED', action: blocked },
  { code: 428, reason: 'CONNECTION_CLOSED', action: backoff },
  { code: 429, reason: 'RATE_LIMITED', action: slowly },
  { code: 440, reason: 'REPLACED', action: { kind: 'conflict' } },
  // also what Baileys says for stream errors it does not know: never a reason to wipe anything
  { code: 500, reason: 'BAD_SESSION', action: { kind: 'backoff', slow: false, limit: 5 } },
  { code: 503, reason: 'SERVICE_UNAVAILABLE', action: backoff },
  // what follows a pairing
  { code: 515, reason: 'RESTART_REQUIRED', action: { kind: 'restart' } },
];

const UNKNOWN: DisconnectRow = { code: null, reason: 'UNKNOWN_DISCONNECT', action: { kind: 'backoff', slow: false, limit: 10 } };
const EXPIRED: DisconnectRow = { code: 408, reason: 'PAIRING_EXPIRED', action: { kind: 'stop', state: 'UNPAIRED', erase: false } };
const FAILED: DisconnectRow = { code: null, reason: 'PAIRING_FAILED', action: { kind: 'stop', state: 'UNPAIRED', erase: false } };

/** A device's proxy let nothing through. Never a reason to go past it. */
export const PROXY_FAULTS: Readonly<Record<ProxyFault, DisconnectRow>> = {
  PROXY_UNREACHABLE: { code: null, reason: 'PROXY_UNREACHABLE', action: backoff },
  PROXY_REFUSED: { code: null, reason: 'PROXY_REFUSED', action: slowly },
  PROXY_FORBIDDEN: { code: null, reason: 'PROXY_FORBIDDEN', action: slowly },
};

const byCode = new Map(DISCONNECTS.map((row) => [row.code, row]));

/**
 * @param code of the close, null when there was none (socket, DNS or proxy error)
 * @param linked false while a pairing runs and the phone has not accepted it: nothing but a restart leads to another socket then,
 *   an unwatched QR code is never started again
 * @param fault there was no way through the device's proxy
 * @param codeShown false: no QR code was ever shown, so none can have expired: WhatsApp was not reached
 */
export function disconnectFor(code: number | null, linked: boolean, codeShown = true, fault?: ProxyFault): DisconnectRow {
  if (fault !== undefined) return linked ? PROXY_FAULTS[fault] : { ...FAILED, reason: fault };
  const row = byCode.get(code) ?? { ...UNKNOWN, code };
  if (linked || row.action.kind === 'restart') return row;
  if (code === 408 || code === null) return codeShown ? (code === 408 ? EXPIRED : FAILED) : { ...FAILED, code, reason: 'NETWORK' };
  return { ...FAILED, code };
}
