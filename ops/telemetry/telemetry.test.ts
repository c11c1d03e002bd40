import { describe, expect, it } from 'vitest';
import { createTelemetry, METRICS } from './index.ts';
import { startTraceReceiver } from './receiver.ts';
import { parseTraceparent } from './traces.ts';

const base = { service: 'test', instance: 't-1', level: 'info', samplePercent: 100 } as const;

describe('logs', () => {
  it('writes one JSON object a line, with trace ids and causes, and drops what is below the level', () => {
    const lines: string[] = [];
    const telemetry = createTelemetry({ ...base, write: (line) => void lines.push(line) });
    telemetry.log.debug('hidden');
    telemetry.log.info('lease.lost', { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, cause: 'EXPIRED' });
    telemetry.log.error('broken', {}, new Error('outer', { cause: new Error('inner') }));
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      event: 'lease.lost',
      instance: 't-1',
      trace_id: 'a'.repeat(32),
      span_id: 'b'.repeat(16),
    });
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({ error: 'outer', causes: ['inner'] });
  });

  it('does not copy the properties of an error, which may hold data', () => {
    const lines: string[] = [];
    const telemetry = createTelemetry({ ...base, write: (line) => void lines.push(line) });
    telemetry.log.error('broken', {}, Object.assign(new Error('failed'), { parameters: ['+15550100', 'secret body'] }));
    expect(lines[0]).not.toContain('secret body');
  });
});

describe('metrics', () => {
  it('shows counters, histograms with bounds in seconds, and gauges with their labels', async () => {
    const telemetry = createTelemetry(base);
    telemetry.count('intents', 3, { verdict: 'PASS' });
    telemetry.record('accept.duration', 0.004);
    let reads = 0;
    const read = (): number => {
      reads += 1;
      return 7;
    };
    const remove = telemetry.gauge('sockets', read, { kind: 'graphql' });
    const text = await telemetry.metricsText();
    expect(text).toMatch(/flotilla_intents_total\{[^}]*verdict="PASS"[^}]*\} 3/);
    expect(text).toMatch(/flotilla_accept_duration_seconds_bucket\{[^}]*le="0.005"[^}]*\} 1/);
    expect(text).toMatch(/flotilla_sockets\{[^}]*kind="graphql"[^}]*\} 7/);
    expect(text).toMatch(/flotilla_memory_bytes\{[^}]*kind="heap"[^}]*\} \d{7,}/);
    remove();
    await telemetry.metricsText();
    expect(reads).toBe(1);
    await telemetry.shutdown();
  });

  it('takes every label from a closed set: no definition names a device, lead, message, phone or client', () => {
    const labels = Object.values(METRICS).flatMap((definition) => ('labels' in definition ? [...definition.labels] : []));
    for (const label of labels) expect(label).not.toMatch(/device|lead|message|phone|client|tenant/);
  });
});

describe('traces', () => {
  it('reads only sampled W3C traceparents', () => {
    const id = `00-${'1'.repeat(32)}-${'2'.repeat(16)}`;
    expect(parseTraceparent(`${id}-01`)?.traceId).toBe('1'.repeat(32));
    expect(parseTraceparent(`${id}-00`)).toBeNull();
    expect(parseTraceparent('rubbish')).toBeNull();
    expect(parseTraceparent(null)).toBeNull();
  });

  it('makes nothing at all without a receiver', () => {
    const telemetry = createTelemetry(base);
    const span = telemetry.span('accept', { root: true });
    expect(span.traceparent).toBe('');
    expect(telemetry.span('intent', { parent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` })).toBe(span);
    expect(telemetry.sampled('01900000-0000-7000-8000-000000000000')).toBe(false);
  });

  it('exports one trace whose spans hang together across processes', async () => {
    const receiver = await startTraceReceiver();
    const otlpEndpoint = receiver.endpoint;
    const gateway = createTelemetry({ ...base, otlpEndpoint });
    const node = createTelemetry({ ...base, otlpEndpoint });
    const accept = gateway.span('accept', { root: true, kind: 'producer' });
    const send = node.span('send', { parent: accept.traceparent, attributes: { lane: 'high' } });
    send.end();
    accept.end();
    await Promise.all([gateway.shutdown(), node.shutdown()]);
    await receiver.close();
    const [traceId, spanId] = [accept.traceparent.slice(3, 35), accept.traceparent.slice(36, 52)];
    expect(receiver.spans.map((span) => [span.name, span.traceId, span.parentSpanId]).sort()).toEqual([
      ['accept', traceId, ''],
      ['send', traceId, spanId],
    ]);
  });
});
