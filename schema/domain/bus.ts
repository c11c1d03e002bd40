import type { LinkAckStatus } from '../link/index.ts';

/**
 * Messages between processes over Redis pub/sub (lossy: every one of them is repaired by a timeout, a re-send of the same id or a sweep).
 * One published text is a JSON array of these, so that a tick costs one PUBLISH.
 */

/** Node -> gateway: frames for a device's link socket. */
export type ToGateway =
  | {
      readonly kind: 'link.send';
      readonly deviceId: string;
      readonly node: string;
      readonly id: string;
      readonly epoch: number;
      readonly to: string;
      readonly body: string;
    }
  /** the ledger has this ack, or it no longer says anything: the device need not repeat it */
  | { readonly kind: 'link.ok'; readonly deviceId: string; readonly id: string; readonly status: LinkAckStatus }
  /** who owns the device from this epoch on: acks go there */
  | { readonly kind: 'link.owner'; readonly deviceId: string; readonly node: string; readonly epoch: number }
  /** `socket`: only that one; a newer one of the same device stays */
  | { readonly kind: 'link.close'; readonly deviceId: string; readonly reason: string; readonly socket?: string };

/** Gateway -> node, or node -> node: frames from link sockets, directed lease transfers, and bells about what operators want. */
export type ToNode =
  | {
      readonly kind: 'link.ack';
      readonly deviceId: string;
      readonly id: string;
      readonly epoch: number;
      readonly status: LinkAckStatus;
      readonly error: string | null;
    }
  | { readonly kind: 'link.up'; readonly deviceId: string; readonly gateway: string; readonly socket: string }
  | { readonly kind: 'link.down'; readonly deviceId: string; readonly socket: string; readonly reason: string }
  /** what is wanted of this node has changed in Postgres: ask */
  | { readonly kind: 'node.drain' }
  /** where this device is to be has changed in Postgres: ask */
  | { readonly kind: 'device.move'; readonly deviceId: string }
  | {
      readonly kind: 'lease.transfer';
      readonly from: string;
      readonly leases: readonly { readonly deviceId: string; readonly token: string; readonly epoch: number }[];
    };
