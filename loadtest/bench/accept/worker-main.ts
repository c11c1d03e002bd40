import { dialPhones } from '../../../actors/testing/peers/index.ts';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import { BULLMQ } from '../drain/queues.ts';

/**
 * BullMQ's worker process: notes when each job's processor starts, then sends to the phones. `node worker-main.js <devices>`, addresses in the
 * environment. Asked over IPC: `now` for its clock, `starts` for what it noted.
 */
export type Asked = 'now' | 'starts';
export type Told =
  | { readonly kind: 'ready' }
  | { readonly kind: 'now'; readonly at: number }
  | { readonly kind: 'starts'; readonly starts: readonly (readonly [string, number])[] };

const starts: [string, number][] = [];
const tell = (told: Told): void => void process.send?.(told);
process.on('message', (asked: Asked) => {
  tell(asked === 'now' ? { kind: 'now', at: clock.monotonic() } : { kind: 'starts', starts });
});
process.on('disconnect', () => process.exit());
const line = await dialPhones(clock, process.env['SIMULATOR_URL'] ?? '', BULLMQ.name);
const addresses = { redisUrl: process.env['REDIS_URL'] ?? '', databaseUrl: process.env['DATABASE_URL'] ?? '' };
const devices = Number(process.argv[2]);
await BULLMQ.work(addresses, { messages: devices, devices }, ({ id, device, to, body }) => {
  starts.push([id, clock.monotonic()]);
  return line.send({ device, id, attempt: 1, to, body });
});
tell({ kind: 'ready' });
