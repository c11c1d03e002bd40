import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectRedis, redisReady } from '../../../../ops/connect/index.ts';
import { seededDice, systemClock } from '../../../../ops/lifecycle/index.ts';
import { freePort } from '../../../../ops/start/index.ts';
import { createProxy, type FaultProxy } from '../proxy.ts';
import { busiest, strikeNodes, takenOver } from '../scene.ts';
import type { Fault, Ground, Stage, Strike } from './fault.ts';
import { createRedisClock, type RedisClock, redisClockMissing } from './redis-clock.ts';

/** Three independent lock masters, each behind a proxy and on a clock of its own, and what may happen to one of them. */
interface Master {
  readonly port: number;
  readonly proxy: FaultProxy;
  readonly clock: RedisClock;
  start(): Promise<void>;
  kill(): void;
}

const COUNT = 3;
const urlsFile = (folder: string): string => join(folder, 'masters');

async function createMaster(folder: string, n: number): Promise<Master> {
  const port = await freePort();
  const proxy = await createProxy({ clock: systemClock, dice: seededDice(n) });
  proxy.target(port);
  const clock = await createRedisClock(folder, `clock-${n}`);
  const home = join(folder, `master-${n}`);
  mkdirSync(home, { recursive: true });
  let child: ChildProcess | undefined;
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', home];
  return {
    port,
    proxy,
    clock,
    async start() {
      child = spawn('redis-server', args, { stdio: 'ignore', env: { ...process.env, ...clock.env } });
      child.on('error', () => {});
      const redis = connectRedis(`redis://127.0.0.1:${port}`, { role: 'general', name: 'chaos' });
      await redisReady(redis);
      redis.disconnect();
    },
    kill: () => void child?.kill('SIGKILL'),
  };
}

const KINDS = [
  'one is down, and comes back with nothing',
  'one answers after 2 s',
  'one is a black hole',
  'the clock of one is 5 s ahead, then 5 s behind',
];
const LASTS_MS = 3000;

/** A fault with masters of its own: they live as long as its stack. */
export function mastersFault(): Fault {
  let masters: Master[] = [];
  const ground: Ground = {
    name: 'three lock masters',
    missing: redisClockMissing,
    async prepare(folder) {
      masters = await Promise.all(Array.from({ length: COUNT }, (_, n) => createMaster(folder, n)));
      const end = async (): Promise<void> => {
        for (const master of masters) {
          master.kill();
          await master.proxy.close();
        }
      };
      try {
        await Promise.all(masters.map((master) => master.start()));
      } catch (error) {
        await end();
        throw error;
      }
      writeFileSync(urlsFile(folder), masters.map(({ proxy }) => `redis://127.0.0.1:${proxy.port}`).join(','));
      return end;
    },
    envOf: (name, folder) => (name.startsWith('node-') ? { LOCK_REDIS_URLS: readFileSync(urlsFile(folder), 'utf8') } : {}),
  };
  const disturb = async ({ clock }: Stage, kind: number, master: Master): Promise<() => Promise<void>> => {
    if (kind === 0) {
      master.kill();
      return () => master.start();
    }
    if (kind === 3) {
      master.clock.step(5);
      await clock.sleep(LASTS_MS);
      master.clock.step(-5);
      return async () => master.clock.step(0);
    }
    master.proxy.disturb(kind === 1 ? { kind: 'latency', ms: 2000, jitterMs: 0 } : { kind: 'hold', way: 'both' });
    return async () => master.proxy.disturb({ kind: 'none' });
  };
  return {
    name: 'lock-masters',
    case: '10',
    what: `three lock masters, and with one of them disturbed a node is killed, so that the two others contend: ${KINDS.join('; ')}; in turn`,
    ground,
    strikes: 12,
    atLeast: KINDS.length,
    bounds: { takeoverExtraMs: 1500, fullRateMs: 10_000 },
    async strike(stage): Promise<Strike> {
      const { clock, turn, ttlMs, say } = stage;
      const kind = turn % KINDS.length;
      const master = masters[turn % masters.length];
      const node = await busiest(stage);
      if (master === undefined) throw new Error('no masters');
      say(KINDS[kind] ?? '');
      const heal = await disturb(stage, kind, master);
      await clock.sleep(LASTS_MS);
      const struck = await strikeNodes(stage, [node], 'SIGKILL');
      await takenOver(stage, struck, ttlMs * 3);
      await heal();
      await node.restart();
      return { ...struck, healedAt: clock.wall() };
    },
  };
}
