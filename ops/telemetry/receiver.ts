import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as an OTLP receiver sees it (opentelemetry.proto.trace.v1.Span, the fields the tests need). Ids in hex. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** empty for the first span of a trace */
  readonly parentSpanId: string;
  readonly name: string;
}

export interface TraceReceiver {
  /** for OTEL_EXPORTER_OTLP_ENDPOINT */
  readonly endpoint: string;
  readonly spans: readonly ReceivedSpan[];
  close(): Promise<void>;
}

/** A small OTLP receiver (http/protobuf) on loopback that keeps every span: proves in tests that a trace is one trace. */
export async function startTraceReceiver(): Promise<TraceReceiver> {
  const spans: ReceivedSpan[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url === '/v1/traces') spans.push(...spansOf(Buffer.concat(chunks)));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** ExportTraceServiceRequest -> resource_spans (1) -> scope_spans (2) -> spans (2). */
function spansOf(body: Buffer): ReceivedSpan[] {
  return parts(body, 1)
    .flatMap((resourceSpans) => parts(resourceSpans, 2))
    .flatMap((scopeSpans) => parts(scopeSpans, 2))
    .map((span) => {
      const text = (field: number, encoding: 'hex' | 'utf8'): string => parts(span, field)[0]?.toString(encoding) ?? '';
      return { traceId: text(1, 'hex'), spanId: text(2, 'hex'), parentSpanId: text(4, 'hex'), name: text(5, 'utf8') };
    });
}

/** The length-delimited values of one field of a protobuf message (Protocol Buffers encoding guide). */
function parts(message: Buffer, wanted: number): Buffer[] {
  const found: Buffer[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) throw new RangeError('protobuf: a varint ends early');
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const wire = tag & 7;
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const length = varint();
      if (tag >>> 3 === wanted) found.push(message.subarray(at, at + length));
      at += length;
    } else throw new RangeError(`protobuf: wire type ${wire}`);
  }
  return found;
}
