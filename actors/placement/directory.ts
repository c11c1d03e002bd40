import type { Clock } from '../../ops/lifecycle/index.ts';
import { PARTITIONS, partitionOf } from '../../schema/domain/index.ts';
import { createChangeCursor } from './changes.ts';

export interface DirectorySource {
  devices(): Promise<readonly { readonly deviceId: string; readonly pin: string | null }[]>;
  changed(
    sinceMs: number,
  ): Promise<readonly { readonly deviceId: string; readonly pin: string | null; readonly gone: boolean; readonly changedAt: number }[]>;
}

/**
 * The list of all devices that may be owned, by partition: read whole once, then kept up by changes (a scan costs no SQL).
 * Owns: the list. Called by ownership's loops only, one call at a time.
 *
 * I1 Changes are asked for with an overlap, because a row's change may commit after one with a later time.
 */
export interface Directory {
  readonly size: number;
  /** counts up whenever a device came or went, or is to be elsewhere */
  readonly version: number;
  ids(): Iterable<string>;
  inPartition(partition: number): ReadonlySet<string>;
  has(deviceId: string): boolean;
  /** device -> the node it is to be on */
  readonly pins: ReadonlyMap<string, string>;
  load(): Promise<void>;
  refresh(): Promise<void>;
}

const OVERLAP_MS = 5000;
/** How far apart the clocks of this machine and of Postgres may be. */
const CLOCKS_APART_MS = 60_000;
const NONE: ReadonlySet<string> = new Set();

export function createDirectory(source: DirectorySource, clock: Pick<Clock, 'wall' | 'monotonic'>): Directory {
  let partitions: Set<string>[] = [];
  let size = 0;
  let version = 0;
  const cursor = createChangeCursor(clock, OVERLAP_MS);
  const pins = new Map<string, string>();
  const pinTo = (deviceId: string, node: string | null): void => {
    if ((pins.get(deviceId) ?? null) === node) return;
    if (node === null) pins.delete(deviceId);
    else pins.set(deviceId, node);
    version++;
  };
  const add = (deviceId: string, pin: string | null): void => {
    pinTo(deviceId, pin);
    const group = partitions[partitionOf(deviceId)];
    if (group === undefined || group.has(deviceId)) return;
    group.add(deviceId);
    size++;
    version++;
  };
  const remove = (deviceId: string): void => {
    pinTo(deviceId, null);
    if (partitions[partitionOf(deviceId)]?.delete(deviceId) !== true) return;
    size--;
    version++;
  };
  return {
    get size() {
      return size;
    },
    get version() {
      return version;
    },
    *ids() {
      for (const group of partitions) yield* group;
    },
    inPartition: (partition) => partitions[partition] ?? NONE,
    pins,
    has: (deviceId) => partitions[partitionOf(deviceId)]?.has(deviceId) === true,
    async load() {
      const since = clock.wall() - CLOCKS_APART_MS;
      const devices = await source.devices();
      partitions = Array.from({ length: PARTITIONS }, () => new Set<string>());
      size = 0;
      pins.clear();
      for (const { deviceId, pin } of devices) add(deviceId, pin);
      cursor.restart(since);
      version++;
    },
    async refresh() {
      const changes = await source.changed(cursor.since());
      for (const change of changes) {
        if (change.gone) remove(change.deviceId);
        else add(change.deviceId, change.pin);
      }
      cursor.answered(changes.map((change) => change.changedAt));
    },
  };
}
