import type { Log } from '../../ops/telemetry/index.ts';
import { nodeChannel, type ToGateway, type ToNode } from '../../schema/domain/index.ts';
import type { Subscriptions } from './subscriptions.ts';

/**
 * Directed messages between processes (schema/domain/bus.ts) over Redis pub/sub. Lossy: every user repairs loss by a timeout,
 * a repeat of the same id or a sweep.
 *
 * Owns: the outgoing messages of the present tick. Called by ownership (directed transfers) and the link transport (frames).
 * I1 All messages of one tick to one channel go out as one PUBLISH of one JSON array, in the order given.
 * I2 One handler per kind; a handler that throws is logged and does not stop the others.
 */
export interface NodeBus {
  /** `handler` gets every message of that kind sent to this node. The result removes it. */
  on<K extends ToNode['kind']>(kind: K, handler: (message: Extract<ToNode, { kind: K }>) => void): () => void;
  /** queues messages for a channel (`nodeChannel(id)` or `gatewayChannel(id)`); never throws, loss is logged */
  publish(channel: string, messages: readonly (ToNode | ToGateway)[]): void;
}

export interface BusPublisher {
  publish(channel: string, text: string): Promise<unknown>;
}

export interface NodeBusDeps {
  readonly publisher: BusPublisher;
  readonly subscriptions: Subscriptions;
  readonly log: Log;
}

/** Resolves once the node's own channel is subscribed. */
export async function createNodeBus(deps: NodeBusDeps, nodeId: string): Promise<NodeBus> {
  const handlers = new Map<string, (message: never) => void>();
  let outgoing = new Map<string, (ToNode | ToGateway)[]>();
  const flush = (): void => {
    const batch = outgoing;
    outgoing = new Map();
    for (const [channel, messages] of batch) {
      deps.publisher.publish(channel, JSON.stringify(messages)).catch((error: unknown) => {
        deps.log.warn('bus.publish.failed', { messages: messages.length }, error);
      });
    }
  };
  await deps.subscriptions.on(nodeChannel(nodeId), (text) => {
    for (const message of JSON.parse(text) as ToNode[]) {
      try {
        (handlers.get(message.kind) as ((message: ToNode) => void) | undefined)?.(message);
      } catch (error) {
        deps.log.error('bus.handler', { kind: message.kind }, error);
      }
    }
  });
  return {
    on(kind, handler) {
      handlers.set(kind, handler as (message: never) => void);
      return () => {
        if (handlers.get(kind) === (handler as unknown)) handlers.delete(kind);
      };
    },
    publish(channel, messages) {
      if (messages.length === 0) return;
      // after all promises of this tick have settled, and still in it: a link frame leaves in the tick in which its sender was allowed to act
      if (outgoing.size === 0) process.nextTick(flush);
      const queue = outgoing.get(channel);
      if (queue === undefined) outgoing.set(channel, [...messages]);
      else queue.push(...messages);
    },
  };
}
