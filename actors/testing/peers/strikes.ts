import { connectPostgres, connectRedis } from '../../../ops/connect/index.ts';
import { readAsset } from '../../../ops/lifecycle/index.ts';
import type { ArenaStage, ArenaStrike } from './arena.ts';
import type { Peer } from './peer.ts';

/** The faults that our own matrix has under the same names, as they are for a peer's workers and for the store that holds its jobs. */
const END_BACKENDS = readAsset(import.meta.url, './end-all-backends.sql');
const DOWN_MS = 2000;
/** Longer than its lock; a peer whose locks do not end in any run is stopped for as long. */
const PAUSE_MS = 36_000;
const KILLS = 7;
const KILL_EVERY_MS = 5000;
const BACKEND_KILLS = 10;

const kill: ArenaStrike = async ({ clock, workers }) => {
  const at = clock.wall();
  workers.kill(0, 'SIGKILL');
  await clock.sleep(3000);
  return { at, healedAt: clock.wall() };
};

const pause: ArenaStrike = async ({ clock, workers }) => {
  const at = clock.wall();
  workers.kill(0, 'SIGSTOP');
  await clock.sleep(PAUSE_MS);
  workers.kill(0, 'SIGCONT');
  return { at, healedAt: clock.wall() };
};

const repeatedKills: ArenaStrike = async ({ clock, workers }) => {
  const at = clock.wall();
  for (let n = 0; n < KILLS; n++) {
    workers.kill(0, 'SIGKILL');
    await clock.sleep(Math.max(0, at + (n + 1) * KILL_EVERY_MS - clock.wall()));
  }
  return { at, healedAt: clock.wall() };
};

const flushall: ArenaStrike = async ({ clock, stack }) => {
  const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'chaos' });
  const at = clock.wall();
  await redis.flushall();
  redis.disconnect();
  return { at, healedAt: clock.wall() };
};

const away =
  (server: 'redis' | 'postgres', signal: 'SIGKILL' | 'SIGINT', downMs: number) =>
  async ({ clock, stack }: ArenaStage) => {
    const at = clock.wall();
    stack[server]?.kill(signal);
    await clock.sleep(downMs);
    await stack[server]?.restart();
    return { at, healedAt: clock.wall() };
  };

const endBackends: ArenaStrike = async ({ clock, stack }) => {
  const sql = connectPostgres(stack.databaseUrl, { applicationName: 'chaos', max: 1 });
  const at = clock.wall();
  for (let n = 0; n < BACKEND_KILLS; n++) {
    await sql.unsafe(END_BACKENDS);
    await clock.sleep(500);
  }
  await sql.end({ timeout: 2 });
  return { at, healedAt: clock.wall() };
};

/** By the name of our own fault, in the order of the table. */
const STRIKES: readonly { readonly name: string; readonly strike: ArenaStrike; readonly store?: Peer['store'] }[] = [
  { name: 'kill', strike: kill },
  { name: 'pause', strike: pause },
  { name: 'repeated_kills', strike: repeatedKills },
  { name: 'flushall', strike: flushall, store: 'redis' },
  { name: 'redis-restart-aof', strike: away('redis', 'SIGKILL', 1000), store: 'redis' },
  { name: 'postgres_restart', strike: away('postgres', 'SIGINT', DOWN_MS), store: 'postgres' },
  { name: 'pg_backend_kill', strike: endBackends, store: 'postgres' },
];

export const COMPARED: readonly string[] = STRIKES.map(({ name }) => name);

/** undefined: the peer does not use that store. */
export function strikeOf(peer: Peer, fault: string): ArenaStrike | undefined {
  const found = STRIKES.find(({ name }) => name === fault);
  return found?.store === undefined || found.store === peer.store ? found?.strike : undefined;
}
