import type { Log, LogFields } from './index.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

export interface LogOptions {
  readonly service: string;
  readonly instance: string;
  readonly level: LogLevel;
  /** takes one line with its line end */
  readonly write: (line: string) => void;
}

/**
 * One JSON object a line: at, level, service, instance, event, then the fields. A field `traceparent` becomes `trace_id` and `span_id`,
 * so that a line can be found from its trace.
 */
export function createLog(options: LogOptions): Log {
  const put = (level: LogLevel, event: string, fields: LogFields | undefined, error: unknown): void => {
    if (SEVERITY[level] < SEVERITY[options.level]) return;
    const line: Record<string, unknown> = {
      at: new Date().toISOString(),
      level,
      service: options.service,
      instance: options.instance,
      event,
    };
    for (const [name, value] of Object.entries(fields ?? {})) {
      if (name !== 'traceparent') line[name] = value;
      else if (typeof value === 'string' && value.length === 55) {
        line['trace_id'] = value.slice(3, 35);
        line['span_id'] = value.slice(36, 52);
      }
    }
    if (error !== undefined) Object.assign(line, describe(error));
    options.write(`${JSON.stringify(line)}\n`);
  };
  return {
    debug: (event, fields) => put('debug', event, fields, undefined),
    info: (event, fields) => put('info', event, fields, undefined),
    warn: (event, fields, error) => put('warn', event, fields, error),
    error: (event, fields, error) => put('error', event, fields, error),
  };
}

/** Message, code and stack of an error and of what caused it; never its other properties, which may hold data. */
function describe(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: String(error) };
  const causes: string[] = [];
  for (let cause: unknown = error.cause; cause instanceof Error && causes.length < 4; cause = cause.cause) causes.push(cause.message);
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  return { error: error.message, ...code, ...(causes.length > 0 ? { causes } : {}), stack: error.stack };
}
