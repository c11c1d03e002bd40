import type { Telemetry } from '../../../ops/telemetry/index.ts';
import { type SimNode, startSimNode } from './node.ts';
import type { Party } from './scheduler.ts';
import type { World } from './world-parts.ts';

/**
 * The nodes of a world and whoever starts them again. Watches takeovers: from a kill to the first grant of each device that died with it (I6).
 * Owns: which incarnation of each node runs. Called by the faults.
 */
export interface Fleet {
  readonly ids: readonly string[];
  get(id: string): SimNode;
  /** the node whose present process this is */
  idOf(party: Party): string | undefined;
  running(id: string): boolean;
  kill(id: string, restartAfterMs: number): void;
  drain(id: string, restartAfterMs: number): void;
  pause(id: string, ms: number): void;
  /** something else than a kill goes wrong, until then (default: now): takeovers meanwhile are not judged by the bound */
  disturbed(until?: number): void;
  readonly figures: { takeovers: number; takeoverMs: number; judged: number; grants: number };
}

/** I6: the lease's time to live, and this to find, claim and start. */
const FIND_MS = 1500;
/** a supervisor starts what ended by itself again after this */
const RESTART_MS = 500;

export function createFleet(world: World, ids: readonly string[], telemetry: (node: string) => Telemetry): Fleet {
  const { scheduler } = world;
  const { ttlMs } = world.timing;
  const nodes = new Map<string, SimNode>();
  const incarnations = new Map<string, number>();
  const orphans = new Map<string, { readonly at: number; clean: boolean }>();
  const figures = { takeovers: 0, takeoverMs: 0, judged: 0, grants: 0 };
  let disturbedAt = Number.NEGATIVE_INFINITY;

  /** I9: while one node is given a device, no other may still act for it, frozen or not, whatever became of the servers of leases */
  const checkAlone = (id: string, deviceId: string): void => {
    const { step } = world;
    if (scheduler.now() - step.at < ttlMs && get(id).readyAt() > step.at) {
      step.taken.add(deviceId);
      return;
    }
    for (const [other, node] of nodes) {
      if (other === id || node.party.state === 'dead') continue;
      if (node.ownership()?.owned.get(deviceId)?.canAct() === true)
        world.violation('I9', `${other} may still act for ${deviceId}, now of ${id}`);
    }
  };

  const start = (id: string): void => {
    const incarnation = (incarnations.get(id) ?? 0) + 1;
    incarnations.set(id, incarnation);
    const node: SimNode = startSimNode(world, id, incarnation, telemetry(id), {
      granted(devices) {
        figures.grants += devices.length;
        for (const { deviceId } of devices) {
          checkAlone(id, deviceId);
          const orphan = orphans.get(deviceId);
          if (orphan === undefined) continue;
          orphans.delete(deviceId);
          const ms = scheduler.now() - orphan.at;
          figures.takeovers += 1;
          if (!orphan.clean || disturbedAt > orphan.at - ttlMs) continue;
          figures.judged += 1;
          figures.takeoverMs = Math.max(figures.takeoverMs, ms);
          if (ms > ttlMs + FIND_MS) world.violation('I6', `${deviceId} was taken over after ${Math.round(ms)} ms`);
        }
      },
      ended() {
        if (nodes.get(id) !== node || node.party.state === 'dead') return;
        scheduler.kill(node.party);
        later(id, RESTART_MS);
      },
    });
    nodes.set(id, node);
  };
  const later = (id: string, ms: number): void => {
    const dead = nodes.get(id);
    scheduler.at(scheduler.now() + ms, scheduler.world, 'world', 'restart', () => {
      if (nodes.get(id) === dead) start(id);
    });
  };
  const get = (id: string): SimNode => nodes.get(id) as SimNode;
  const running = (id: string): boolean => nodes.get(id)?.party.state === 'up' && get(id).ready();
  for (const id of ids) start(id);

  return {
    ids,
    get,
    running,
    idOf: (party) => ids.find((id) => get(id).party === party),
    figures,
    kill(id, restartAfterMs) {
      const node = get(id);
      if (node.party.state === 'dead') return;
      // the bound speaks of a fleet that has somebody left to take over
      const others = ids.some((other) => other !== id && running(other));
      for (const { deviceId, epoch } of node.ownership()?.owned.values() ?? []) {
        // one that stood still may not know yet that others have taken its devices: nobody needs to take those over from it
        if ((world.tables.ownership.get(deviceId)?.epoch ?? 0) <= epoch) orphans.set(deviceId, { at: scheduler.now(), clean: others });
      }
      if (!others) for (const orphan of orphans.values()) orphan.clean = false;
      scheduler.kill(node.party);
      later(id, restartAfterMs);
    },
    drain(id, restartAfterMs) {
      const node = get(id);
      if (!running(id)) return;
      node.end();
      scheduler.at(scheduler.now() + 12_000, scheduler.world, 'world', 'drain-late', () => {
        if (nodes.get(id) !== node || node.party.state === 'dead') return;
        scheduler.kill(node.party);
        later(id, restartAfterMs);
      });
    },
    pause(id, ms) {
      const { party } = get(id);
      scheduler.freeze(party);
      scheduler.at(scheduler.now() + ms, scheduler.world, 'world', 'continue', () => scheduler.thaw(party));
    },
    disturbed(until = scheduler.now()) {
      disturbedAt = Math.max(disturbedAt, until);
    },
  };
}
