import type { Labels, Log, LogFields, Span, Telemetry } from './index.ts';

export interface TelemetryOptions {
  readonly service: 'gateway' | 'node' | 'phones' | 'supervisor' | 'test';
  readonly instance: string;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly otlpEndpoint?: string | undefined;
  readonly samplePercent: number;
  /** where log lines go; default process.stdout */
  readonly write?: (line: string) => void;
}

const LEVELS = { debug: 0, info: 1, warn: 2, error: 3 } as const;
const SILENT: Span = { traceparent: '', set() {}, fail() {}, end() {} };

export function createTelemetry(options: TelemetryOptions): Telemetry {
  const write = options.write ?? ((line: string) => void process.stdout.write(line));
  const line = (level: keyof typeof LEVELS, event: string, fields: LogFields = {}, error?: unknown): void => {
    if (LEVELS[level] < LEVELS[options.level]) return;
    const cause =
      error instanceof Error ? { error: error.message, stack: error.stack } : error === undefined ? {} : { error: String(error) };
    write(
      `${JSON.stringify({ at: new Date().toISOString(), level, service: options.service, instance: options.instance, event, ...fields, ...cause })}\n`,
    );
  };
  const log: Log = {
    debug: (event, fields) => line('debug', event, fields),
    info: (event, fields) => line('info', event, fields),
    warn: (event, fields, error) => line('warn', event, fields, error),
    error: (event, fields, error) => line('error', event, fields, error),
  };
  const none =
    (_labels?: Labels): (() => void) =>
    () => {};
  return {
    log,
    count() {},
    record() {},
    gauge: (_name, _read, labels) => none(labels),
    span: () => SILENT,
    sampled: () => false,
    metricsText: async () => '',
    shutdown: async () => {},
  };
}
