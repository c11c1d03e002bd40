import { systemClock } from '../../../ops/lifecycle/index.ts';
import { BULLMQ } from './bullmq.ts';
import { GRAPHILE_WORKER } from './graphile.ts';
import { dialPhones } from './phone-line.ts';

/** One worker of a peer: `node worker-main.js <peer> <name>`, addresses in the environment. Says `ready` on stdout. */
const [, , name = '', worker = ''] = process.argv;
const peer = [BULLMQ, GRAPHILE_WORKER].find((one) => one.name === name);
if (peer === undefined) throw new Error(`no peer ${name}`);
const line = await dialPhones(systemClock, process.env['SIMULATOR_URL'] ?? '', worker);
const addresses = { redisUrl: process.env['REDIS_URL'] ?? '', databaseUrl: process.env['DATABASE_URL'] ?? '' };
const working = await peer.work(addresses, worker, ({ device, id, to }, attempt) => line.send({ device, id, attempt, to }));
process.stdout.write('ready\n');
process.on('SIGTERM', () => {
  void working.close().finally(() => process.exit(0));
});
