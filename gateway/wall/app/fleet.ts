/**
 * The wall's copy of the fleet. Owns every device's row and the stream's position; knows nothing of sockets or pixels.
 * I1: a delta is applied only when it starts at or before the position and belongs to the same epoch; else the copy asks for a snapshot.
 * I2: what is shown is always one whole position: a snapshot replaces everything at once.
 */
export interface Totals {
  readonly devices: number;
  readonly connected: number;
  readonly backlog: number;
  readonly sentPerMinute: number;
  readonly failedPerMinute: number;
  readonly states: readonly { readonly state: string; readonly count: number }[];
}
/** Columns of equal length: the i-th device is ids[i], names[i], states[i], nodes[nodeIndex[i]] (or -1: no node). */
export interface Columns {
  readonly epoch: string;
  readonly seq: number;
  readonly asOf: string;
  readonly simulated: boolean;
  readonly nodes: readonly string[];
  readonly ids: readonly string[];
  readonly names: readonly string[];
  readonly states: readonly string[];
  readonly nodeIndex: readonly number[];
  readonly reasons: readonly (string | null)[];
  readonly totals: Totals;
}
export type FleetUpdate =
  | ({ readonly __typename: 'FleetSnapshot' } & Columns)
  | ({ readonly __typename: 'FleetDelta'; readonly from: number; readonly removed: readonly string[] } & Columns);

export interface DeviceRow {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly reason: string | null;
  readonly node: string | null;
  /** local ms of the last visible change */
  readonly changedAt: number;
}

export interface Fleet {
  readonly rows: ReadonlyMap<string, DeviceRow>;
  readonly position: { readonly epoch: string; readonly seq: number } | null;
  readonly totals: Totals | null;
  readonly simulated: boolean;
  /** the nodes that own devices; silent = the state of all their devices is unknown */
  nodes(): { readonly speaking: number; readonly silent: number };
  /** false = the update does not fit (I1): take a snapshot */
  apply(update: FleetUpdate, now: number): boolean;
}

export const NO_NODE = 'no node';

export function createFleet(): Fleet {
  let rows = new Map<string, DeviceRow>();
  let position: { epoch: string; seq: number } | null = null;
  let totals: Totals | null = null;
  let simulated = false;
  const put = (columns: Columns, target: Map<string, DeviceRow>, previous: ReadonlyMap<string, DeviceRow>, now: number): void => {
    columns.ids.forEach((id, index) => {
      const state = columns.states[index] ?? 'UNKNOWN';
      const node = columns.nodes[columns.nodeIndex[index] ?? -1] ?? null;
      const before = previous.get(id);
      const changedAt = before !== undefined && before.state === state && before.node === node ? before.changedAt : now;
      target.set(id, { id, name: columns.names[index] ?? '', state, reason: columns.reasons[index] ?? null, node, changedAt });
    });
  };
  return {
    get rows() {
      return rows;
    },
    get position() {
      return position;
    },
    get totals() {
      return totals;
    },
    get simulated() {
      return simulated;
    },
    nodes() {
      const speaks = new Map<string, boolean>();
      for (const { node, state } of rows.values()) {
        if (node !== null) speaks.set(node, speaks.get(node) === true || state !== 'UNKNOWN');
      }
      const speaking = [...speaks.values()].filter(Boolean).length;
      return { speaking, silent: speaks.size - speaking };
    },
    apply(update, now) {
      if (update.__typename === 'FleetSnapshot') {
        const fresh = new Map<string, DeviceRow>();
        put(update, fresh, rows, position === null ? now - 60_000 : now);
        rows = fresh;
      } else {
        if (position === null || update.epoch !== position.epoch || update.from > position.seq) return false;
        if (update.seq < position.seq) return true;
        put(update, rows, rows, now);
        for (const id of update.removed) rows.delete(id);
      }
      position = { epoch: update.epoch, seq: update.seq };
      totals = update.totals;
      simulated = update.simulated;
      return true;
    },
  };
}
