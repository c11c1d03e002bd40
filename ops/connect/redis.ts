import { Redis, type RedisOptions } from 'ioredis';
import { systemClock } from '../lifecycle/index.ts';
import type { ConnectLog } from './log.ts';

export type { Redis } from 'ioredis';

/**
 * What a client is for decides what happens to a command when the connection breaks:
 * - `lease`: fails at once and never waits: no offline queue, no second sending, short time-out. A late lease answer is worth nothing.
 * - `mailbox`: never sent twice by the client; a command in flight when the connection breaks is rejected (it may have run).
 * - `subscriber`: subscriptions come back by themselves; what was published in between is lost (every message on it is repaired).
 * - `general`: retried while Redis comes back; only for commands that may run twice.
 */
export type RedisRole = 'lease' | 'mailbox' | 'subscriber' | 'general';

export interface RedisClientOptions {
  readonly role: RedisRole;
  /** CLIENT SETNAME: who this is, in CLIENT LIST */
  readonly name: string;
  readonly log?: ConnectLog;
  /** overrides the role's command time-out, ms */
  readonly commandTimeoutMs?: number;
}

/** 20 ms, 40 ms ... 500 ms: a restarted Redis is found again within half a second. Guess. */
const retryStrategy = (times: number): number => Math.min(20 * 2 ** Math.min(times, 10), 500);

// maxRetriesPerRequest 0 is what rejects commands in flight as soon as the connection breaks: with autoResendUnfulfilledCommands off alone,
// ioredis forgets them and their promises never settle (ioredis/built/redis/event_handler.js, readyHandler).
// socketTimeout ends a connection whose server stands still: a command that timed out stays in ioredis' queue until its connection ends, so
// that a Redis that hangs would fill the memory with what nobody waits for any more.
const ROLES: Readonly<Record<RedisRole, RedisOptions>> = {
  lease: {
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: 1000,
    connectTimeout: 2000,
    socketTimeout: 3000,
  },
  mailbox: {
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: 5000,
    connectTimeout: 5000,
    socketTimeout: 7500,
  },
  subscriber: { autoResubscribe: true, maxRetriesPerRequest: null, connectTimeout: 5000 },
  general: { maxRetriesPerRequest: 20, commandTimeout: 10000, connectTimeout: 5000, socketTimeout: 15000 },
};

/**
 * Opens a client of one role. It reconnects for ever; an `error` listener is always there, so a refused connection never ends the process.
 * The lease role rejects commands until the connection stands: await `redisReady(redis)` after opening.
 */
export function connectRedis(url: string, options: RedisClientOptions): Redis {
  const full: RedisOptions & { replyMapping: 'legacy' } = {
    ...ROLES[options.role],
    ...(options.commandTimeoutMs === undefined ? {} : { commandTimeout: options.commandTimeoutMs }),
    protocol: 3,
    replyMapping: 'legacy',
    connectionName: options.name,
    retryStrategy,
    // a replica that was master a moment ago answers READONLY: look for the master again
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  };
  const redis = new Redis(url, full);
  const fields = { role: options.role, name: options.name };
  redis.on('error', (error: Error) => options.log?.warn('redis.error', fields, error));
  redis.on('ready', () => options.log?.debug('redis.ready', fields));
  redis.on('close', () => options.log?.debug('redis.close', fields));
  return redis;
}

/** Resolves when the client can take commands; rejects when it does not within `timeoutMs` or was ended. */
export function redisReady(redis: Redis, timeoutMs = 10_000): Promise<void> {
  if (redis.status === 'ready') return Promise.resolve();
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      cancel();
      redis.off('ready', onReady);
      redis.off('end', onEnd);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onReady = (): void => settle();
    const onEnd = (): void => settle(new Error('Redis: the client was ended before it was ready'));
    const cancel = systemClock.after(timeoutMs, () => settle(new Error(`Redis: not ready within ${timeoutMs} ms`)));
    redis.once('ready', onReady);
    redis.once('end', onEnd);
  });
}
