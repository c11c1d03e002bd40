import { connectPostgres } from '../../../../ops/connect/index.ts';
import { readAsset } from '../../../../ops/lifecycle/index.ts';
import { busiest, inTheMiddle, strikeNodes, takenOver } from '../scene.ts';
import { CUTS, cuts, REPLIES_LOST } from './cuts.ts';
import type { Fault, Stage, Strike } from './fault.ts';
import { DURABLE, PLAIN, PROXIED } from './grounds.ts';

/** Faults of Postgres and of the way to it. */
const HOLD_ROWS = readAsset(import.meta.url, './hold-rows.sql');
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
  case: '7',
  what: 'between one node (every second time: every process) and Postgres: reset, black hole, one way only, late, narrow; in turn',
  ground: PROXIED,
  strikes: 12,
  atLeast: CUTS.length,
  restMs: 6000,
  bounds: { fullRateMs: BACK_MS },
  strike: cuts('postgres', CUTS),
};

export const POSTGRES_REPLIES_LOST: Fault = {
  name: 'postgres-replies-lost',
  case: '13',
  what: 'statements run and their replies are lost with the connection (2 %), between every process and Postgres',
  ground: PROXIED,
  strikes: 12,
  restMs: 6000,
  bounds: { fullRateMs: BACK_MS },
  strike: cuts('postgres', [REPLIES_LOST]),
};

export const POSTGRES_RESTART: Fault = {
  name: 'postgres_restart',
  case: 'public matrix',
  what: 'Postgres ended (fast shutdown) and started again after 2 s',
  ground: DURABLE,
  strikes: 10,
  restMs: 6000,
  bounds: BOUNDS,
  strike: (stage) => postgresAway(stage, 'SIGINT', 2000),
};

export const POSTGRES_CRASH: Fault = {
  name: 'postgres_crash',
  case: '7',
  what: 'Postgres killed; it recovers from its log',
  ground: DURABLE,
  strikes: 10,
  restMs: 6000,
  bounds: BOUNDS,
  strike: (stage) => postgresAway(stage, 'SIGKILL', 500),
};

const DOWN_MS = 60_000;
export const POSTGRES_DOWN: Fault = {
  name: 'postgres-down',
  case: '7',
  what: 'Postgres away for 60 s (10 s from the second strike on): the API answers a retryable error within 1 s',
  ground: DURABLE,
  strikes: 10,
  restMs: 6000,
  bounds: BOUNDS,
  strike: (stage) => postgresAway(stage, 'SIGINT', stage.turn === 0 ? DOWN_MS : 10_000),
};

export const PG_BACKEND_KILL: Fault = {
  name: 'pg_backend_kill',
  case: 'public matrix',
  what: "all of the product's Postgres connections ended ten times within 5 s",
  ground: PLAIN,
  strikes: 10,
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
  case: 'public matrix',
  ground: PLAIN,
  strikes: 10,
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

/** What a node frozen in the middle of a transaction leaves in Postgres: locks on the rows of its devices, held by an idle session. */
export const FROZEN_TRANSACTION: Fault = {
  name: 'frozen-transaction',
  case: '5',
  what: "a node stands still while a session with the product's settings holds the rows of its devices in an open transaction: the successors' epochs are not held up",
  ground: PLAIN,
  strikes: 10,
  bounds: { takeoverExtraMs: 1500 },
  async strike(stage) {
    const { clock, stack, ttlMs } = stage;
    const node = await busiest(stage);
    const session = connectPostgres(stack.databaseUrl, { applicationName: 'frozen', max: 1 });
    const held = await session.reserve();
    // the session is idle from here on, and ended by Postgres 5 s later
    const struck = await strikeNodes(stage, [node], 'SIGSTOP', async () => {
      await held.unsafe('begin');
      await held.unsafe(HOLD_ROWS, [node.id]);
    });
    await takenOver(stage, struck, ttlMs * 3);
    node.kill('SIGCONT');
    const healedAt = clock.wall();
    try {
      held.release();
    } catch {
      // Postgres ended the session
    }
    await session.end({ timeout: 0 });
    return { ...struck, healedAt };
  },
};

export const POSTGRES_PLAIN: readonly Fault[] = [PG_BACKEND_KILL, POOL_EXHAUSTION, FROZEN_TRANSACTION];
export const POSTGRES_DURABLE: readonly Fault[] = [POSTGRES_RESTART, POSTGRES_CRASH, POSTGRES_DOWN];
export const POSTGRES_PROXIED: readonly Fault[] = [POSTGRES_CUT, POSTGRES_REPLIES_LOST];
