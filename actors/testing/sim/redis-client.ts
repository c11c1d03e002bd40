import type { Redis } from '../../../ops/connect/index.ts';
import type { LockWatch } from './lock-watch.ts';
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
  /** sees what goes to a lock master */
  readonly locks?: LockWatch;
}

type Argument = string | number | Buffer | readonly Argument[];
function addWords(words: string[], args: readonly Argument[]): void {
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as Argument;
    if (typeof arg === 'string') words.push(arg);
    else if (Array.isArray(arg)) addWords(words, arg);
    else words.push(String(arg));
  }
}
const wordsOf = (args: readonly Argument[]): string[] => {
  const words: string[] = [];
  addWords(words, args);
  return words;
};

const COMMANDS = ['get', 'set', 'mget', 'del', 'time', 'hget', 'zrange', 'zremrangebyscore', 'publish', 'ping', 'evalsha', 'eval'] as const;

class Pipeline {
  readonly calls: { readonly command: string; readonly words: string[] }[] = [];
  private readonly deps: ClientDeps;
  private readonly channel: Channel;
  constructor(deps: ClientDeps, channel: Channel) {
    this.deps = deps;
    this.channel = channel;
  }
  exec(): Promise<[Error | null, Reply][]> {
    const { calls, channel } = this;
    const { network, server, locks } = this.deps;
    if (locks !== undefined) for (const { command, words } of calls) locks.asked(server, command, words);
    return network.request(channel, 'pipeline', () => {
      const replies: [Error | null, Reply][] = [];
      for (const { command, words } of calls) {
        try {
          replies.push([null, server.run(command, words)]);
        } catch (error) {
          replies.push([error as Error, null]);
        }
      }
      return replies;
    });
  }
}
const chained: Record<string, unknown> = {};
for (const name of COMMANDS) {
  const command = name.toUpperCase();
  chained[name] = function add(this: Pipeline, ...args: Argument[]): Pipeline {
    this.calls.push({ command, words: wordsOf(args) });
    return this;
  };
}
Object.assign(Pipeline.prototype, chained);

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
  const client: Record<string, unknown> = {
    pipeline: () => new Pipeline(deps, channel),
    get status() {
      return deps.link.mode === 'reset' ? 'reconnecting' : 'ready';
    },
  };
  for (const name of COMMANDS) {
    const command = name.toUpperCase();
    client[name] = (...args: Argument[]) => {
      const list = wordsOf(args);
      const answered = deps.locks?.asked(server, command, list);
      const answer = network.request(channel, name, () => server.run(command, list));
      // an error says nothing of the lease
      if (answered !== undefined) answer.then(answered, () => {});
      return answer;
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
