import type { Socket } from '../server/index.ts';
import type { DeviceRate } from './rates.ts';

/** One device socket, from the upgrade to its end. */
export interface LinkSession {
  readonly id: string;
  /** address of the peer */
  readonly remote: string;
  socket: Socket | undefined;
  /** known since its hello was believed */
  device: LinkIdentity | undefined;
  /** it has said hello */
  hello: boolean;
  /** who owns the device, as far as known: acks go there */
  node: string | null;
  /** the highest epoch seen */
  epoch: number;
  /** monotonic ms of the last frame */
  seenAt: number;
  ended: boolean;
}

export interface LinkIdentity {
  readonly id: string;
  readonly tenantId: string;
  /** SHA-256 of the token it said hello with */
  readonly hash: Buffer;
  readonly rate: DeviceRate;
}
