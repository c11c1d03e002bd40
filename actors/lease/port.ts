/** How ownership reached this node; `crash` = the last owner did not let go. */
export type GrantReason = 'new' | 'graceful' | 'crash' | 'rebuild';
export type LossCause = 'EXPIRED' | 'RENEW_LOST' | 'FENCED' | 'REDIS_LOST' | 'RELEASED' | 'TRANSFERRED' | 'SHUTDOWN' | 'DELETED' | 'STUCK';

/** One ownership of one device: lease held, epoch minted in Postgres, fence installed in Redis. */
export interface OwnedDevice {
  readonly deviceId: string;
  readonly partition: number;
  readonly epoch: number;
  readonly reason: GrantReason;
  /** crash takeovers in the middle of a turn since the last completed turn, this one included: the host quarantines at 3 */
  readonly crashes?: number;
  /** aborted with a LossCause as soon as the ownership ends or may have ended */
  readonly signal: AbortSignal;
  /** synchronous: true until the local monotonic deadline minus the margin, and while not aborted */
  canAct(): boolean;
}

/** What the host of the actors does with ownership. */
export interface OwnershipListener {
  /** called with every batch won; state is loaded and actors started by the callee */
  granted(devices: readonly OwnedDevice[]): void;
  /**
   * resolves when the device's running turn has settled (drain, move): pending commits done, nothing in flight. From the call on no new
   * turn may start: the ownership always ends after it (its signal aborts with TRANSFERRED, RELEASED or worse).
   */
  settle(deviceId: string): Promise<void>;
  /** what a move would cut short now; null = nothing. The idle move first, those that send next, those that pair last */
  engaged(deviceId: string): 'SENDING' | 'PAIRING' | null;
}

export interface Ownership {
  start(): Promise<void>;
  readonly owned: ReadonlyMap<string, OwnedDevice>;
  /** the partition's generation as this node knows it; undefined while it is lost or being rebuilt */
  generation(partition: number): string | undefined;
  /** a script answered LOST: pause and rebuild the partition */
  reportLost(partition: number, cause: string): void;
  /** a script or statement answered FENCED: this ownership is over */
  reportFenced(deviceId: string, epoch: number, where: string): void;
  /** gives devices up (deletion, watchdog); this node does not claim them again for some seconds. STUCK counts as a crash of the device's owner */
  release(deviceIds: readonly string[], cause: LossCause): Promise<void>;
  /** a doorbell said that a device's row changed or came: the list of devices is read again soon (it is read every second anyway) */
  refresh(): void;
  /** SIGTERM: no new claims, settle and hand over directed, release what is left, then `stop`; bounded by the deadline */
  drain(deadlineMs: number): Promise<void>;
  /** ends all loops, gives up what is left undirected and leaves the registry; a second call waits for the first */
  stop(): Promise<void>;
}
