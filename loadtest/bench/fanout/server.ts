import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ARMS } from './arms.ts';

/** One arm in a process of its own, told what to do over IPC: `{publish}`, `{ask}`. */
const [name = '', payloadBytes = '1000', tickMs = '0'] = process.argv.slice(2);
const make = ARMS[name];
if (make === undefined) throw new Error(`no such arm: ${name}`);
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const arm = await make({ payloadBytes: Number(payloadBytes), tickMs: Number(tickMs) });
process.on('message', (message: { readonly publish?: number; readonly ask?: 'cpu' | 'memory' }) => {
  if (message.publish !== undefined) arm.publish(message.publish);
  if (message.ask === undefined) return;
  if (message.ask === 'memory') {
    collect();
    collect();
  }
  const { user, system } = process.cpuUsage();
  const { heapUsed, rss, external } = process.memoryUsage();
  process.send?.({ cpuUs: user + system, kernelUs: system, heapUsed, external, rss, held: arm.held?.() ?? 0 });
});
process.on('disconnect', () => process.exit());
process.send?.({ port: arm.port });
