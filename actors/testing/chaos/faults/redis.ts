import { connectRedis } from '../../../../ops/connect/index.ts';
import { flushStanding } from '../flush.ts';
import { inTheMiddle } from '../scene.ts';
import { CUTS, cuts, REPLIES_LOST } from './cuts.ts';
import type { Fault, Stage, Strike } from './fault.ts';
import { DURABLE, PLAIN, PROXIED } from './grounds.ts';

/** Faults of Redis and of the way to it. */
const REBUILT_MS = 10_000;

async function killRedis(stage: Stage, downMs: number, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<Strike> {
  const { clock, stack, deviceIds } = stage;
  const { answered } = await inTheMiddle(stage, deviceIds);
  const at = clock.wall();
  stack.redis?.kill(signal);
  await clock.sleep(downMs);
  await stack.redis?.restart();
  const healedAt = clock.wall();
  await answered;
  return { at, healedAt };
}

export const REDIS_RESTART_EMPTY: Fault = {
  name: 'redis-restart-empty',
  case: '8',
  ground: PLAIN,
  what: 'Redis killed, started again with nothing',
  strikes: 10,
  restMs: 6000,
  bounds: { fullRateMs: REBUILT_MS },
  strike: (stage) => killRedis(stage, 1000),
};

export const REDIS_RESTART: Fault = {
  name: 'redis-restart',
  case: '8',
  what: 'Redis ended (SIGTERM) and started again from its append-only file',
  ground: DURABLE,
  strikes: 10,
  restMs: 6000,
  bounds: { fullRateMs: REBUILT_MS },
  strike: (stage) => killRedis(stage, 1000, 'SIGTERM'),
};

export const REDIS_RESTART_AOF: Fault = {
  name: 'redis-restart-aof',
  case: '8',
  ground: DURABLE,
  what: 'Redis killed, started again from its append-only file',
  strikes: 10,
  restMs: 6000,
  bounds: { fullRateMs: REBUILT_MS },
  strike: (stage) => killRedis(stage, 1000),
};

export const REDIS_OLD_DUMP: Fault = {
  name: 'redis-old-dump',
  case: '8',
  ground: PLAIN,
  strikes: 10,
  what: 'Redis killed, started again from a dump made 4 s and a takeover of a node earlier',
  restMs: 6000,
  bounds: { fullRateMs: REBUILT_MS },
  async strike(stage) {
    const { clock, stack } = stage;
    const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'chaos' });
    await redis.save();
    redis.disconnect();
    // what the dump says of owners, fences and mailboxes is wrong by then
    await stack.nodes[0]?.restart();
    await clock.sleep(4000);
    return killRedis(stage, 500);
  },
};

export const FLUSHALL: Fault = {
  name: 'flushall',
  case: '8',
  ground: PLAIN,
  what: 'FLUSHALL in the middle of turns',
  strikes: 10,
  restMs: 6000,
  bounds: { fullRateMs: REBUILT_MS, repeatsInFlight: true },
  async strike(stage) {
    const at = stage.clock.wall();
    const inFlight = await flushStanding(stage);
    return { at, healedAt: stage.clock.wall(), inFlight };
  },
};

export const REDIS_CUT: Fault = {
  name: 'redis-cut',
  case: '6',
  what: 'between one node (every second time: every process) and Redis: reset, black hole, one way only, late, narrow; in turn',
  ground: PROXIED,
  strikes: 12,
  atLeast: CUTS.length,
  restMs: 6000,
  bounds: { fullRateMs: REBUILT_MS },
  strike: cuts('redis', CUTS),
};

export const REDIS_REPLIES_LOST: Fault = {
  name: 'redis-replies-lost',
  case: '13',
  what: 'commands run and their replies are lost with the connection (2 %), between every process and Redis',
  ground: PROXIED,
  strikes: 12,
  restMs: 6000,
  bounds: { fullRateMs: REBUILT_MS },
  strike: cuts('redis', [REPLIES_LOST]),
};

export const REDIS_PLAIN: readonly Fault[] = [FLUSHALL, REDIS_RESTART_EMPTY, REDIS_OLD_DUMP];
export const REDIS_DURABLE: readonly Fault[] = [REDIS_RESTART, REDIS_RESTART_AOF];
export const REDIS_PROXIED: readonly Fault[] = [REDIS_CUT, REDIS_REPLIES_LOST];
