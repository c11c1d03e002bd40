import { connectRedis } from '../../../ops/connect/index.ts';
import { ask } from '../../../ops/start/index.ts';
import { deviceKeys, partitionKeys, partitionOf } from '../../../schema/domain/index.ts';
import type { Scene } from './scene.ts';

/** When messages stay open: what the ledger, Redis and the API say of the first few of them. For a person to read. */
const SOME = 3;
const LOOK = 'query($id: ID!) { device(id: $id) { state node epoch sendability { canSend reasons backlog nextSendAt } } }';

export async function explainOpen(scene: Scene): Promise<void> {
  const { stack, ledger, say } = scene;
  const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'chaos' });
  try {
    for (const message of await ledger.openSome(SOME)) {
      const keys = deviceKeys(message.device);
      const partition = partitionKeys(partitionOf(message.device));
      const streams = await Promise.all(keys.mailbox.map((key) => redis.xrange(key, '-', '+', 'COUNT', 3)));
      const [lease, fence, last, ready] = await Promise.all([
        redis.get(keys.lease),
        redis.get(keys.fence),
        redis.hgetall(keys.last),
        redis.zscore(partition.ready, message.device),
      ]);
      const api = { url: stack.gateways[0]?.url ?? '', key: stack.adminKey };
      const device = await ask<unknown>(api, LOOK, { id: message.device });
      say(`open: ${JSON.stringify({ message, lease, fence, last, ready, streams, device })}`);
    }
  } catch (error) {
    say(`open messages cannot be explained: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    redis.disconnect();
  }
}
