import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '../ops/config/index.ts';
import { createLifetime, endOnSignals, keepHeapSmall, systemClock, systemDice } from '../ops/lifecycle/index.ts';
import { createTelemetry } from '../ops/telemetry/index.ts';
import { startGateway } from './gateway.ts';

/** The key kept in DATA_DIR/admin-key; made the first time. `wx`: of two processes that make it at once, one wins and both read it. */
function keptKey(dataDir: string): string {
  const file = join(dataDir, 'admin-key');
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(file, `flk_${randomBytes(24).toString('base64url')}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return readFileSync(file, 'utf8').trim();
}

async function main(): Promise<void> {
  const config = loadConfig(process.env, ['DATABASE_URL', 'REDIS_URL']);
  const id = config.NODE_ID === '' ? 'gateway-1' : config.NODE_ID;
  const telemetry = createTelemetry({
    service: 'gateway',
    instance: id,
    level: config.LOG_LEVEL,
    otlpEndpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT,
    samplePercent: config.TRACE_SAMPLE_PERCENT,
  });
  const { log } = telemetry;
  const lifetime = createLifetime();
  lifetime.add('telemetry', () => telemetry.shutdown());
  lifetime.add('heap', keepHeapSmall({ clock: systemClock }));
  endOnSignals(lifetime, {
    deadlineMs: config.DRAIN_MS,
    report: (message, error) => (error === undefined ? log.info('gateway.end', { message }) : log.error('gateway.end', { message }, error)),
  });
  const adminKey = config.ADMIN_API_KEY ?? keptKey(config.DATA_DIR);
  const { port, access } = await startGateway({ config, adminKey, id, clock: systemClock, dice: systemDice, telemetry, lifetime });
  log.info('ready', { port });
  await access.catch((error: unknown) => {
    // ended while it still waited for Postgres: that is no fault
    if (!lifetime.signal.aborted) throw error;
  });
}

main().catch((error: unknown) => {
  const text = error instanceof ConfigError ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`${text}\n`);
  process.exit(1);
});
