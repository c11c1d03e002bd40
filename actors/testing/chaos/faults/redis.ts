import { connectRedis } from '../../../../ops/connect/index.ts';
import { flushStanding } from '../flush.ts';
import type { Disturbance } from '../proxy.ts';
import { inTheMiddle } from '../scene.ts';
import type { Fault, Stage, Strike } from './fault.ts';

/** Faults of Redis and of the way to it. */
const REBUILT_MS = 10_000;

async function killRedis(stage: Stage, downMs: number): Promise<Strike> {
  const { clock, stack, deviceIds } = stage;
  const { answered } = await inTheMiddle(stage, deviceIds);
  const at = clock.wall();
  stack.redis?.kill('SIGKILL');
  await clock.sleep(downMs);
  await stack.redis?.restart();
  const healedAt = clock.wall();
  await answered;
  return { at, healedAt };
}

export const REDIS_RESTART_EMPTY: Fault = {
  name: 'redis-restart-empty',
  what: 'Redis killed, started again with nothing',
  strikes: 2,
  restMs: 8000,
  bounds: { fullRateMs: REBUILT_MS },
  strike: (stage) => killRedis(stage, 1000),
};

export const REDIS_RESTART_AOF: Fault = {
  name: 'redis-restart-aof',
  what: 'Redis killed, started again from its append-only file',
  needs: { durable: true },
  strikes: 2,
  restMs: 8000,
  bounds: { fullRateMs: REBUILT_MS },
  strike: (stage) => killRedis(stage, 1000),
};

export const REDIS_OLD_DUMP: Fault = {
  name: 'redis-old-dump',
  what: 'Redis killed, started again from a dump made 4 s and a takeover of a node earlier',
  restMs: 8000,
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
  what: 'FLUSHALL in the middle of turns',
  strikes: 2,
  restMs: 8000,
  bounds: { fullRateMs: REBUILT_MS, repeatsInFlight: true },
  async strike(stage) {
    const at = stage.clock.wall();
    const inFlight = await flushStanding(stage);
    return { at, healedAt: stage.clock.wall(), inFlight };
  },
};

const CUTS: readonly (readonly [string, Disturbance, number])[] = [
  ['reset', { kind: 'reset' }, 3000],
  ['black hole', { kind: 'hold', way: 'both' }, 9000],
  ['replies held', { kind: 'hold', way: 'replies' }, 9000],
  ['commands held', { kind: 'hold', way: 'commands' }, 9000],
  ['late by 300 ms, give or take 200', { kind: 'latency', ms: 300, jitterMs: 200 }, 6000],
  ['replies lost', { kind: 'lose-replies', rate: 0.02 }, 4000],
];

/** Cuts one node (every second time: all) off a server in each way in turn. */
export function cuts(server: 'redis' | 'postgres'): (stage: Stage) => Promise<Strike> {
  return async (stage) => {
    const { clock, deviceIds, stack } = stage;
    const [name, disturbance, lastsMs] = CUTS[stage.turn % CUTS.length] ?? CUTS[0] ?? ['', { kind: 'none' }, 0];
    const victims = stage.turn % 2 === 0 ? [stack.nodes[stage.turn % stack.nodes.length]?.id ?? ''] : [...stage.proxies.keys()];
    const { answered } = await inTheMiddle(stage, deviceIds);
    stage.say(`${server} of ${victims.join(', ')}: ${name} for ${lastsMs} ms`);
    const at = clock.wall();
    for (const victim of victims) stage.proxies.get(victim)?.[server]?.disturb(disturbance);
    await clock.sleep(lastsMs);
    for (const victim of victims) stage.proxies.get(victim)?.[server]?.disturb({ kind: 'none' });
    const healedAt = clock.wall();
    await answered;
    return { at, healedAt };
  };
}

export const REDIS_CUT: Fault = {
  name: 'redis-cut',
  what: 'between processes and Redis: reset, black hole, one way only, late, replies lost',
  needs: { proxy: 'redis' },
  strikes: CUTS.length,
  restMs: 4000,
  bounds: { fullRateMs: REBUILT_MS },
  strike: cuts('redis'),
};

export const REDIS_FAULTS: readonly Fault[] = [REDIS_RESTART_EMPTY, REDIS_RESTART_AOF, REDIS_OLD_DUMP, FLUSHALL, REDIS_CUT];
