import { createLiveReader } from '../../actors/live/index.ts';
import type { Redis } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { FleetReads, FleetTotals, LiveReads, LiveStreams } from '../../schema/graphql/index.ts';
import { createDeviceMirror, type DeviceMirror } from './device-mirror.ts';
import { createEventMirror, type EventMirror } from './event-mirror.ts';
import { createFlowProgress, type FlowProgressDeps } from './flow-progress.ts';
import { createNodeWatch } from './node-watch.ts';
import { createPairings } from './pairings.ts';

/**
 * The gateway's live state: a mirror per tenant and stream, made when first asked for, dropped a minute after the last use.
 * Owns: the mirrors. Called by the GraphQL context (`LiveReads`, `LiveStreams`).
 */
export interface Streams extends LiveReads, LiveStreams {
  close(): void;
}
export interface StreamsDeps {
  /** role general */
  readonly redis: Redis;
  /** role subscriber */
  readonly subscriber: Redis;
  readonly totals: FleetReads['totals'];
  readonly progress: FlowProgressDeps['read'];
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

const IDLE_MS = 60_000;
/** a query does not wait longer for a mirror that cannot load: it says UNKNOWN */
const PATIENCE_MS = 1_000;

interface Kept<M> {
  readonly mirror: M;
  usedAt: number;
}

/** Figures of a tenant, asked for at most once a second, however many ask. */
export function createTotals(read: FleetReads['totals'], clock: Clock): FleetReads['totals'] {
  const cache = new Map<string, { readonly at: number; readonly value: Promise<FleetTotals> }>();
  return (tenantId) => {
    const known = cache.get(tenantId);
    if (known !== undefined && clock.monotonic() - known.at < 1_000) return known.value;
    const value = read(tenantId);
    cache.set(tenantId, { at: clock.monotonic(), value });
    value.catch(() => cache.delete(tenantId));
    return value;
  };
}

export function createStreams(deps: StreamsDeps): Streams {
  const { clock } = deps;
  const reader = createLiveReader(deps);
  const nodes = createNodeWatch(deps.redis, clock);
  const totals = createTotals(deps.totals, clock);
  const pairings = createPairings({ redis: deps.redis, subscriber: deps.subscriber, telemetry: deps.telemetry });
  const campaigns = createFlowProgress({ read: deps.progress, clock, telemetry: deps.telemetry });
  const devices = new Map<string, Kept<DeviceMirror>>();
  const events = new Map<string, Kept<EventMirror>>();

  const use = <M extends object>(kept: Map<string, Kept<M>>, tenantId: string, make: () => M): M => {
    const known = kept.get(tenantId) ?? { mirror: make(), usedAt: 0 };
    known.usedAt = clock.monotonic();
    kept.set(tenantId, known);
    return known.mirror;
  };
  const devicesOf = (tenantId: string): DeviceMirror =>
    use(devices, tenantId, () => createDeviceMirror({ reader, nodes, clock, totals }, tenantId));
  const eventsOf = (tenantId: string): EventMirror => use(events, tenantId, () => createEventMirror(reader, tenantId));
  const dropIdle = (): void => {
    for (const kept of [devices, events] as const) {
      for (const [tenantId, { mirror, usedAt }] of kept) {
        if (mirror.watched() || clock.monotonic() - usedAt < IDLE_MS) continue;
        kept.delete(tenantId);
        mirror.close();
      }
    }
    cancel = clock.after(IDLE_MS / 2, dropIdle, { background: true });
  };
  let cancel = clock.after(IDLE_MS / 2, dropIdle, { background: true });

  /**
   * Waits for the mirror's first load, but not for ever. Loaded, it answers at once: a page asks for each of its rows, and a promise with a
   * timer for each was most of what the page cost.
   */
  const told = <T>(mirror: DeviceMirror, tell: (mirror: DeviceMirror) => T): T | Promise<T> => {
    if (mirror.loaded()) return tell(mirror);
    const late = new AbortController();
    return Promise.race([mirror.ready, clock.sleep(PATIENCE_MS, late.signal).catch(() => undefined)]).then(() => {
      late.abort(new Error('loaded'));
      return tell(mirror);
    });
  };
  return {
    device: (tenantId, deviceId) => told(devicesOf(tenantId), (mirror) => mirror.device(deviceId)),
    devices: (tenantId) => told(devicesOf(tenantId), (mirror) => mirror.device),
    states: (tenantId) => told(devicesOf(tenantId), (mirror) => mirror.states()),
    fleet: (tenantId) => devicesOf(tenantId).fleet(),
    deviceLive: (tenantId, deviceId) => devicesOf(tenantId).deviceLive(deviceId),
    pairing: (deviceId) => pairings.feed(deviceId),
    flowProgress: (tenantId, id) => campaigns.feed(tenantId, id),
    messageEvents: (tenantId, filter) => eventsOf(tenantId).events(filter),
    close() {
      cancel();
      for (const { mirror } of devices.values()) mirror.close();
      for (const { mirror } of events.values()) mirror.close();
      nodes.close();
      pairings.close();
      campaigns.close();
      reader.close();
    },
  };
}
