import type { Redis, Sql } from '../../../ops/connect/index.ts';
import { type Clock, readAsset } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import {
  BELL,
  PAIRING_ASKED_CHANNEL,
  type PairingEvent,
  type PairingRecord,
  type PairingRequest,
  pairingChannel,
  pairingKey,
  partitionKeys,
  partitionOf,
} from '../../../schema/domain/index.ts';
import type { TransportDevice } from '../port.ts';
import { phoneOf } from './jid.ts';

/**
 * Where requests to pair are found and pairings are shown.
 * Owns: who waits for a request on this node, the sweep, the number of each pairing's steps. Does not own: sockets, sessions. Called by
 * device-connection.ts. A request is `settings.pairing` of the device's row (the API, the pair command); taking it removes it.
 */
export interface PairingDesk {
  /** calls `begin` once when a request is found; the result stops waiting */
  watch(deviceId: string, begin: (request: PairingRequest) => void): () => void;
  /** nothing is said of a device that has no pairing under way */
  publish(deviceId: string, event: PairingEvent): void;
  /** the device logged in as `jid`: its row says paired, with the number. Refused when a later owner has it (mark-paired.sql) */
  opened(device: Owned, jid: string): void;
  /** the session is gone: its row says not paired. Refused as above */
  unlinked(device: Owned): void;
  close(): void;
}

type Owned = Pick<TransportDevice, 'id' | 'epoch'>;

export interface PairingDeskDeps {
  readonly sql: Sql;
  readonly redis: Pick<Redis, 'publish' | 'set'>;
  /** the node's subscriptions; without them requests are found by the sweep alone */
  readonly subscribe?: ((channel: string, handler: (text: string) => void) => Promise<void>) | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

const SWEEP_MS = 1000;
/** a request that nobody took for so long is not wanted any more */
const STALE_MS = 120_000;
/** how long the last word of a pairing can be read */
const KEPT_MS = 600_000;

const takeRequests = readAsset(import.meta.url, './take-requests.sql');
const markPaired = readAsset(import.meta.url, './mark-paired.sql');

/** Rows written before there were methods hold the time alone. */
function requestOf(stored: Partial<PairingRequest>): PairingRequest {
  const code = stored.method === 'code' && typeof stored.phone === 'string';
  return { requestedAt: Number(stored.requestedAt), method: code ? 'code' : 'qr', phone: stored.phone ?? null };
}

export function createPairingDesk(deps: PairingDeskDeps): PairingDesk {
  const { sql, redis, clock, log } = deps;
  const waiting = new Map<string, (request: PairingRequest) => void>();
  const pairing = new Map<string, { readonly name: string; step: number }>();
  let sweeping = false;
  let again = false;
  let closed = false;
  let cancel = (): void => {};

  const sweep = async (): Promise<void> => {
    if (sweeping) {
      again = true;
      return;
    }
    sweeping = true;
    try {
      const stale = Math.floor(clock.wall() - STALE_MS);
      const rows = await sql.unsafe<{ id: string; request: Partial<PairingRequest> }[]>(takeRequests, [[...waiting.keys()], stale], {
        prepare: true,
      });
      for (const { id, request } of rows) {
        const begin = waiting.get(id);
        waiting.delete(id);
        if (begin === undefined || closed) continue;
        const taken = requestOf(request);
        pairing.set(id, { name: `${taken.requestedAt}`, step: 0 });
        publish(id, { kind: 'started' });
        begin(taken);
      }
    } catch (error) {
      log.warn('pairing.sweep', {}, error);
    }
    sweeping = false;
    plan(again ? 0 : SWEEP_MS);
    again = false;
  };
  const plan = (ms: number): void => {
    cancel();
    if (!closed && !sweeping && waiting.size > 0) cancel = clock.after(ms, () => void sweep(), { background: true });
  };
  const publish = (deviceId: string, event: PairingEvent): void => {
    const current = pairing.get(deviceId);
    if (current === undefined) return;
    current.step += 1;
    if (event.kind === 'end') pairing.delete(deviceId);
    const record: PairingRecord = { event, at: clock.wall(), pairing: current.name, step: current.step };
    const text = JSON.stringify(record);
    // kept before it is told: who subscribes and then reads misses nothing
    Promise.all([redis.set(pairingKey(deviceId), text, 'PX', KEPT_MS), redis.publish(pairingChannel(deviceId), text)]).catch(
      (error: unknown) => log.warn('pairing.publish', {}, error),
    );
  };
  /** false: another owner has the device, nothing was written */
  const mark = async ({ id, epoch }: Owned, paired: boolean, phone: string | null): Promise<boolean> => {
    try {
      const [said] = await sql.unsafe<{ owned: boolean; changed: boolean }[]>(markPaired, [id, epoch, paired, phone], { prepare: true });
      if (said?.changed === true) await redis.publish(partitionKeys(partitionOf(id)).bell, `${BELL.changed}${id}`);
      if (said?.owned === false) log.warn('pairing.mark.fenced', { device: id, paired });
      return said?.owned !== false;
    } catch (error) {
      log.warn('pairing.mark', { device: id, paired }, error);
      return true;
    }
  };
  // a bell only: the request stands in the row, and the sweep finds it without one
  deps
    .subscribe?.(PAIRING_ASKED_CHANNEL, (deviceId) => {
      if (waiting.has(deviceId) && !closed) void sweep();
    })
    .catch((error: unknown) => log.warn('pairing.subscribe', {}, error));

  return {
    watch(deviceId, begin) {
      waiting.set(deviceId, begin);
      plan(0);
      return () => {
        if (waiting.get(deviceId) === begin) waiting.delete(deviceId);
      };
    },
    publish,
    opened(device, jid) {
      const end = (owned: boolean): void => publish(device.id, { kind: 'end', outcome: owned ? 'PAIRED' : 'SESSION_FENCED' });
      void mark(device, true, phoneOf(jid)).then(end);
    },
    unlinked: (device) => void mark(device, false, null),
    close() {
      closed = true;
      cancel();
      waiting.clear();
    },
  };
}
