import { type Directory, movesFor } from '../placement/index.ts';
import type { Core } from './core.ts';
import { type Handover, MOVING_CONFIRM_MS } from './handover.ts';

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

export interface Balance {
  /** hands devices above this node's share to their targets; at most one step a second does anything */
  step(): Promise<void>;
  /** hands over the devices that somebody wants on another living node, as far as that one has room */
  follow(): Promise<void>;
}

/** Owns: when the last step was. */
export function createBalance(deps: BalanceDeps): Balance {
  const { core, directory, handover } = deps;
  const { tuning, holdings } = core;
  const engaged = (deviceId: string): 'SENDING' | 'PAIRING' | null => core.deps.listener.engaged(deviceId);
  const patience = { settleMs: tuning.settleMs, confirmMs: MOVING_CONFIRM_MS };
  let movedAt = 0;
  const follow: Balance['follow'] = async () => {
    const others = core.members.filter((node) => node.state === 'ACTIVE' && node.id !== core.options.nodeId);
    const room = new Map(others.map((node) => [node.id, node.capacity - node.devices]));
    const moves = new Map<string, string>();
    for (const [deviceId, target] of directory.pins) {
      const left = room.get(target) ?? 0;
      if (left <= 0 || moves.size >= tuning.movesPerSecond || holdings.get(deviceId)?.settling !== false) continue;
      // a pairing stays where it runs; the wish stands, and is followed once it has ended
      if (engaged(deviceId) === 'PAIRING') continue;
      room.set(target, left - 1);
      moves.set(deviceId, target);
    }
    if (moves.size > 0) await handover.handOver([...moves.keys()], (id) => moves.get(id), patience);
  };
  const step: Balance['step'] = async () => {
    const now = core.deps.clock.monotonic();
    if (now - deps.membersChangedAt() < tuning.pauseMs || now - movedAt < BETWEEN_MS || deps.rebuilding()) return;
    movedAt = now;
    await follow();
    const movable = function* (): Generator<string> {
      // idle ones first; a pairing is not moved for balance
      for (const wanted of [null, 'SENDING'])
        for (const held of holdings.all()) {
          if (held.settling || now - held.grantedAt < tuning.dwellMs || engaged(held.device.deviceId) !== wanted) continue;
          yield held.device.deviceId;
        }
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
    await handover.handOver([...moves.keys()], (id) => moves.get(id), patience);
  };
  return { step, follow };
}
