import type { LinkAckStatus } from './bus.ts';

/** Subprotocol `flotilla-link.v1`: JSON text frames, one socket per device, the newest socket wins. */
export const LINK_SUBPROTOCOL = 'flotilla-link.v1';

export type LinkFromDevice =
  | { readonly type: 'hello'; readonly token: string }
  | { readonly type: 'ack'; readonly id: string; readonly epoch: number; readonly status: LinkAckStatus; readonly error?: string }
  | { readonly type: 'inbound'; readonly id: string; readonly from: string; readonly body: string }
  | { readonly type: 'pong' };

export type LinkToDevice =
  | { readonly type: 'welcome'; readonly deviceId: string; readonly epoch: number; readonly heartbeatMs: number }
  | { readonly type: 'send'; readonly id: string; readonly epoch: number; readonly to: string; readonly body: string }
  | { readonly type: 'ok'; readonly id: string }
  | { readonly type: 'ping' }
  | { readonly type: 'bye'; readonly reason: string };
