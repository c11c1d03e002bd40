import type { Redis } from '../../ops/connect/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { type PairingRecord, pairingChannel, pairingKey } from '../../schema/domain/index.ts';
import type { LiveFeed, PairingUpdate } from '../../schema/graphql/index.ts';

/**
 * Pairings that somebody watches here.
 * Owns: one subscription per watched device, and the last record of each. Called by streams.ts.
 * I1 A watcher gets the present state first: what was published before it came is read from Redis.
 * I2 Nothing goes back: a record of an older pairing or step is dropped, in whatever order reading and hearing it end.
 */
export interface Pairings {
  feed(deviceId: string): LiveFeed<PairingUpdate>;
  close(): void;
}

interface Watched {
  readonly deviceId: string;
  record: PairingRecord | null;
  seq: number;
  readonly listeners: Set<() => void>;
  ready: Promise<void> | undefined;
}

const newer = (record: PairingRecord, than: PairingRecord | null): boolean =>
  than === null || Number(record.pairing) > Number(than.pairing) || (record.pairing === than.pairing && record.step > than.step);

export function createPairings(deps: {
  readonly redis: Pick<Redis, 'get'>;
  readonly subscriber: Pick<Redis, 'subscribe' | 'unsubscribe' | 'on' | 'off'>;
  readonly telemetry: Pick<Telemetry, 'log'>;
}): Pairings {
  const { subscriber } = deps;
  const { log } = deps.telemetry;
  const watched = new Map<string, Watched>();
  const take = (one: Watched, text: string): void => {
    const record = JSON.parse(text) as PairingRecord;
    if (!newer(record, one.record)) return;
    one.record = record;
    one.seq += 1;
    for (const listener of one.listeners) listener();
  };
  const heard = (channel: string, text: string): void => {
    for (const one of watched.values()) if (pairingChannel(one.deviceId) === channel) take(one, text);
  };
  subscriber.on('message', heard);

  const join = async (one: Watched): Promise<void> => {
    try {
      await subscriber.subscribe(pairingChannel(one.deviceId));
      const last = await deps.redis.get(pairingKey(one.deviceId));
      if (last !== null) take(one, last);
    } catch (error) {
      // the client subscribes again when Redis is back, and the next step of the pairing is heard
      log.warn('pairing.join', {}, error);
    }
  };
  const leave = (one: Watched): void => {
    watched.delete(one.deviceId);
    subscriber.unsubscribe(pairingChannel(one.deviceId)).catch((error: unknown) => log.warn('pairing.leave', {}, error));
  };

  return {
    feed(deviceId) {
      let one: Watched = watched.get(deviceId) ?? { deviceId, record: null, seq: 0, listeners: new Set(), ready: undefined };
      const now = (): PairingUpdate => ({ deviceId, record: one.record, epoch: 'pairing', seq: one.seq });
      return {
        kind: 'state',
        ready: () => one.ready ?? Promise.resolve(),
        top: () => ({ epoch: 'pairing', seq: one.seq }),
        version: () => 0,
        snapshot: now,
        range: (from) => (from.epoch === 'pairing' ? { kind: 'updates', updates: from.seq < one.seq ? [now()] : [] } : { kind: 'gap' }),
        watch(listener) {
          one = watched.get(deviceId) ?? one;
          watched.set(deviceId, one);
          one.listeners.add(listener);
          one.ready ??= join(one);
          return () => {
            one.listeners.delete(listener);
            if (one.listeners.size === 0 && watched.get(deviceId) === one) leave(one);
          };
        },
      };
    },
    close() {
      subscriber.off('message', heard);
      watched.clear();
    },
  };
}
