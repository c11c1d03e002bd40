import { ROOT_CONTEXT, type SpanContext, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import type { Resource } from '@opentelemetry/resources';
import { AlwaysOnSampler, BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import type { Span, SpanOptions } from './index.ts';

/** The span of everything that is not traced: no cost, no state. */
export const SILENT_SPAN: Span = Object.freeze({ traceparent: '', set() {}, fail() {}, end() {} });

const KINDS = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
} as const;

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Reads a W3C traceparent (Trace Context, 3.2); null when it is none or its trace is not sampled. */
export function parseTraceparent(text: string | null | undefined): SpanContext | null {
  const match = text === null || text === undefined ? null : TRACEPARENT.exec(text);
  if (match === null) return null;
  const [, traceId = '', spanId = '', flags = ''] = match;
  if ((Number.parseInt(flags, 16) & TraceFlags.SAMPLED) === 0) return null;
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true };
}

export interface Traces {
  span(name: string, options: SpanOptions): Span;
  shutdown(): Promise<void>;
}

/**
 * Owns the tracer provider and its batch of spans on the way to the OTLP receiver. Whether a message is traced is decided once, when
 * it is accepted; a span without a sampled parent is only made where the caller starts a trace (`root`).
 */
export function createTraces(resource: Resource, endpoint: string): Traces {
  const exporter = new OTLPTraceExporter({ url: new URL('/v1/traces', endpoint).href, timeoutMillis: 2000 });
  const provider = new NodeTracerProvider({
    resource,
    sampler: new AlwaysOnSampler(),
    spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: 500, exportTimeoutMillis: 2000, maxQueueSize: 20_000 })],
  });
  const tracer = provider.getTracer('flotilla');
  return {
    span(name, options) {
      const parent = parseTraceparent(options.parent);
      if (parent === null && options.root !== true) return SILENT_SPAN;
      const context = parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
      const span = tracer.startSpan(name, { kind: KINDS[options.kind ?? 'internal'] }, context);
      for (const [key, value] of Object.entries(options.attributes ?? {})) {
        if (value !== null && value !== undefined) span.setAttribute(key, value);
      }
      const { traceId, spanId } = span.spanContext();
      return {
        traceparent: `00-${traceId}-${spanId}-01`,
        set: (key, value) => void span.setAttribute(key, value),
        fail(error) {
          span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
        },
        end: () => span.end(),
      };
    },
    shutdown: () => provider.shutdown(),
  };
}
