import type { Dice } from '../../../ops/lifecycle/index.ts';
import type { MessageEventRecord } from '../../../schema/domain/index.ts';
import type { Audit } from './audit.ts';
import type { Tables } from './ledger-rows.ts';
import type { Network } from './network.ts';
import type { Phones } from './phones.ts';
import type { PubSub } from './redis-client.ts';
import type { RedisServer } from './redis-server.ts';
import type { Party, Scheduler } from './scheduler.ts';
import type { Timing } from './timing.ts';

/** What the parts of one simulated world share; made by world.ts. */
export interface World {
  readonly seed: number;
  readonly timing: Timing;
  readonly dice: Dice;
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly redis: RedisServer;
  /** none: the main Redis is the only lock master */
  readonly lockMasters: readonly RedisServer[];
  readonly pubsub: PubSub;
  readonly tables: Tables;
  readonly audit: Audit;
  readonly phones: Phones;
  /** ms by which the wall clock of a machine is off, by node */
  readonly wallOffsets: Map<string, number>;
  /**
   * When the clock by which leases end was last stepped forward, and the devices taken within a TTL of it by a node that was not up yet: it has nothing
   * to compare with, and may have asked before the others' next scan found the step (docs/ownership.md, what is not promised).
   */
  readonly step: { at: number; readonly taken: Set<string> };
  /** strikes once, at the process whose statement of this name was just carried out and not yet answered */
  readonly ambush: { what: string | undefined; strike: (party: Party) => void };
  news(events: readonly MessageEventRecord[]): void;
  violation(invariant: string, what: string): void;
}
