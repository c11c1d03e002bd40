import type { NodeHeartbeat } from '../placement/index.ts';
import type { Generations } from './generations.ts';
import type { Held, Holdings } from './holdings.ts';
import type { Masters } from './masters.ts';
import type { Locks } from './redlock.ts';
import type { LostCause } from './scripts.ts';
import type { OwnershipDeps, OwnershipOptions, Tuning } from './types.ts';

/** What the parts of one node's ownership share. Made by ownership.ts; `phase` only moves down this list, but for a drain that an operator takes back. */
export interface Core {
  readonly deps: OwnershipDeps;
  readonly options: OwnershipOptions;
  readonly tuning: Tuning;
  readonly locks: Locks;
  readonly masters: Masters;
  readonly holdings: Holdings;
  readonly generations: Generations;
  /** by which share of the renewal interval the latest renewal is late; 0 = none is */
  renewalsLate(): number;
  /** renews the partition with the next tick */
  renewSoon(partition: number): void;
  /** devices being claimed, adopted or just given up by the host: the scan leaves them alone */
  readonly busy: Set<string>;
  phase: 'new' | 'running' | 'draining' | 'stopped';
  /** living nodes as last read, this one included */
  members: readonly NodeHeartbeat[];
  /** a partition was found lost: everything of ours in it ends, then it is rebuilt; `believed` = the generation of the finding */
  partitionLost(partition: number, cause: LostCause, believed: string | undefined): void;
  /** what was lost may still have its lease in Redis: let go of it. `voluntary` = nothing was in flight, the next owner need not call it a crash */
  letGo(held: readonly Pick<Held, 'device' | 'token'>[], voluntary: boolean): Promise<void>;
}
