import { parseArgs } from 'node:util';
import { createLifetime, endOnSignals, systemClock } from '../../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../../ops/telemetry/index.ts';
import { createPhones, type PhonesOptions } from './phones/phones.ts';

/**
 * The process of the simulated phones. Flags: --port (0 = any), --host, --seed, --arrivals FILE, --latency MIN-MAX (ms), --receipts on|off,
 * --replies PERCENT. Logs the event `ready` with its port. Says on stderr what is wrong with a flag and exits 2.
 */
function optionsFrom(args: readonly string[]): PhonesOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      port: { type: 'string', default: '0' },
      host: { type: 'string', default: '127.0.0.1' },
      seed: { type: 'string', default: '1' },
      arrivals: { type: 'string' },
      latency: { type: 'string', default: '20-120' },
      receipts: { type: 'string', default: 'on' },
      replies: { type: 'string', default: '0' },
    },
  });
  const number = (name: 'port' | 'seed' | 'replies', max: number): number => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 0 || value > max) throw new Error(`--${name}: expected a whole number from 0 to ${max}`);
    return value;
  };
  const range = /^(\d+)-(\d+)$/.exec(values.latency);
  const latencyMs: readonly [number, number] = [Number(range?.[1]), Number(range?.[2])];
  if (range === null || latencyMs[0] > latencyMs[1]) throw new Error('--latency: expected MIN-MAX in ms, such as 20-120');
  if (values.receipts !== 'on' && values.receipts !== 'off') throw new Error('--receipts: expected on or off');
  const options: PhonesOptions = {
    host: values.host,
    port: number('port', 65535),
    seed: number('seed', 0xffffffff),
    latencyMs,
    receipts: values.receipts === 'on',
    repliesPercent: number('replies', 100),
  };
  return values.arrivals === undefined ? options : { ...options, arrivals: values.arrivals };
}

async function main(): Promise<void> {
  const lifetime = createLifetime();
  const telemetry = createTelemetry({ service: 'phones', instance: 'phones', level: 'info', samplePercent: 0 });
  let options: PhonesOptions;
  try {
    options = optionsFrom(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`phones: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  }
  endOnSignals(lifetime, {
    deadlineMs: 3000,
    report: (message, error) =>
      error === undefined ? telemetry.log.info('shutdown', { message }) : telemetry.log.error('shutdown', { message }, error),
  });
  const phones = await createPhones({ clock: systemClock, telemetry }, options);
  lifetime.add('phones', () => phones.close());
  telemetry.log.info('ready', { port: phones.port });
}

await main();
