import { connectPostgres } from '../../../../ops/connect/index.ts';
import { inTheMiddle } from '../scene.ts';
import type { Fault, Stage, Strike } from './fault.ts';
import { cuts } from './redis.ts';

/** Faults of Postgres and of the way to it. */
const BACK_MS = 10_000;
const ANSWER_MS = 1000;
const BOUNDS = { fullRateMs: BACK_MS, answerMs: ANSWER_MS };

async function postgresAway(stage: Stage, signal: 'SIGKILL' | 'SIGINT', downMs: number): Promise<Strike> {
  const { clock, stack, deviceIds } = stage;
  const { answered } = await inTheMiddle(stage, deviceIds);
  const at = clock.wall();
  stack.postgres?.kill(signal);
  await clock.sleep(downMs);
  await stack.postgres?.restart();
  const healedAt = clock.wall();
  await answered;
  return { at, healedAt };
}

/** Ends the connections of the product, not our own. @returns how many */
async function endBackends(stage: Stage): Promise<number> {
  return stage.ledger.endBackends();
}

export const POSTGRES_CUT: Fault = {
  name: 'postgres-cut',
  what: 'between processes and Postgres: reset, black hole, one way only, late, replies lost',
  needs: { proxy: 'postgres' },
  strikes: 6,
  restMs: 4000,
  bounds: { fullRateMs: BACK_MS },
  strike: cuts('postgres'),
};

export const POSTGRES_RESTART: Fault = {
  name: 'postgres_restart',
  what: 'Postgres ended (fast shutdown) and started again after 2 s',
  needs: { durable: true },
  strikes: 2,
  restMs: 6000,
  bounds: BOUNDS,
  strike: (stage) => postgresAway(stage, 'SIGINT', 2000),
};

export const POSTGRES_CRASH: Fault = {
  name: 'postgres_crash',
  what: 'Postgres killed; it recovers from its log',
  needs: { durable: true },
  strikes: 2,
  restMs: 6000,
  bounds: BOUNDS,
  strike: (stage) => postgresAway(stage, 'SIGKILL', 500),
};

export const PG_BACKEND_KILL: Fault = {
  name: 'pg_backend_kill',
  what: "all of the product's Postgres connections ended ten times within 5 s",
  strikes: 2,
  bounds: BOUNDS,
  async strike(stage) {
    const at = stage.clock.wall();
    let backendsEnded = 0;
    for (let n = 0; n < 10; n++) {
      backendsEnded += await endBackends(stage);
      await stage.clock.sleep(500);
    }
    return { at, healedAt: stage.clock.wall(), figures: { backendsEnded } };
  },
};

export const POOL_EXHAUSTION: Fault = {
  name: 'pool_exhaustion',
  what: "others take every Postgres connection while the product's are ended, for 5 s",
  restMs: 6000,
  bounds: BOUNDS,
  async strike(stage) {
    const { clock, stack, ledger } = stage;
    // our own connection must stand before there are none left
    await ledger.open();
    const at = clock.wall();
    const hoard = connectPostgres(stack.databaseUrl, { applicationName: 'hoard', max: 210, statementTimeoutMs: 60_000 });
    let refused = 0;
    const take = (): void => {
      for (let n = 0; n < 210; n++) {
        hoard.unsafe('select pg_sleep(6)').catch(() => {
          refused += 1;
        });
      }
    };
    take();
    await clock.sleep(1500);
    const backendsEnded = await endBackends(stage);
    stage.say(`${backendsEnded} connections of the product ended, ${refused} of the hoard refused`);
    await clock.sleep(4500);
    await hoard.end({ timeout: 0 });
    return { at, healedAt: clock.wall(), figures: { backendsEnded, refused } };
  },
};

export const POSTGRES_FAULTS: readonly Fault[] = [POSTGRES_CUT, POSTGRES_RESTART, POSTGRES_CRASH, PG_BACKEND_KILL, POOL_EXHAUSTION];
