import { connectRedis } from '../../../ops/connect/index.ts';
import { inTheMiddle, type Scene, SETTLE_STATEMENTS_MS } from './scene.ts';

/**
 * Loses all of Redis while the nodes stand still for a moment, so that what is in flight can be counted exactly.
 * @returns messages in flight
 */
export async function flushStanding(scene: Scene): Promise<number> {
  const { clock, stack, ledger, deviceIds } = scene;
  const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'chaos' });
  const { answered } = await inTheMiddle(scene, deviceIds);
  for (const node of stack.nodes) node.kill('SIGSTOP');
  await clock.sleep(SETTLE_STATEMENTS_MS);
  const inFlight = await ledger.inFlight(deviceIds);
  await redis.flushall();
  for (const node of stack.nodes) node.kill('SIGCONT');
  redis.disconnect();
  await answered;
  scene.say(`FLUSHALL with ${inFlight} messages in flight`);
  return inFlight;
}
