import type { LiveReader } from '../../actors/live/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import {
  DEVICE_STATES,
  type DeviceRecord,
  type DeviceState,
  isRemoved,
  type LiveBatch,
  type RemovedDevice,
} from '../../schema/domain/index.ts';
import type { DeviceLiveUpdate, FleetTotals, FleetUpdate, LiveFeed, LiveTotals } from '../../schema/graphql/index.ts';
import type { NodeWatch } from './node-watch.ts';
import { createRing } from './ring.ts';

/**
 * One tenant's devices as their owners last described them.
 * Owns: the records, the counts by node and state, the figures of the last second. Called by streams.ts; read by groups and queries.
 * I1 What is given out is one whole position: a batch is applied and the ring moved in the same tick.
 * I2 `version` rises when figures or the silence of a node changed; `silenceAt` says at which version a node's silence last did.
 * I3 A record of a silent node is given out as UNKNOWN, everywhere.
 */
export interface DeviceMirror {
  readonly ready: Promise<void>;
  /** `ready` has come: what is asked needs no waiting */
  loaded(): boolean;
  device(id: string): DeviceRecord | undefined;
  states(): ReadonlyMap<DeviceState, number>;
  fleet(): LiveFeed<FleetUpdate>;
  deviceLive(id: string): LiveFeed<DeviceLiveUpdate>;
  watched(): boolean;
  close(): void;
}
export interface DeviceMirrorDeps {
  readonly reader: LiveReader;
  readonly nodes: NodeWatch;
  readonly clock: Clock;
  /** the figures Postgres has, at most a second old */
  readonly totals: (tenantId: string) => Promise<FleetTotals>;
}

const FIGURES_MS = 1_000;
const NO_FIGURES: FleetTotals = { devices: 0, backlog: 0, sentPerMinute: 0, failedPerMinute: 0 };

function createCounts() {
  const byNode = new Map<string | null, Map<DeviceState, number>>();
  return {
    add(record: DeviceRecord, by: 1 | -1): void {
      const states = byNode.get(record.node) ?? new Map<DeviceState, number>();
      states.set(record.state, (states.get(record.state) ?? 0) + by);
      byNode.set(record.node, states);
    },
    clear: () => byNode.clear(),
    nodes: () => byNode.keys(),
    byState(silent: (node: string) => boolean): Map<DeviceState, number> {
      const sum = new Map<DeviceState, number>();
      for (const [node, states] of byNode) {
        const quiet = node !== null && silent(node);
        for (const [state, count] of states) {
          const key = quiet ? 'UNKNOWN' : state;
          if (count !== 0) sum.set(key, (sum.get(key) ?? 0) + count);
        }
      }
      return sum;
    },
  };
}

/** What nobody has spoken for is UNKNOWN, so that the counts add up to `devices`. */
function withStates(figures: FleetTotals, known: ReadonlyMap<DeviceState, number>): LiveTotals {
  const spoken = [...known].reduce((sum, [state, count]) => sum + (state === 'UNKNOWN' ? 0 : count), 0);
  const devices = Math.max(figures.devices, spoken);
  const unknown = devices - spoken;
  const states = DEVICE_STATES.map((state) => ({ state, count: state === 'UNKNOWN' ? unknown : (known.get(state) ?? 0) }));
  return { ...figures, devices, states: states.filter((entry) => entry.count > 0) };
}

export function createDeviceMirror(deps: DeviceMirrorDeps, tenantId: string): DeviceMirror {
  const { nodes, clock } = deps;
  const records = new Map<string, DeviceRecord>();
  const counts = createCounts();
  const ring = createRing<DeviceRecord | RemovedDevice>({ batches: 2_000, records: 20_000 });
  const listeners = new Set<() => void>();
  const silenceAt = new Map<string, number>();
  const wasSilent = new Set<string>();
  let simulated = 0;
  let version = 0;
  let figures = NO_FIGURES;
  let unwatchNodes: (() => void) | undefined;
  let cancelFigures: (() => void) | undefined;
  let closed = false;

  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  const put = (record: DeviceRecord | RemovedDevice): void => {
    const before = records.get(record.id);
    if (before !== undefined) counts.add(before, -1);
    if (before?.transport === 'simulator') simulated -= 1;
    if (isRemoved(record)) {
      records.delete(record.id);
      return;
    }
    records.set(record.id, record);
    counts.add(record, 1);
    if (record.transport === 'simulator') simulated += 1;
  };
  const effective = (record: DeviceRecord): DeviceRecord =>
    record.node !== null && nodes.silent(record.node) ? { ...record, state: 'UNKNOWN', reason: 'NODE_SILENT' } : record;
  const lookAtNodes = (): boolean => {
    let changed = false;
    for (const node of counts.nodes()) {
      if (node === null || nodes.silent(node) === wasSilent.has(node)) continue;
      if (nodes.silent(node)) wasSilent.add(node);
      else wasSilent.delete(node);
      silenceAt.set(node, version + 1);
      changed = true;
    }
    if (changed) version += 1;
    return changed;
  };
  const lookAtFigures = async (): Promise<void> => {
    const next = await deps.totals(tenantId);
    const same = (Object.keys(NO_FIGURES) as (keyof FleetTotals)[]).every((name) => next[name] === figures[name]);
    if (same || closed) return;
    figures = next;
    version += 1;
    tell();
  };
  const figuresLoop = (): void => {
    lookAtFigures()
      .catch(() => undefined)
      .finally(() => {
        cancelFigures = closed || listeners.size === 0 ? undefined : clock.after(FIGURES_MS, figuresLoop, { background: true });
      });
  };
  const watch = (listener: () => void): (() => void) => {
    listeners.add(listener);
    if (listeners.size === 1 && cancelFigures === undefined) {
      cancelFigures = () => undefined;
      figuresLoop();
    }
    return () => void listeners.delete(listener);
  };

  const subscription = deps.reader.open(tenantId, 'devices', {
    reset(position, all, history) {
      records.clear();
      counts.clear();
      simulated = 0;
      for (const record of all) put(record);
      ring.reset(position, history);
      lookAtNodes();
      tell();
    },
    batch(batch: LiveBatch<DeviceRecord | RemovedDevice>) {
      for (const record of batch.records) put(record);
      ring.push(batch);
      tell();
    },
  });
  unwatchNodes = nodes.watch(() => {
    if (lookAtNodes()) tell();
  });
  let loaded = false;
  const ready = Promise.all([subscription.ready, lookAtFigures().catch(() => undefined)]).then(() => {
    loaded = true;
  });

  const update = (
    kind: FleetUpdate['kind'],
    from: number,
    list: readonly DeviceRecord[],
    removed: readonly string[] = [],
  ): FleetUpdate => ({
    kind,
    ...ring.top(),
    from,
    asOf: clock.wall(),
    records: list.map(effective),
    removed,
    simulated: simulated > 0,
    totals: withStates(figures, counts.byState(nodes.silent)),
  });
  const fleet: LiveFeed<FleetUpdate> = {
    kind: 'state',
    ready: () => ready,
    top: ring.top,
    version: () => version,
    watch,
    snapshot: () => update('snapshot', ring.top().seq, [...records.values()]),
    range(from, seen) {
      const batches = ring.after(from);
      // a reader that does not know its version may hold records of nodes that fell silent or came back since
      if (batches === undefined || (seen === undefined && silenceAt.size > 0)) return { kind: 'gap' };
      const changed = new Map<string, DeviceRecord>();
      const removed = new Set<string>();
      for (const batch of batches) {
        for (const { id } of batch.records) {
          const record = records.get(id);
          if (record === undefined) removed.add(id);
          else changed.set(id, record);
        }
      }
      const flipped = new Set([...silenceAt].flatMap(([node, at]) => (seen !== undefined && at > seen ? [node] : [])));
      if (flipped.size > 0)
        for (const record of records.values()) if (record.node !== null && flipped.has(record.node)) changed.set(record.id, record);
      return { kind: 'updates', updates: [update('delta', from.seq, [...changed.values()], [...removed])] };
    },
  };
  const deviceLive = (id: string): LiveFeed<DeviceLiveUpdate> => {
    const now = (): DeviceLiveUpdate => {
      const record = records.get(id);
      return { id, ...ring.top(), asOf: clock.wall(), record: record === undefined ? null : effective(record) };
    };
    return {
      kind: 'state',
      ready: () => ready,
      top: ring.top,
      version: () => silenceAt.get(records.get(id)?.node ?? '') ?? 0,
      watch,
      snapshot: now,
      range(from, seen) {
        const batches = ring.after(from);
        if (batches === undefined || seen === undefined) return { kind: 'gap' };
        const node = records.get(id)?.node;
        const flipped = node !== null && node !== undefined && (silenceAt.get(node) ?? 0) > seen;
        const changed = flipped || batches.some((batch) => batch.records.some((record) => record.id === id));
        return { kind: 'updates', updates: changed ? [now()] : [] };
      },
    };
  };
  return {
    ready,
    loaded: () => loaded,
    device(id) {
      const record = records.get(id);
      return record === undefined ? undefined : effective(record);
    },
    states: () => counts.byState(nodes.silent),
    fleet: () => fleet,
    deviceLive,
    watched: () => listeners.size > 0,
    close() {
      closed = true;
      subscription.close();
      unwatchNodes?.();
      cancelFigures?.();
      listeners.clear();
    },
  };
}
