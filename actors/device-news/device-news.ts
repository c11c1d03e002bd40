import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { CONNECTED_STATES, type DeviceRecord, type DeviceState } from '../../schema/domain/index.ts';
import type { DeviceStateNote } from '../../schema/sql/index.ts';

/**
 * Tells webhooks when a device of this node is in another state, a batch at a time and never in the way of the device.
 *
 * Owns: the last word of each device that was not written yet. Called by main with every live record.
 * N1 Only states that mean something to a person are told: not those on the way, and sending is being online.
 * N2 Nothing is kept for tenants that do not ask. What was told last stands in Postgres, so a takeover tells nothing anew.
 * N3 A crash loses the words of the last second; the successor says how it stands then.
 */
export interface DeviceNews {
  note(tenantId: string, record: DeviceRecord): void;
  start(): void;
  /** writes what is left */
  close(): Promise<void>;
}
export interface DeviceNewsDeps {
  /** tenants whose webhooks want to hear of devices */
  readonly tenants: () => Promise<ReadonlySet<string>>;
  /** a device stands once */
  readonly write: (notes: readonly DeviceStateNote[]) => Promise<unknown>;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'log'>;
}

const WRITE_MS = 1000;
/** how long a new webhook may wait until it hears of devices */
const LOOK_MS = 5000;
/** devices of one statement */
const BATCH = 1000;

const ON_THE_WAY: ReadonlySet<DeviceState> = new Set<DeviceState>(['CONNECTING', 'MOVING', 'UNKNOWN']);

/** What webhooks are told of a state; null = nothing. Pure. */
export function toldState(state: DeviceState): string | null {
  if (CONNECTED_STATES.has(state)) return 'ONLINE';
  return ON_THE_WAY.has(state) ? null : state;
}

export function createDeviceNews(deps: DeviceNewsDeps): DeviceNews {
  const { clock, telemetry } = deps;
  let asking: ReadonlySet<string> = new Set();
  let lookAt = 0;
  /** by device: the newest word */
  let notes = new Map<string, DeviceStateNote>();
  /** by device: epoch and state that this node said last, so that a device that sends all day long says nothing */
  const said = new Map<string, string>();
  let closed = false;
  let cancel: (() => void) | undefined;
  let running = Promise.resolve();

  const write = async (): Promise<void> => {
    if (clock.monotonic() >= lookAt) {
      asking = await deps.tenants();
      lookAt = clock.monotonic() + LOOK_MS;
    }
    const batch = [...notes.values()];
    notes = new Map();
    for (let from = 0; from < batch.length; from += BATCH) {
      const part = batch.slice(from, from + BATCH);
      try {
        await deps.write(part);
      } catch (error) {
        for (const note of batch.slice(from)) {
          if (!notes.has(note.deviceId)) notes.set(note.deviceId, note);
        }
        throw error;
      }
    }
  };
  const arm = (): void => {
    if (closed) return;
    cancel = clock.after(WRITE_MS, () => {
      running = write()
        .catch((error: unknown) => telemetry.log.warn('device.news', {}, error))
        .then(arm);
    });
  };
  return {
    note(tenantId, record) {
      if (!asking.has(tenantId)) return;
      const state = toldState(record.state);
      const { id: deviceId, epoch, version, reason, at } = record;
      if (state === null || said.get(deviceId) === `${epoch} ${state}`) return;
      said.set(deviceId, `${epoch} ${state}`);
      notes.set(deviceId, { deviceId, tenantId, epoch, version, state, reason, at });
    },
    start: arm,
    async close() {
      closed = true;
      cancel?.();
      await running;
      await write().catch((error: unknown) => telemetry.log.warn('device.news', {}, error));
    },
  };
}
