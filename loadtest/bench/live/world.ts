import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLive, type Live } from '../../../actors/live/index.ts';
import { connectPostgres, connectRedis, type Redis, redisReady } from '../../../ops/connect/index.ts';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import { type Stack, type StackGateway, startStack } from '../../../ops/start/index.ts';
import { createTelemetry } from '../../../ops/telemetry/index.ts';
import { liveKeys } from '../../../schema/domain/index.ts';
import type { Answer, Order } from './readers.ts';

/**
 * Gateways with Redis and Postgres as processes of their own, readers in another, and this process in the place of the nodes: it writes the live
 * streams by the same door as they do. No node runs, so what is measured is the gateway.
 */
export interface LiveWorld {
  readonly stack: Stack;
  readonly gateways: readonly StackGateway[];
  readonly tenantId: string;
  readonly live: Live;
  order<K extends Answer['kind']>(kind: K, wanted: Order): Promise<Extract<Answer, { kind: K }>>;
  /** the place of the last event in Redis */
  lastEvent(): Promise<number>;
}

function ordersTo(readers: ChildProcess): LiveWorld['order'] {
  return (kind, wanted) =>
    new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error('the readers’ process ended'));
      const heard = (answer: Answer): void => {
        if (answer.kind !== kind) return;
        readers.off('message', heard);
        readers.off('exit', ended);
        resolve(answer as Extract<Answer, { kind: typeof kind }>);
      };
      readers.on('message', heard);
      readers.once('exit', ended);
      readers.send(wanted);
    });
}

async function tenantOf(stack: Stack): Promise<string> {
  const sql = connectPostgres(stack.databaseUrl, { applicationName: 'bench', max: 1 });
  try {
    const [row] = await sql.unsafe<{ id: string }[]>('select id from tenants order by created_at limit 1');
    if (row === undefined) throw new Error('there is no tenant');
    return row.id;
  } finally {
    await sql.end({ timeout: 2 });
  }
}

export async function onLiveWorld<T>(gateways: number, task: (world: LiveWorld) => Promise<T>): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-live-'));
  const stack = await startStack({ dataDir, nodes: 0, gateways, phones: false, durable: false });
  const readers = fork(join(import.meta.dirname, 'readers.js'));
  const telemetry = createTelemetry({ service: 'test', instance: 'bench', level: 'error', samplePercent: 0 });
  const redis: Redis = connectRedis(stack.redisUrl, { role: 'mailbox', name: 'bench' });
  const live = createLive({ redis, clock, telemetry });
  try {
    await redisReady(redis);
    const tenantId = await tenantOf(stack);
    return await task({
      stack,
      gateways: stack.gateways,
      tenantId,
      live,
      order: ordersTo(readers),
      lastEvent: async () => Number((await redis.hget(liveKeys(tenantId, 'messages').position, 'seq')) ?? 0),
    });
  } finally {
    readers.removeAllListeners('exit');
    readers.disconnect();
    await live.close();
    redis.disconnect();
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Calls `due` every ten milliseconds with how many of `perSecond` are due since the last time and when the first of them was; until stopped. */
export function paced(perSecond: number, due: (count: number, firstAt: number) => void): () => number {
  const from = clock.monotonic();
  const wall = clock.wall();
  let done = 0;
  let over = false;
  const step = (): void => {
    if (over) return;
    const count = Math.floor(((clock.monotonic() - from) / 1000) * perSecond) - done;
    if (count > 0) due(count, wall + (done / perSecond) * 1000);
    done += Math.max(0, count);
    clock.after(10, step);
  };
  step();
  return () => {
    over = true;
    return done;
  };
}
