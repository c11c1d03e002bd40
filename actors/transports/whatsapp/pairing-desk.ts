import type { Redis, Sql } from '../../../ops/connect/index.ts';
import { type Clock, readAsset } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import { BELL, pairingChannel, partitionKeys, partitionOf } from '../../../schema/domain/index.ts';
import { phoneOf } from './jid.ts';

/** What a watcher of a pairing sees, as JSON on the device's pairing channel (lossy: only who listens now hears it). */
export type PairingEvent =
  | { readonly kind: 'started' }
  | { readonly kind: 'qr'; readonly text: string; readonly lifeMs: number }
  /** PAIRED, PAIRING_EXPIRED, WRONG_NUMBER, or the reason of the disconnect that ended it */
  | { readonly kind: 'end'; readonly outcome: string };

/**
 * Where requests to pair are found and pairings are shown.
 * Owns: who waits for a request on this node, and the sweep. Does not own: sockets, sessions. Called by device-connection.ts.
 * A request is `settings.pairing.requestedAt` of the device's row (the pair command, later the API); taking it removes it.
 */
export interface PairingDesk {
  /** calls `begin` once when a request is found; the result stops waiting */
  watch(deviceId: string, begin: () => void): () => void;
  publish(deviceId: string, event: PairingEvent): void;
  /** the device logged in as `jid`: its row says paired, with the number */
  opened(deviceId: string, jid: string): void;
  /** the session is gone: its row says not paired */
  unlinked(deviceId: string): void;
  close(): void;
}

const SWEEP_MS = 1000;
/** a request that nobody took for so long is not wanted any more */
const STALE_MS = 120_000;

const takeRequests = readAsset(import.meta.url, './take-requests.sql');
const markPaired = readAsset(import.meta.url, './mark-paired.sql');

export function createPairingDesk(deps: {
  readonly sql: Sql;
  readonly redis: Pick<Redis, 'publish'>;
  readonly clock: Clock;
  readonly log: Log;
}): PairingDesk {
  const { sql, redis, clock, log } = deps;
  const waiting = new Map<string, () => void>();
  const pairing = new Set<string>();
  let sweeping = false;
  let closed = false;
  let cancel = (): void => {};

  const sweep = async (): Promise<void> => {
    sweeping = true;
    try {
      const stale = Math.floor(clock.wall() - STALE_MS);
      const rows = await sql.unsafe<{ id: string }[]>(takeRequests, [[...waiting.keys()], stale], { prepare: true });
      for (const { id } of rows) {
        const begin = waiting.get(id);
        waiting.delete(id);
        if (begin === undefined || closed) continue;
        pairing.add(id);
        publish(id, { kind: 'started' });
        begin();
      }
    } catch (error) {
      log.warn('pairing.sweep', {}, error);
    }
    sweeping = false;
    plan(SWEEP_MS);
  };
  const plan = (ms: number): void => {
    cancel();
    if (!closed && !sweeping && waiting.size > 0) cancel = clock.after(ms, () => void sweep(), { background: true });
  };
  const publish = (deviceId: string, event: PairingEvent): void => {
    if (event.kind === 'end' && !pairing.delete(deviceId)) return;
    redis.publish(pairingChannel(deviceId), JSON.stringify(event)).catch((error: unknown) => log.warn('pairing.publish', {}, error));
  };
  const mark = async (deviceId: string, paired: boolean, phone: string | null): Promise<void> => {
    try {
      const rows = await sql.unsafe<{ id: string }[]>(markPaired, [deviceId, paired, phone], { prepare: true });
      if (rows.length > 0) await redis.publish(partitionKeys(partitionOf(deviceId)).bell, `${BELL.changed}${deviceId}`);
    } catch (error) {
      log.warn('pairing.mark', { device: deviceId, paired }, error);
    }
  };

  return {
    watch(deviceId, begin) {
      waiting.set(deviceId, begin);
      plan(0);
      return () => {
        if (waiting.get(deviceId) === begin) waiting.delete(deviceId);
      };
    },
    publish,
    opened(deviceId, jid) {
      void mark(deviceId, true, phoneOf(jid)).then(() => publish(deviceId, { kind: 'end', outcome: 'PAIRED' }));
    },
    unlinked: (deviceId) => void mark(deviceId, false, null),
    close() {
      closed = true;
      cancel();
      waiting.clear();
    },
  };
}
