import { Queue, Worker } from 'bullmq';
import type { Addresses, Job, Peer } from './peer.ts';

/**
 * BullMQ 6, open source. Order per key is what its Groups do, which are not part of it; its own means is a queue that all workers together
 * take one job of at a time (global concurrency). Devices are spread over SHARDS such queues: 3,000 queues of one worker each would need
 * thousands of blocking connections.
 */
const SHARDS = 30;
const LOCK_MS = 30_000;

const nameOf = (shard: number): string => `chaos-${shard}`;
function shardOf(device: string): number {
  let hash = 0x811c9dc5;
  for (const char of device) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash % SHARDS;
}
function connectionOf({ redisUrl }: Addresses) {
  const { hostname, port, password } = new URL(redisUrl);
  return { host: hostname, port: Number(port), password: decodeURIComponent(password) };
}
const shards = Array.from({ length: SHARDS }, (_, shard) => shard);

export const BULLMQ: Peer = {
  name: 'BullMQ',
  version: '6.7.0',
  settings: `Redis with appendfsync always and noeviction, as its guide for production asks; lockDuration 30 s, stalledInterval 30 s and maxStalledCount 1 as shipped; 5 attempts with exponential backoff from 1 s; job ids given, so that an add made twice is one job; workers without a limit of retries to Redis; ${SHARDS} queues, each with global concurrency 1 for order (Groups are not part of the open version)`,
  lockMs: LOCK_MS,
  store: 'redis',
  async prepare(addresses) {
    for (const shard of shards) {
      const queue = new Queue(nameOf(shard), { connection: connectionOf(addresses) });
      await queue.setGlobalConcurrency(1);
      await queue.close();
    }
  },
  async produce(addresses) {
    // the guide: fail fast where jobs are added, never where they are worked
    const connection = { ...connectionOf(addresses), maxRetriesPerRequest: 1, enableOfflineQueue: false, commandTimeout: 5000 };
    const queues = shards.map((shard) => new Queue<Job>(nameOf(shard), { connection }));
    for (const queue of queues) queue.on('error', () => {});
    await Promise.all(queues.map((queue) => queue.waitUntilReady()));
    const counted = async (...types: Parameters<Queue['getJobCountByTypes']>): Promise<number> => {
      const counts = await Promise.all(queues.map((queue) => queue.getJobCountByTypes(...types)));
      return counts.reduce((sum, count) => sum + count, 0);
    };
    return {
      async add(job) {
        const options = { jobId: job.id, attempts: 5, backoff: { type: 'exponential', delay: 1000 }, removeOnComplete: true };
        await queues[shardOf(job.device)]?.add('send', job, options);
      },
      left: () => counted('wait', 'active', 'delayed', 'prioritized'),
      failed: () => counted('failed'),
      close: async () => void (await Promise.allSettled(queues.map((queue) => queue.close()))),
    };
  },
  async work(addresses, worker, send) {
    const connection = { ...connectionOf(addresses), maxRetriesPerRequest: null };
    const workers = shards.map(
      (shard) =>
        new Worker<Job>(nameOf(shard), (job) => send(job.data, job.attemptsStarted), { connection, name: worker, lockDuration: LOCK_MS }),
    );
    for (const one of workers) one.on('error', () => {});
    await Promise.all(workers.map((one) => one.waitUntilReady()));
    return { close: async () => void (await Promise.allSettled(workers.map((one) => one.close()))) };
  },
};
