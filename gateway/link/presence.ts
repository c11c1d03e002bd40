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
  /** writes the place and answers with the one it replaces */
  claim(deviceId: string, place: Place): Promise<Place | null>;
  /** renews many; answers the devices whose place is another socket's by now */
  renew(places: readonly { readonly deviceId: string; readonly place: Place }[]): Promise<readonly string[]>;
  drop(deviceId: string, place: Place): Promise<void>;
  /** drops a place that names this gateway but no socket of it (left by a process before) */
  dropForeign(deviceId: string, gateway: string): Promise<void>;
}

const textOf = (place: Place): string => JSON.stringify({ gateway: place.gateway, socket: place.socket });
function placeOf(text: string | null): Place | null {
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
    async claim(deviceId, place) {
      const before = await redis.set(deviceKeys(deviceId).link, textOf(place), 'PX', ttlMs, 'GET');
      await ring(deviceId);
      return placeOf(before);
    },
    async renew(places) {
      const byPartition = new Map<number, { deviceId: string; place: Place }[]>();
      for (const entry of places) {
        const partition = partitionOf(entry.deviceId);
        const list = byPartition.get(partition);
        if (list === undefined) byPartition.set(partition, [entry]);
        else list.push(entry);
      }
      const lost: string[] = [];
      await Promise.all(
        [...byPartition.values()].map(async (entries) => {
          const keys = entries.map((entry) => deviceKeys(entry.deviceId).link);
          const answers = await RENEW.run(redis, keys, [ttlMs, ...entries.map((entry) => textOf(entry.place))]);
          entries.forEach((entry, at) => {
            if (Array.isArray(answers) && answers[at] === 0) lost.push(entry.deviceId);
          });
        }),
      );
      return lost;
    },
    drop: (deviceId, place) => drop(deviceId, textOf(place)),
    async dropForeign(deviceId, gateway) {
      const text = await redis.get(deviceKeys(deviceId).link);
      if (text !== null && placeOf(text)?.gateway === gateway) await drop(deviceId, text);
    },
  };
}
