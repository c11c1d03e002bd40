import { randomBytes } from 'node:crypto';
import { defineScript, type Redis } from '../../ops/connect/index.ts';
import { type Clock, readAsset } from '../../ops/lifecycle/index.ts';
import { NODES_KEY, type NodeState, nodeKey } from '../../schema/domain/index.ts';

const BEAT = defineScript(readAsset(import.meta.url, './beat.lua'));
const LEAVE = defineScript(readAsset(import.meta.url, './leave.lua'));

/** What a node says about itself in Redis (nodeKey, JSON). */
export interface NodeHeartbeat {
  readonly id: string;
  /** random per process: tells two processes of one name apart */
  readonly instance: string;
  readonly state: NodeState;
  readonly version: string;
  readonly host: string;
  readonly capacity: number;
  readonly devices: number;
  /** wall ms */
  readonly startedAt: number;
  /** counts up with every beat */
  readonly beat: number;
}

/** Another living process has this node's name. */
export class NodeIdTakenError extends Error {
  constructor(nodeId: string, host: string) {
    super(`NODE_ID: ${nodeId} is already running on ${host}; every node needs a name of its own`);
    this.name = 'NodeIdTakenError';
  }
}

/**
 * The registry of living nodes in Redis. A node lives while its key has not expired.
 * Owns: this node's entry. Does not own: the loop that beats, what follows from a change. Called by ownership.
 *
 * I1 A name belongs to one instance: a beat of another one is refused, atomically.
 * I2 Only the key's TTL says who lives; the sorted set is an index. Both go by Redis' clock: a node's own may be an hour off.
 */
export interface Registry {
  /** claims the name; waits for the entry of a dead predecessor to expire. @throws NodeIdTakenError */
  join(): Promise<void>;
  /** one heartbeat. @throws NodeIdTakenError when another instance has the name now */
  beat(state: NodeState, devices: number): Promise<void>;
  /** every living node, this one included */
  members(): Promise<readonly NodeHeartbeat[]>;
  leave(): Promise<void>;
  /** random per process */
  readonly instance: string;
}

export interface RegistryOptions {
  readonly nodeId: string;
  readonly version: string;
  readonly host: string;
  readonly capacity: number;
  /** a node counts as living this long after its last beat */
  readonly lifeMs: number;
}

/** An index entry is dropped when its node has been silent for this long. */
const FORGET_MS = 60_000;
const JOIN_POLL_MS = 200;

export function createRegistry(redis: Redis, clock: Clock, options: RegistryOptions): Registry {
  const { nodeId, version, host, capacity, lifeMs } = options;
  const instance = randomBytes(12).toString('hex');
  const mark = `"instance":"${instance}"`;
  const startedAt = clock.wall();
  let beats = 0;

  const tryBeat = async (state: NodeState, devices: number): Promise<NodeHeartbeat | undefined> => {
    beats++;
    const own: NodeHeartbeat = { id: nodeId, instance, state, version, host, capacity, devices, startedAt, beat: beats };
    const reply = String(await BEAT.run(redis, [nodeKey(nodeId), NODES_KEY], [mark, JSON.stringify(own), lifeMs, nodeId]));
    return reply === 'OK' ? undefined : (JSON.parse(reply.slice('TAKEN'.length)) as NodeHeartbeat);
  };

  return {
    instance,
    async join() {
      const first = await tryBeat('JOINING', 0);
      if (first === undefined) return;
      const end = clock.monotonic() + lifeMs + 2 * JOIN_POLL_MS;
      let other = first;
      while (clock.monotonic() < end) {
        await clock.sleep(JOIN_POLL_MS);
        const now = await tryBeat('JOINING', 0);
        if (now === undefined) return;
        if (now.beat !== other.beat || now.instance !== other.instance) throw new NodeIdTakenError(nodeId, now.host);
        other = now;
      }
      throw new NodeIdTakenError(nodeId, other.host);
    },
    async beat(state, devices) {
      const other = await tryBeat(state, devices);
      if (other !== undefined) throw new NodeIdTakenError(nodeId, other.host);
    },
    async members() {
      const ids = await redis.zrange(NODES_KEY, '0', '-1');
      if (ids.length === 0) return [];
      const read = redis.pipeline();
      for (const id of ids) read.get(nodeKey(id));
      const replies = (await read.exec()) ?? [];
      const living: NodeHeartbeat[] = [];
      for (const [error, text] of replies) {
        if (error !== null) throw error;
        if (typeof text === 'string') living.push(JSON.parse(text) as NodeHeartbeat);
      }
      if (living.length < ids.length) {
        const [seconds] = await redis.time();
        await redis.zremrangebyscore(NODES_KEY, '-inf', Number(seconds) * 1000 - FORGET_MS);
      }
      return living;
    },
    async leave() {
      await LEAVE.run(redis, [nodeKey(nodeId), NODES_KEY], [mark, nodeId]);
    },
  };
}
