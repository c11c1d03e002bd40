import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../../ops/telemetry/index.ts';
import { gatewayChannel, partitionOf, type ToGateway } from '../../../schema/domain/index.ts';
import type { AckPlace, ControlLane, DeviceAck } from '../../mailbox/index.ts';

/**
 * The owner's end of the control lane: takes acks out of it once the ledger has judged them, tells the devices so, and looks in it for those
 * that nobody said to this node (a node or gateway died in between, pub/sub lost them).
 *
 * Owns: the partitions to look at and what is to be taken out in this tick. Called by link.ts.
 * K1 `ok` is said after the ledger's answer, never before.
 * K2 An ack that this node was not told of is found within `lookMs`.
 */
export interface AckFlow {
  /** the ledger has it, or it says nothing any more */
  settled(ack: AckPlace, gateway: string | undefined): void;
  /** looks in the control lane of this device's partition soon */
  look(deviceId: string): void;
  close(): void;
}

export interface AckFlowDeps {
  readonly control: Pick<ControlLane, 'read' | 'remove'>;
  publish(channel: string, messages: readonly ToGateway[]): void;
  /** an ack that was found; false: no device of this node */
  found(ack: DeviceAck): boolean;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** looks of devices that come together are one look */
const GATHER_MS = 25;
/** nobody owns the device, or it is deleted */
const OLD_MS = 24 * 3_600_000;

export function createAckFlow(deps: AckFlowDeps): AckFlow {
  const { clock, telemetry, control } = deps;
  const partitions = new Set<number>();
  let leaving: { readonly ack: AckPlace; readonly gateway: string | undefined }[] = [];
  let cancel: (() => void) | undefined;
  let closed = false;

  const remove = (acks: readonly AckPlace[]): void => {
    control.remove(acks).catch((error: unknown) => telemetry.log.warn('link.acks.remove', { acks: acks.length }, error));
  };
  const flush = (): void => {
    const batch = leaving;
    leaving = [];
    remove(batch.map(({ ack }) => ack));
    const byGateway = new Map<string, ToGateway[]>();
    for (const { ack, gateway } of batch) {
      if (gateway === undefined) continue;
      const said = byGateway.get(gateway) ?? [];
      said.push({ kind: 'link.ok', deviceId: ack.deviceId, id: ack.messageId, status: ack.status });
      byGateway.set(gateway, said);
    }
    for (const [gateway, said] of byGateway) deps.publish(gatewayChannel(gateway), said);
  };
  const read = async (): Promise<void> => {
    const wanted = [...partitions];
    partitions.clear();
    try {
      const old: DeviceAck[] = [];
      for (const ack of await control.read(wanted)) {
        if (closed || deps.found(ack)) continue;
        if (clock.wall() - ack.at > OLD_MS) old.push(ack);
      }
      if (old.length > 0) remove(old);
    } catch (error) {
      telemetry.log.warn('link.acks.read', { partitions: wanted.length }, error);
    }
  };

  return {
    settled(ack, gateway) {
      if (leaving.length === 0) setImmediate(flush);
      leaving.push({ ack, gateway });
    },
    look(deviceId) {
      if (closed) return;
      partitions.add(partitionOf(deviceId));
      cancel ??= clock.after(GATHER_MS, () => {
        cancel = undefined;
        void read();
      });
    },
    close() {
      closed = true;
      cancel?.();
    },
  };
}
