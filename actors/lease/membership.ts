import type { NodeState } from '../../schema/domain/index.ts';
import { createRegistry, type NodeHeartbeat } from '../placement/index.ts';
import type { Core } from './core.ts';

/**
 * This node among the others: its heartbeat, who else lives, what Postgres is told.
 * Owns: the registry entry, when the members last changed, when Postgres was last told. Called by ownership's heartbeat loop.
 *
 * I1 Postgres is told beside the heartbeat, never before it: a slow Postgres makes no node look dead.
 */
export interface Membership {
  join(): Promise<void>;
  /** one heartbeat, then the members are read. @throws NodeIdTakenError when another process has the name now */
  beat(state: NodeState): Promise<void>;
  /** reads the members alone */
  look(): Promise<void>;
  /** tells Postgres, hears what is wanted of this node; never throws */
  save(state: NodeState): Promise<void>;
  /** somebody wants this node to hand over its devices and take no more */
  readonly drainWanted: boolean;
  leave(): Promise<void>;
  /** monotonic ms at which a node last came, went or changed its state */
  changedAt(): number;
}

const SAVE_MS = 5000;

export function createMembership(core: Core): Membership {
  const { deps, options, holdings } = core;
  const { clock, telemetry } = deps;
  const registry = createRegistry(deps.redis, clock, {
    nodeId: options.nodeId,
    version: options.version,
    host: options.host,
    capacity: options.capacity,
    // shorter than a lease: when a dead node's leases end, the others already rank without it
    lifeMs: Math.min(3000, Math.floor(options.ttlMs * 0.8)),
  });
  let changedAt = clock.monotonic();
  let savedAt = Number.NEGATIVE_INFINITY;
  /** what Postgres was last told; a change is told with the next beat */
  let saved = '';
  const shape = (nodes: readonly NodeHeartbeat[]): string => nodes.map((node) => `${node.id} ${node.instance} ${node.state}`).join();

  let drainWanted = false;
  const save: Membership['save'] = async (state) => {
    savedAt = clock.monotonic();
    saved = `${state} ${holdings.owned.size}`;
    const { nodeId: id, version, host, capacity } = options;
    try {
      const wanted = await deps.ledger.saveNode({
        id,
        state,
        version,
        host,
        capacity,
        devices: holdings.owned.size,
        instance: registry.instance,
      });
      drainWanted = wanted.drain;
    } catch (error) {
      telemetry.log.warn('node.save.failed', {}, error);
    }
  };

  const look = async (): Promise<void> => {
    const before = shape(core.members);
    core.members = [...(await registry.members())].sort((a, b) => (a.id < b.id ? -1 : 1));
    if (shape(core.members) !== before) changedAt = clock.monotonic();
  };

  return {
    look,
    join: () => registry.join(),
    save,
    get drainWanted() {
      return drainWanted;
    },
    leave: () => registry.leave(),
    changedAt: () => changedAt,
    async beat(state) {
      await registry.beat(state, holdings.owned.size);
      await look();
      if (clock.monotonic() - savedAt >= SAVE_MS || saved !== `${state} ${holdings.owned.size}`) void save(state);
    },
  };
}
