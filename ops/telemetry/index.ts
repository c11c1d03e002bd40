import type { MetricName } from './catalogue.ts';

export { METRICS, type MetricName } from './catalogue.ts';
export { type ReceivedSpan, startTraceReceiver, type TraceReceiver } from './receiver.ts';
export { createTelemetry, type TelemetryOptions } from './telemetry.ts';

export type Labels = Readonly<Record<string, string>>;
/** Fields of a log line. Never a body, a phone number or a credential. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields, error?: unknown): void;
  error(event: string, fields?: LogFields, error?: unknown): void;
}

export interface Span {
  /** W3C traceparent of this span, or '' when it is not recorded */
  readonly traceparent: string;
  set(name: string, value: string | number | boolean): void;
  fail(error: unknown): void;
  end(): void;
}

export interface SpanOptions {
  /** traceparent from a stream entry, a ledger row or a header */
  readonly parent?: string | null | undefined;
  /** start a trace when there is no parent; asked only after `sampled` */
  readonly root?: boolean;
  readonly attributes?: LogFields;
  readonly kind?: 'server' | 'client' | 'producer' | 'consumer' | 'internal';
}

/** What a component may say about itself. Off (no OTLP endpoint) spans cost one call that returns a shared no-op. */
export interface Telemetry {
  readonly log: Log;
  count(name: MetricName, value?: number, labels?: Labels): void;
  /** a histogram value, in the unit of the catalogue (seconds) */
  record(name: MetricName, value: number, labels?: Labels): void;
  /** registers a gauge read at scrape time; call the result to stop reading it (the last value stays) */
  gauge(name: MetricName, read: () => number, labels?: Labels): () => void;
  /** starts a span. Without a sampled `parent`, and unless `root` is set, it is the silent one. */
  span(name: string, options?: SpanOptions): Span;
  /** true when this message id is to be traced: decided once, when it is accepted */
  sampled(messageId: string): boolean;
  /** Prometheus text */
  metricsText(): Promise<string>;
  shutdown(): Promise<void>;
}
