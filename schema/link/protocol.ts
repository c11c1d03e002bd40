/**
 * `flotilla-link.v1`: what a device and a gateway say to each other. JSON text frames over one WebSocket per device; the newest socket of
 * a device wins. Described for machines by gateway/link/asyncapi.json (served at /link/asyncapi.json); a test holds the two together.
 */
export const LINK_SUBPROTOCOL = 'flotilla-link.v1';

export const LINK_ACK_STATUSES = ['sent', 'delivered', 'read', 'failed', 'rejected'] as const;
export type LinkAckStatus = (typeof LINK_ACK_STATUSES)[number];

export type LinkFromDevice =
  /** first frame. `deviceId`: who it takes itself for; refused when the token is another's */
  | { readonly type: 'hello'; readonly token: string; readonly deviceId?: string }
  /** what became of a message; repeated until `ok` with this id and status comes */
  | { readonly type: 'ack'; readonly id: string; readonly epoch: number; readonly status: LinkAckStatus; readonly error?: string }
  /** repeated until `ok` with this id comes */
  | { readonly type: 'inbound'; readonly id: string; readonly from: string; readonly body: string }
  | { readonly type: 'pong' };

export type LinkToDevice =
  | { readonly type: 'welcome'; readonly deviceId: string; readonly epoch: number; readonly heartbeatMs: number }
  | { readonly type: 'send'; readonly id: string; readonly epoch: number; readonly to: string; readonly body: string }
  /** without `status`: the inbound message is stored. With it: the ledger has that ack, or it no longer says anything */
  | { readonly type: 'ok'; readonly id: string; readonly status?: LinkAckStatus }
  | { readonly type: 'ping' }
  /** the socket closes now. `retryAfterMs`: do not come back sooner */
  | { readonly type: 'bye'; readonly reason: string; readonly retryAfterMs?: number };

/** Close codes. `retry`: may the device come back with the same token and the same behaviour? */
export const LINK_CLOSE = Object.freeze({
  protocol: 4400,
  unauthorized: 4401,
  revoked: 4403,
  unknownDevice: 4404,
  helloTimeout: 4408,
  replaced: 4409,
  closedByOwner: 4410,
  heartbeat: 4411,
  fault: 4500,
  slow: 4503,
  unsupported: 1003,
  rate: 1008,
  tooLarge: 1009,
  restart: 1012,
  busy: 1013,
});

/** After these a device stays away until somebody changes something; after all other codes it comes back. */
export const LINK_FINAL_CODES: readonly number[] = [
  LINK_CLOSE.protocol,
  LINK_CLOSE.unauthorized,
  LINK_CLOSE.revoked,
  LINK_CLOSE.unknownDevice,
  LINK_CLOSE.replaced,
  LINK_CLOSE.unsupported,
  LINK_CLOSE.tooLarge,
];

/** Longest values, characters; a frame is measured in bytes. */
export const LINK_LIMITS = Object.freeze({ frameBytes: 64 * 1024, token: 512, inboundId: 128, from: 128, error: 500 });
