/** Where devices should be: weighted rendezvous hashing with bounded load. Pure; advice only, the lease is authority. */

export interface Candidate {
  readonly id: string;
  /** weight: a node of twice the capacity gets twice the devices */
  readonly capacity: number;
  readonly version: string;
}

/** A node's load may be this much over its fair share before a device goes to its next best node. Guess. */
export const OVERLOAD = 1.05;

const NO_PINS: ReadonlyMap<string, string> = new Map();

/** FNV-1a over the text, then a finaliser (murmur3's) so that near ids are far apart. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
}

function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The weighted score of a node for a device: the highest wins (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005). */
function score(device: number, node: number, weight: number): number {
  const unit = (mix(device ^ node) + 0.5) / 4294967296;
  return -weight / Math.log(unit);
}

const byNumber = new Intl.Collator('en', { numeric: true });

/** The version that counts as newest: by number where the parts are numbers. */
export function newestVersion(nodes: readonly Candidate[]): string {
  let newest = '';
  for (const { version } of nodes) {
    if (version === newest) continue;
    const order = byNumber.compare(version, newest);
    // "1.0" and "1.00" are equal by number: every node must choose the same one
    if (order > 0 || (order === 0 && version > newest)) newest = version;
  }
  return newest;
}

/**
 * The nodes for a device, best first. While two versions run, nodes of the newest come first, so that a rolling deploy moves each
 * device once.
 */
export function ranked(deviceId: string, nodes: readonly Candidate[]): readonly Candidate[] {
  const device = hashOf(deviceId);
  const newest = newestVersion(nodes);
  return nodes
    .map((node) => ({ node, first: node.version === newest, score: score(device, hashOf(node.id), node.capacity) }))
    .sort((a, b) => Number(b.first) - Number(a.first) || b.score - a.score || (a.node.id < b.node.id ? -1 : 1))
    .map((entry) => entry.node);
}

/** The most devices a node should hold of `total`: its fair share by weight and the allowed overload, never above its capacity. */
export function bound(total: number, nodes: readonly Candidate[], node: Candidate): number {
  const weight = nodes.reduce((sum, other) => sum + other.capacity, 0);
  return Math.min(node.capacity, Math.ceil((total * OVERLOAD * node.capacity) / weight));
}

/**
 * The target node of every device: its best-ranked node whose share is not full. The same ids and nodes give the same answer on every
 * node, whatever their order. Devices beyond the capacity of all nodes have no target.
 * A device with a pin goes to that node if it is a candidate and has room; what is pinned counts towards the node's share.
 * Source: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018), on rendezvous ranks. O(devices x nodes).
 */
export function plan(
  deviceIds: Iterable<string>,
  nodes: readonly Candidate[],
  pins: ReadonlyMap<string, string> = NO_PINS,
): Map<string, string> {
  const targets = new Map<string, string>();
  if (nodes.length === 0) return targets;
  const newest = newestVersion(nodes);
  const hashed = nodes.map((node) => ({ node, hash: hashOf(node.id), first: node.version === newest, load: 0, most: 0 }));
  const devices = [...deviceIds].map((id) => ({ id, hash: hashOf(id) }));
  devices.sort((a, b) => a.hash - b.hash || (a.id < b.id ? -1 : 1));
  for (const entry of hashed) entry.most = bound(devices.length, nodes, entry.node);
  for (const { id } of pins.size === 0 ? [] : devices) {
    const pinned = hashed.find((entry) => entry.node.id === pins.get(id));
    if (pinned === undefined || pinned.load >= pinned.node.capacity) continue;
    pinned.load++;
    targets.set(id, pinned.node.id);
  }
  for (const device of devices) {
    if (targets.has(device.id)) continue;
    let best: (typeof hashed)[number] | undefined;
    let bestScore = 0;
    for (const entry of hashed) {
      if (entry.load >= entry.most) continue;
      const own = score(device.hash, entry.hash, entry.node.capacity);
      const better = best === undefined || (entry.first !== best.first ? entry.first : own > bestScore);
      if (better) {
        best = entry;
        bestScore = own;
      }
    }
    if (best === undefined) break;
    best.load++;
    targets.set(device.id, best.node.id);
  }
  return targets;
}

/** A node's rank for a device: 0 = its target, then by rendezvous rank. Infinity when it is no candidate. */
export function rankOf(deviceId: string, nodeId: string, target: string | undefined, nodes: readonly Candidate[]): number {
  if (target === nodeId) return 0;
  const others = ranked(deviceId, nodes).filter((node) => node.id !== target);
  const index = others.findIndex((node) => node.id === nodeId);
  if (index < 0) return Number.POSITIVE_INFINITY;
  return target === undefined ? index : index + 1;
}
