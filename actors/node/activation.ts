import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { DeviceRow, InheritedMessage } from '../../schema/sql/index.ts';
import type { OwnedDevice } from '../lease/port.ts';
import type { Gate } from './gate.ts';
import type { DeviceStatements, TurnStatements } from './statements.ts';

/** devices of one round */
const ROUND = 500;
/** Rounds under way at a time: the one waits for the ledger while the other's devices begin. */
const ROUNDS = 2;
/** Crash takeovers in the middle of a turn with no completed turn between that are too many (DESIGN: it is the device that ends nodes). */
export const CRASH_BUDGET = 3;

/**
 * From "owned" to "running": rows loaded, what the predecessor left in flight adopted.
 * I1 No actor starts before its device's open messages are adopted. I2 A device whose ownership ended meanwhile is not started.
 * I3 Every other granted device is started, also one that is granted while a round is under way.
 * I4 A device whose crash budget is spent is in quarantine before its actor starts: the message that ends nodes is not tried once more.
 */
export interface Activation {
  granted(devices: readonly OwnedDevice[]): void;
}

export function createActivation(deps: {
  readonly statements: {
    readonly turn: Pick<TurnStatements, 'adopt'>;
    readonly device: Pick<DeviceStatements, 'loadDevices' | 'setQuarantine'>;
  };
  readonly gate: Gate;
  readonly telemetry: Pick<Telemetry, 'log' | 'count'>;
  begin(owned: OwnedDevice, row: DeviceRow): void;
  /** committed, but perhaps never said */
  again(message: InheritedMessage & { readonly cause: string | null }): void;
}): Activation {
  const waiting: OwnedDevice[] = [];
  let running = 0;

  const round = async (devices: readonly OwnedDevice[]): Promise<void> => {
    const ids = devices.map((device) => device.deviceId);
    const [rows, { adopted, ended }] = await Promise.all([deps.statements.device.loadDevices(ids), deps.statements.turn.adopt(devices)]);
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const device of devices) await guard(device, byId);
    for (const device of devices) {
      const row = byId.get(device.deviceId);
      if (device.signal.aborted) continue;
      if (row === undefined) deps.telemetry.log.error('activation.row.missing', { deviceId: device.deviceId });
      else deps.begin(device, row);
    }
    for (const message of adopted) deps.again({ ...message, cause: 'TAKEN_OVER' });
    for (const message of ended) deps.again(message);
  };

  const guard = async (device: OwnedDevice, byId: Map<string, DeviceRow>): Promise<void> => {
    const row = byId.get(device.deviceId);
    if ((device.crashes ?? 0) < CRASH_BUDGET || row === undefined || row.quarantined || row.deleted) return;
    const quarantined = await deps.statements.device.setQuarantine(row.id, 'CRASH_TAKEOVERS');
    if (quarantined === null) return;
    byId.set(row.id, quarantined);
    deps.telemetry.count('quarantines', 1, { reason: 'CRASH_TAKEOVERS' });
    deps.telemetry.log.error('device.quarantined', { deviceId: row.id, crashes: device.crashes ?? 0 });
  };

  /** false: the node is going down */
  const run = async (): Promise<boolean> => {
    while (waiting.length > 0) {
      try {
        await deps.gate.up();
      } catch {
        return false;
      }
      // only now: I3, and another run may have taken them meanwhile
      const taken = waiting.splice(0, ROUND);
      const devices = taken.filter((device) => !device.signal.aborted);
      if (devices.length === 0) continue;
      try {
        await round(devices);
      } catch (error) {
        waiting.unshift(...devices);
        deps.telemetry.log.warn('activation.failed', { devices: devices.length }, error);
        deps.gate.failed(error);
      }
    }
    return true;
  };
  const start = (): void => {
    if (running >= ROUNDS || waiting.length === 0) return;
    running += 1;
    void run().then((goesOn) => {
      running -= 1;
      // granted between the run's end and here
      if (goesOn) start();
    });
  };
  return {
    granted(devices) {
      waiting.push(...devices);
      start();
    },
  };
}
