import type { ControlLane, DeviceAck } from '../../actors/mailbox/index.ts';
import type { Redis } from '../../ops/connect/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { nodeChannel, type ToGateway, type ToNode } from '../../schema/domain/index.ts';

/**
 * What leaves for other processes. Owns what was said in this tick.
 * O1 All messages of a tick to one channel are one PUBLISH; all acks of a tick to one partition are one script.
 * O2 An ack is written to the control lane before its owner is told of it: both go down one connection, in this order.
 */
export interface Outgoing {
  publish(channel: string, message: ToNode | ToGateway): void;
  /** keeps the ack and tells the owner, if one is known */
  ack(ack: DeviceAck, node: string | null): void;
}

export function createOutgoing(deps: {
  readonly redis: Pick<Redis, 'publish'>;
  readonly control: Pick<ControlLane, 'keep'>;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
}): Outgoing {
  const { telemetry } = deps;
  let messages = new Map<string, (ToNode | ToGateway)[]>();
  let acks: DeviceAck[] = [];
  let armed = false;

  const keep = (batch: readonly DeviceAck[]): void => {
    deps.control.keep(batch).then(
      (kept) => {
        // no room: the device's own repeat is what is left
        if (kept < batch.length) telemetry.count('limit.rejected', batch.length - kept, { limit: 'link_acks' });
      },
      (error: unknown) => telemetry.log.warn('link.acks.keep', { acks: batch.length }, error),
    );
  };
  const flush = (): void => {
    armed = false;
    const [said, kept] = [messages, acks];
    messages = new Map();
    acks = [];
    if (kept.length > 0) keep(kept);
    for (const [channel, batch] of said) {
      deps.redis.publish(channel, JSON.stringify(batch)).catch((error: unknown) => telemetry.log.warn('link.publish.failed', {}, error));
    }
  };
  const arm = (): void => {
    if (armed) return;
    armed = true;
    setImmediate(flush);
  };
  const publish = (channel: string, message: ToNode | ToGateway): void => {
    arm();
    const queue = messages.get(channel);
    if (queue === undefined) messages.set(channel, [message]);
    else queue.push(message);
  };
  return {
    publish,
    ack(ack, node) {
      arm();
      acks.push(ack);
      const { deviceId, messageId: id, status, epoch, error } = ack;
      if (node !== null) publish(nodeChannel(node), { kind: 'link.ack', deviceId, id, epoch, status, error });
    },
  };
}
