import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import type { Telemetry } from './index.ts';
import { createLog, type LogLevel } from './log.ts';
import { createMetrics } from './metrics.ts';
import { createTraces, SILENT_SPAN } from './traces.ts';

export interface TelemetryOptions {
  readonly service: 'gateway' | 'node' | 'phones' | 'supervisor' | 'test';
  readonly instance: string;
  readonly level: LogLevel;
  /** OTLP receiver (http/protobuf); unset = no spans are made and nothing is pushed */
  readonly otlpEndpoint?: string | undefined;
  /** share of messages traced, 0 to 100 */
  readonly samplePercent: number;
  /** where log lines go; default process.stdout */
  readonly write?: (line: string) => void;
}

/** Logs, metrics and traces of one process. No global state: two may live in one process (tests). */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  const resource = defaultResource().merge(
    resourceFromAttributes({ 'service.name': `flotilla-${options.service}`, 'service.instance.id': options.instance }),
  );
  const log = createLog({ ...options, write: options.write ?? ((line) => void process.stdout.write(line)) });
  const metrics = createMetrics(resource, options.otlpEndpoint);
  const traces = options.otlpEndpoint === undefined ? undefined : createTraces(resource, options.otlpEndpoint);
  return {
    log,
    count: (name, value = 1, labels) => metrics.count(name, value, labels),
    record: (name, value, labels) => metrics.record(name, value, labels),
    gauge: (name, read, labels) => metrics.gauge(name, read, labels),
    span: (name, spanOptions = {}) => traces?.span(name, spanOptions) ?? SILENT_SPAN,
    // the last hex digits of a UUIDv7 are random, so they spread evenly
    sampled: (messageId) => traces !== undefined && Number.parseInt(messageId.slice(-6), 16) % 100 < options.samplePercent,
    metricsText: () => metrics.text(),
    async shutdown() {
      const ends = await Promise.allSettled([metrics.shutdown(), traces?.shutdown()]);
      for (const end of ends) if (end.status === 'rejected') log.warn('telemetry.shutdown', {}, end.reason);
    },
  };
}
