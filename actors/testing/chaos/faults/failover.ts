import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connectRedis, redisReady } from '../../../../ops/connect/index.ts';
import { freePort } from '../../../../ops/start/index.ts';
import { inTheMiddle, until } from '../scene.ts';
import type { Fault, Ground, Stage, Strike } from './fault.ts';

/** A replica that fell behind becomes the master: everything written since is gone, and it looks like a Redis that never went away. */
const BEHIND_MS = 4000;
const SYNC_MS = 30_000;

export function failoverFault(): Fault {
  let master: { readonly url: string; kill(): void } | undefined;
  let replicas: ChildProcess[] = [];
  const ground: Ground = {
    name: 'failover',
    proxy: 'redis',
    async prepare() {
      master = undefined;
      replicas = [];
      return async () => {
        for (const replica of replicas) replica.kill('SIGKILL');
      };
    },
  };
  const startReplica = async ({ clock, folder, stack }: Stage, of: string): Promise<{ url: string; child: ChildProcess }> => {
    const from = new URL(of);
    const port = await freePort();
    const home = join(folder, `replica-${replicas.length}`);
    mkdirSync(home, { recursive: true });
    const password = decodeURIComponent(new URL(stack.redisUrl).password);
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', home];
    const auth = ['--requirepass', password, '--masterauth', password];
    const child = spawn('redis-server', [...args, ...auth, '--replicaof', '127.0.0.1', from.port], { stdio: 'ignore' });
    child.on('error', () => {});
    replicas.push(child);
    const url = `redis://:${password}@127.0.0.1:${port}`;
    const redis = connectRedis(url, { role: 'general', name: 'chaos' });
    await redisReady(redis);
    const synced = await until(clock, SYNC_MS, async () => (await redis.info('replication')).includes('master_link_status:up'));
    if (!synced) throw new Error('the replica did not catch up');
    // from here on it is behind
    await redis.replicaof('NO', 'ONE');
    redis.disconnect();
    return { url, child };
  };
  return {
    name: 'redis-failover',
    case: '9',
    what: `Redis killed, its replica that is ${BEHIND_MS / 1000} s and a takeover of a node behind becomes the master`,
    ground,
    strikes: 10,
    restMs: 6000,
    bounds: { fullRateMs: 10_000 },
    async strike(stage): Promise<Strike> {
      const { clock, stack, deviceIds, proxies, say } = stage;
      const old = master ?? { url: stack.redisUrl, kill: () => stack.redis?.kill('SIGKILL') };
      const { url, child } = await startReplica(stage, old.url);
      // what the replica says of owners, fences and mailboxes is wrong by then
      await stack.nodes[stage.turn % stack.nodes.length]?.restart();
      await clock.sleep(BEHIND_MS);
      const { answered } = await inTheMiddle(stage, deviceIds);
      const at = clock.wall();
      old.kill();
      for (const { redis } of proxies.values()) redis?.target(Number(new URL(url).port));
      master = { url, kill: () => void child.kill('SIGKILL') };
      say('the replica is the master');
      const healedAt = clock.wall();
      await answered;
      return { at, healedAt };
    },
  };
}
