import { bound, type Candidate } from './rendezvous.ts';

export interface Loaded extends Candidate {
  /** devices it said it owns */
  readonly devices: number;
}

/** A node this little above its bound keeps what it has: one device that came in a hurry is no reason to move another. */
const SLACK = 0.01;

/**
 * Which devices a node above its share should hand over, and to whom: only devices whose target is another node, only to nodes below
 * their own share, at most `budget`. While two versions run nothing is moved. Pure.
 * @param movable ids of devices held long enough (dwell), in the order in which they should go
 */
export function movesFor(input: {
  readonly nodeId: string;
  readonly owned: number;
  readonly total: number;
  readonly nodes: readonly Loaded[];
  readonly movable: Iterable<string>;
  readonly targets: ReadonlyMap<string, string>;
  readonly budget: number;
}): Map<string, string> {
  const moves = new Map<string, string>();
  const me = input.nodes.find((node) => node.id === input.nodeId);
  if (me === undefined || input.nodes.length < 2) return moves;
  if (input.nodes.some((node) => node.version !== me.version)) return moves;
  const most = bound(input.total, input.nodes, me);
  let excess = input.owned - most;
  if (input.owned <= me.capacity && excess <= most * SLACK) return moves;
  const room = new Map(input.nodes.map((node) => [node.id, bound(input.total, input.nodes, node) - node.devices]));
  for (const deviceId of input.movable) {
    if (excess <= 0 || moves.size >= input.budget) break;
    const target = input.targets.get(deviceId);
    if (target === undefined || target === input.nodeId) continue;
    const left = room.get(target) ?? 0;
    if (left <= 0) continue;
    room.set(target, left - 1);
    moves.set(deviceId, target);
    excess--;
  }
  return moves;
}
