import { type Directory, movesFor } from '../placement/index.ts';
import type { Core } from './core.ts';
import type { Handover } from './handover.ts';

export interface BalanceDeps {
  readonly core: Core;
  readonly directory: Directory;
  readonly handover: Handover;
  targets(): ReadonlyMap<string, string>;
  /** monotonic ms at which a node last came or went */
  membersChangedAt(): number;
  rebuilding(): boolean;
}

const BETWEEN_MS = 1000;

/** Makes the step that hands devices above this node's share to their targets; at most one a second does anything. Owns: when the last one was. */
export function createBalance(deps: BalanceDeps): () => Promise<void> {
  const { core, directory, handover } = deps;
  const { tuning, holdings } = core;
  let movedAt = 0;
  return async () => {
    const now = core.deps.clock.monotonic();
    if (now - deps.membersChangedAt() < tuning.pauseMs || now - movedAt < BETWEEN_MS || deps.rebuilding()) return;
    movedAt = now;
    const movable = function* (): Generator<string> {
      for (const held of holdings.all()) if (!held.settling && now - held.grantedAt >= tuning.dwellMs) yield held.device.deviceId;
    };
    const moves = movesFor({
      nodeId: core.options.nodeId,
      owned: holdings.owned.size,
      total: directory.size,
      nodes: core.members.filter((node) => node.state === 'ACTIVE'),
      movable: movable(),
      targets: deps.targets(),
      budget: tuning.movesPerSecond,
    });
    if (moves.size === 0) return;
    core.deps.telemetry.log.info('placement.moves', { devices: moves.size });
    await handover.handOver([...moves.keys()], (id) => moves.get(id), tuning.settleMs);
  };
}
