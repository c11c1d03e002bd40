import type { Log } from '../../ops/telemetry/index.ts';
import type { TransportKind } from '../../schema/domain/index.ts';
import type { DeviceRow } from '../../schema/sql/index.ts';
import type { Line } from '../device/index.ts';
import type { OwnedDevice } from '../lease/port.ts';
import type { Transport, TransportEvents } from '../transports/port.ts';

/** How to get each kind of transport. Called when the first device of the kind is granted, so that heavy ones load only where they are needed. */
export type TransportLoaders = Readonly<Partial<Record<TransportKind, () => Promise<Transport>>>>;

/** Opens the ways out of devices. A transport is made once per kind; one that could not be made is tried again with the next device. */
export interface Connections {
  /**
   * undefined: the ownership ended meanwhile, or this node has no such transport (the device's state says so).
   * Rejects when the transport could not be made or refused the device.
   */
  open(owned: OwnedDevice, row: DeviceRow, events: TransportEvents): Promise<Line | undefined>;
  /** the row's settings have changed */
  update(row: DeviceRow): void;
  /** transports of this kind may not repeat an attempt whose outcome is not known; false while the kind is not loaded */
  cautious(kind: TransportKind): boolean;
  close(): Promise<void>;
}

export function createConnections(deps: { readonly loaders: TransportLoaders; readonly log: Log; readonly node: string }): Connections {
  const loaded = new Map<TransportKind, Promise<Transport>>();
  const cautious = new Set<TransportKind>();
  /** what transports were told of their devices; of simulated and link devices they ask nothing later */
  const told = new Map<string, { settings: DeviceRow['settings'] }>();
  const transport = (kind: TransportKind): Promise<Transport> | undefined => {
    const known = loaded.get(kind);
    if (known !== undefined) return known;
    const loading = deps.loaders[kind]?.();
    if (loading === undefined) return undefined;
    loaded.set(kind, loading);
    loading.catch((error: unknown) => {
      loaded.delete(kind);
      deps.log.error('transport.load', { transport: kind }, error);
    });
    return loading;
  };
  return {
    async open(owned, row, events) {
      const loading = transport(row.transport);
      if (loading === undefined) {
        events.state({ state: 'OFFLINE', reason: 'TRANSPORT_MISSING' });
        return undefined;
      }
      const way = await loading.catch((error: unknown) => {
        events.state({ state: 'OFFLINE', reason: 'TRANSPORT_FAILED' });
        throw error;
      });
      if (!way.resendsUnknown) cautious.add(row.transport);
      if (owned.signal.aborted) return undefined;
      const device = {
        id: row.id,
        tenantId: row.tenantId,
        epoch: owned.epoch,
        node: deps.node,
        phone: row.phone,
        settings: row.settings,
        canAct: owned.canAct,
      };
      if (row.transport === 'whatsapp') {
        told.set(row.id, device);
        owned.signal.addEventListener('abort', () => told.get(row.id) === device && told.delete(row.id), { once: true });
      }
      const connection = way.connect(device, events, owned.signal);
      return {
        kind: way.kind,
        resendsUnknown: way.resendsUnknown,
        send: (message, timeoutMs) => connection.send(message, timeoutMs),
      };
    },
    update(row) {
      const device = told.get(row.id);
      if (device !== undefined) device.settings = row.settings;
    },
    cautious: (kind) => cautious.has(kind),
    async close() {
      await Promise.allSettled([...loaded.values()].map(async (way) => (await way).close()));
    },
  };
}
