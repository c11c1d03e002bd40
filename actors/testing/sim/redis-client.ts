import type { Redis } from '../../../ops/connect/index.ts';
import type { Channel, Link, Network } from './network.ts';
import type { RedisServer, Reply } from './redis-server.ts';
import type { Party, Scheduler } from './scheduler.ts';

/** Clients of a simulated Redis with the manners that ops/connect gives to each role: time-outs, and never a command sent twice. */
const TIMEOUT_MS = { lease: 1000, mailbox: 5000, general: 10_000, subscriber: undefined } as const;
export type Role = keyof typeof TIMEOUT_MS;

export interface ClientDeps {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly server: RedisServer;
  readonly link: Link;
  readonly party: Party;
}

type Argument = string | number | Buffer | readonly Argument[];
const words = (args: readonly Argument[]): string[] => args.flatMap((arg) => (Array.isArray(arg) ? words(arg) : String(arg)));

const COMMANDS = ['get', 'set', 'mget', 'del', 'time', 'hget', 'zrange', 'zremrangebyscore', 'publish', 'ping', 'evalsha', 'eval'] as const;

export function channelOf(deps: ClientDeps, role: Role): Channel {
  return {
    party: deps.party,
    link: deps.link,
    ordered: true,
    timeoutMs: TIMEOUT_MS[role],
    latency: [0.15, 0.6],
    closed: () => new Error('Connection is closed.'),
    timedOut: () => new Error('Command timed out'),
    arrived: 0,
    answered: 0,
  };
}

export function createRedisClient(deps: ClientDeps, role: Role): Redis {
  const { network, server } = deps;
  const channel = channelOf(deps, role);
  const pipeline = () => {
    const calls: { command: string; args: string[] }[] = [];
    const chain: Record<string, unknown> = {
      exec: () =>
        network.request(channel, 'pipeline', () =>
          calls.map(({ command, args }): [Error | null, Reply] => {
            try {
              return [null, server.run(command, args)];
            } catch (error) {
              return [error as Error, null];
            }
          }),
        ),
    };
    for (const name of COMMANDS) {
      const command = name.toUpperCase();
      chain[name] = (...args: Argument[]) => {
        calls.push({ command, args: words(args) });
        return chain;
      };
    }
    return chain;
  };
  const client: Record<string, unknown> = {
    pipeline,
    get status() {
      return deps.link.mode === 'reset' ? 'reconnecting' : 'ready';
    },
  };
  for (const name of COMMANDS) {
    const command = name.toUpperCase();
    client[name] = (...args: Argument[]) => {
      const list = words(args);
      return network.request(channel, name, () => server.run(command, list));
    };
  }
  return client as unknown as Redis;
}

/** Who listens to one server's channels. A message to a subscriber whose connection is cut is gone. */
export interface PubSub {
  published(channel: string, text: string): void;
  /** a subscriber in the shape that actors/node takes */
  subscriber(deps: ClientDeps): {
    subscribe(...channels: string[]): Promise<unknown>;
    on(event: 'message' | 'ready', handler: (...args: string[]) => void): void;
    /** the connection broke and stands again: subscriptions are back, what was said meanwhile is lost */
    reconnected(): void;
  };
  /** share of messages that get lost anyway */
  loss: number;
}

export function createPubSub(scheduler: Scheduler, network: Network): PubSub {
  const listeners = new Map<string, Set<{ readonly deps: ClientDeps; hear(channel: string, text: string): void; last: number }>>();
  const pubsub: PubSub = {
    loss: 0,
    published(channel, text) {
      for (const one of listeners.get(channel) ?? []) {
        const { link, party } = one.deps;
        if (party.state === 'dead' || link.mode !== 'ok' || network.chance(pubsub.loss) || network.chance(link.loss)) continue;
        const at = Math.max(
          one.last,
          scheduler.now() + network.between(0.15, 0.6) + (link.delayMs > 0 ? network.between(0, link.delayMs) : 0),
        );
        one.last = at;
        scheduler.at(at, party, 'message', 'message', () => one.hear(channel, text));
      }
    },
    subscriber(deps) {
      const heard: ((channel: string, text: string) => void)[] = [];
      const ready: (() => void)[] = [];
      const own = {
        deps,
        hear: (channel: string, text: string) => {
          for (const handler of heard) handler(channel, text);
        },
        last: 0,
      };
      const channel = channelOf(deps, 'subscriber');
      return {
        subscribe: (...channels) =>
          network.request(channel, 'subscribe', () => {
            for (const name of channels) {
              const known = listeners.get(name);
              if (known === undefined) listeners.set(name, new Set([own]));
              else known.add(own);
            }
            return channels.length;
          }),
        on(event, handler) {
          if (event === 'message') heard.push(handler as (channel: string, text: string) => void);
          else ready.push(handler as () => void);
        },
        reconnected: () => {
          scheduler.at(scheduler.now() + network.between(1, 500), deps.party, 'message', 'ready', () => {
            for (const handler of ready) handler();
          });
        },
      };
    },
  };
  return pubsub;
}
