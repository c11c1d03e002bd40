import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Counter, Histogram, ObservableGauge } from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import type { Resource } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { METRICS, type MetricDefinition, type MetricName } from './catalogue.ts';
import type { Labels } from './index.ts';

/** Bounds of every duration histogram, seconds: from a fast Redis call to a slow send. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export interface Metrics {
  count(name: MetricName, value: number, labels: Labels | undefined): void;
  record(name: MetricName, value: number, labels: Labels | undefined): void;
  gauge(name: MetricName, read: () => number, labels: Labels | undefined): () => void;
  text(): Promise<string>;
  shutdown(): Promise<void>;
}

/**
 * Owns the meter provider and every instrument of the catalogue. Instruments are made at start, so a scrape shows all names.
 * Prometheus text is pulled; with an OTLP endpoint the same figures are pushed once a minute too.
 */
export function createMetrics(resource: Resource, otlpEndpoint: string | undefined): Metrics {
  const prometheus = new PrometheusExporter({ preventServerStart: true, prefix: 'flotilla' });
  const readers = otlpEndpoint === undefined ? [prometheus] : [prometheus, pushReader(otlpEndpoint)];
  const provider = new MeterProvider({
    resource,
    readers,
  });
  const meter = provider.getMeter('flotilla');
  const counters = new Map<MetricName, Counter>();
  const histograms = new Map<MetricName, Histogram>();
  const gauges = new Map<MetricName, ObservableGauge>();
  for (const [name, definition] of Object.entries(METRICS) as [MetricName, MetricDefinition][]) {
    const options = { description: definition.help, ...(definition.unit === undefined ? {} : { unit: definition.unit }) };
    const title = `${name.replaceAll('.', '_')}${definition.unit === 's' ? '_seconds' : definition.unit === 'By' ? '_bytes' : ''}`;
    if (definition.kind === 'counter') counters.set(name, meter.createCounter(title, options));
    else if (definition.kind === 'gauge') gauges.set(name, meter.createObservableGauge(title, options));
    else histograms.set(name, meter.createHistogram(title, { ...options, advice: { explicitBucketBoundaries: SECONDS } }));
  }
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  gauges.get('loop.lag')?.addCallback((result) => {
    result.observe(Math.max(0, delay.percentile(99) / 1e9 - 0.02));
    delay.reset();
  });
  gauges.get('memory')?.addCallback((result) => {
    const { heapUsed, external, rss } = process.memoryUsage();
    result.observe(heapUsed, { kind: 'heap' });
    result.observe(external, { kind: 'external' });
    result.observe(rss, { kind: 'resident' });
  });
  const serializer = new PrometheusSerializer('flotilla', false, undefined, false, true);
  return {
    count: (name, value, labels) => counters.get(name)?.add(value, labels),
    record: (name, value, labels) => histograms.get(name)?.record(value, labels),
    gauge(name, read, labels) {
      const callback = (result: { observe(value: number, labels?: Labels): void }): void => result.observe(read(), labels);
      gauges.get(name)?.addCallback(callback);
      return () => gauges.get(name)?.removeCallback(callback);
    },
    async text() {
      const { resourceMetrics, errors } = await prometheus.collect();
      if (errors.length > 0) throw new AggregateError(errors, 'a gauge could not be read');
      return serializer.serialize(resourceMetrics);
    },
    async shutdown() {
      delay.disable();
      await provider.shutdown();
    },
  };
}

function pushReader(endpoint: string): PeriodicExportingMetricReader {
  return new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url: new URL('/v1/metrics', endpoint).href, timeoutMillis: 2000 }),
    exportIntervalMillis: 60_000,
    exportTimeoutMillis: 2000,
  });
}
