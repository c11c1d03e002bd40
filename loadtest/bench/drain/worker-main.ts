import { dialPhones } from '../../../actors/testing/peers/index.ts';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { queueNamed } from './queues.ts';

/** The one worker process of a queue: `node worker-main.js <queue> <messages> <devices>`, addresses in the environment. Works until it is ended. */
const [, , name = '', messages, devices] = process.argv;
const line = await dialPhones(systemClock, process.env['SIMULATOR_URL'] ?? '', name);
const addresses = { redisUrl: process.env['REDIS_URL'] ?? '', databaseUrl: process.env['DATABASE_URL'] ?? '' };
await queueNamed(name).work(addresses, { messages: Number(messages), devices: Number(devices) }, ({ id, device, to, body }) =>
  line.send({ device, id, attempt: 1, to, body }),
);
