import type { Log } from '../../ops/telemetry/index.ts';

/**
 * The node's one subscriber connection, shared by the bus (own channel) and the doorbells (owned partitions).
 *
 * Owns: which channel goes to which handler. Does not own: the connection (whoever made the client closes it).
 * I1 A channel is subscribed once, however often it is asked for.
 * I2 After every reconnect `onReset` handlers run: what was published meanwhile is lost, so they sweep.
 */
export interface Subscriptions {
  /** Resolves once the subscription stands. Later calls for the same channel replace the handler. */
  on(channel: string, handler: (text: string) => void): Promise<void>;
  /** called after each reconnect, when everything is subscribed again */
  onReset(handler: () => void): void;
}

/** The part of an ioredis client in subscriber mode that is used here. */
export interface SubscriberClient {
  subscribe(...channels: string[]): Promise<unknown>;
  on(event: 'message', handler: (channel: string, text: string) => void): unknown;
  on(event: 'ready', handler: () => void): unknown;
}

export function createSubscriptions(client: SubscriberClient, log: Log): Subscriptions {
  const handlers = new Map<string, (text: string) => void>();
  const pending = new Map<string, Promise<void>>();
  const resets: (() => void)[] = [];
  client.on('message', (channel, text) => {
    const handler = handlers.get(channel);
    if (handler === undefined) return;
    try {
      handler(text);
    } catch (error) {
      log.error('subscription.handler', {}, error);
    }
  });
  client.on('ready', () => {
    for (const reset of resets) reset();
  });
  return {
    on(channel, handler) {
      handlers.set(channel, handler);
      const known = pending.get(channel);
      if (known !== undefined) return known;
      const subscribed = client.subscribe(channel).then(
        () => {},
        (error: unknown) => {
          pending.delete(channel);
          throw error;
        },
      );
      pending.set(channel, subscribed);
      return subscribed;
    },
    onReset(handler) {
      resets.push(handler);
    },
  };
}
