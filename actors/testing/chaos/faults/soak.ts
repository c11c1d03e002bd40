import { readFileSync } from 'node:fs';
import { connectRedis } from '../../../../ops/connect/index.ts';
import type { Fault, Stage } from './fault.ts';
import { CRASH_RECOVERY, GATEWAY_KILL, KILL, PAUSE, ROLLING } from './nodes.ts';
import { PG_BACKEND_KILL, POSTGRES_CUT, POSTGRES_RESTART } from './postgres.ts';
import { FLUSHALL, REDIS_CUT, REDIS_RESTART_AOF } from './redis.ts';

const MIXED: readonly Fault[] = [
  KILL,
  PAUSE,
  ROLLING,
  GATEWAY_KILL,
  CRASH_RECOVERY,
  FLUSHALL,
  REDIS_CUT,
  REDIS_RESTART_AOF,
  POSTGRES_CUT,
  POSTGRES_RESTART,
  PG_BACKEND_KILL,
];
/** Quiet between two faults, ms. */
const QUIET_MS: readonly [number, number] = [10_000, 40_000];

/** Resident memory of the largest node, MB; 0 where /proc is not. */
function largestNodeMb(stage: Stage): number {
  const sizes = stage.stack.nodes.map(({ pid }) => {
    try {
      return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
    } catch {
      return 0;
    }
  });
  return Math.round(Math.max(...sizes));
}

async function redisKeys(stage: Stage): Promise<number> {
  const redis = connectRedis(stage.stack.redisUrl, { role: 'general', name: 'chaos' });
  try {
    return await redis.dbsize();
  } finally {
    redis.disconnect();
  }
}

/** Faults drawn by dice at a low rate on one stack for so long. The dice of the run decide: a seed gives the same faults again. */
export const soak = (minutes: number): Fault => ({
  name: 'soak',
  what: `${minutes} minutes of faults drawn by dice, 10 to 40 s of quiet between`,
  case: '19',
  ground: { name: 'soak', durable: true, proxy: 'both' },
  bounds: { fullRateMs: 10_000 },
  async strike(stage) {
    const { clock, dice, say } = stage;
    const at = clock.wall();
    const [low, high] = QUIET_MS;
    const figures: Record<string, number> = { keysBefore: await redisKeys(stage), nodeMbBefore: largestNodeMb(stage) };
    let struck = 0;
    for (const end = clock.monotonic() + minutes * 60_000; clock.monotonic() < end; struck++) {
      const fault = MIXED[Math.floor(dice.next() * MIXED.length)] ?? KILL;
      say(`${struck + 1}: ${fault.name}`);
      await fault.strike({ ...stage, turn: struck });
      figures[fault.name] = (figures[fault.name] ?? 0) + 1;
      await clock.sleep(low + dice.next() * (high - low));
    }
    const healedAt = clock.wall();
    return { at, healedAt, figures: { ...figures, struck, keysAfter: await redisKeys(stage), nodeMbAfter: largestNodeMb(stage) } };
  },
});
