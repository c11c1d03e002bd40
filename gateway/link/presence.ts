import { defineScript, type Redis } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';
import { BELL, deviceKeys, partitionKeys, partitionOf } from '../../schema/domain/index.ts';

const RENEW = defineScript(readAsset(import.meta.url, './renew.lua'));
const DROP = defineScript(readAsset(import.meta.url, './drop.lua'));

/** Where a device's socket is, as it stands in Redis for nodes and other gateways. */
export interface Place {
  readonly gateway: string;
  readonly socket: string;
}

/** The presence keys of link sockets. The newest `claim` wins; renewing and dropping touch a key only while it is the socket's own. */
export interface Presence {
  /** writes places and answers with those they replace, in order. `ring`: tell by doorbell, because no owner is known */
  claim(
    claims: readonly { readonly deviceId: string; readonly place: Place; readonly ring: boolean }[],
  ): Promise<readonly (Place | null)[]>;
  /** renews many; answers the indexes of those whose place is another socket's by now */
  renew(places: readonly { readonly deviceId: string; readonly place: Place }[]): Promise<readonly number[]>;
  drop(deviceId: string, place: Place): Promise<void>;
  /** drops the place as it stands if `stale` says so (a socket that a process before left behind) */
  dropIf(deviceId: string, stale: (place: Place) => boolean): Promise<void>;
}

const textOf = (place: Place): string => JSON.stringify({ gateway: place.gateway, socket: place.socket });
/** a presence as it stands in Redis */
export function placeOf(text: string | null): Place | null {
  if (text === null) return null;
  const { gateway, socket } = JSON.parse(text) as Partial<Place>;
  return gateway === undefined || socket === undefined ? null : { gateway, socket };
}

export function createPresence(redis: Redis, ttlMs: number): Presence {
  const ring = async (deviceId: string): Promise<void> => {
    await redis.publish(partitionKeys(partitionOf(deviceId)).bell, BELL.link + deviceId);
  };
  const drop = async (deviceId: string, value: string): Promise<void> => {
    const dropped = await DROP.run(redis, [deviceKeys(deviceId).link], [value]);
    if (dropped === 1) await ring(deviceId);
  };
  return {
    async claim(claims) {
      const pipeline = redis.pipeline();
      for (const { deviceId, place } of claims) pipeline.set(deviceKeys(deviceId).link, textOf(place), 'PX', ttlMs, 'GET');
      for (const { deviceId, ring: wanted } of claims) {
        if (wanted) pipeline.publish(partitionKeys(partitionOf(deviceId)).bell, BELL.link + deviceId);
      }
      const replies = (await pipeline.exec()) ?? [];
      return claims.map((_, index) => {
        const [error, before] = replies[index] ?? [new Error('the pipeline answered too little'), null];
        if (error !== null) throw error;
        return placeOf(before as string | null);
      });
    },
    async renew(places) {
      const byPartition = new Map<number, number[]>();
      places.forEach(({ deviceId }, index) => {
        const partition = partitionOf(deviceId);
        const list = byPartition.get(partition);
        if (list === undefined) byPartition.set(partition, [index]);
        else list.push(index);
      });
      const lost: number[] = [];
      await Promise.all(
        [...byPartition.values()].map(async (indexes) => {
          const entries = indexes.flatMap((index) => places[index] ?? []);
          const keys = entries.map(({ deviceId }) => deviceKeys(deviceId).link);
          const answers = await RENEW.run(redis, keys, [ttlMs, ...entries.map(({ place }) => textOf(place))]);
          indexes.forEach((index, at) => {
            if (Array.isArray(answers) && answers[at] === 0) lost.push(index);
          });
        }),
      );
      return lost;
    },
    drop: (deviceId, place) => drop(deviceId, textOf(place)),
    async dropIf(deviceId, stale) {
      const text = await redis.get(deviceKeys(deviceId).link);
      const place = placeOf(text);
      if (text !== null && place !== null && stale(place)) await drop(deviceId, text);
    },
  };
}
