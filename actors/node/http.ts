import { createServer } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';

/** One thing a node cannot work without; resolves false or rejects when it is missing. */
export type Check = () => Promise<boolean>;

export interface NodeHttp {
  readonly port: number;
  close(): Promise<void>;
}

const CHECK_MS = 2000;

/**
 * A node's `/live` (the process answers), `/ready` (200, or 503 naming what is missing) and `/metrics` (Prometheus text).
 * Also registers the gauge of the event loop's delay: p99 since the last reading.
 */
export async function startNodeHttp(
  deps: { readonly telemetry: Telemetry; readonly clock: Clock; readonly checks: Readonly<Record<string, Check>> },
  options: { readonly host: string; readonly port: number },
): Promise<NodeHttp> {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  const removeGauge = deps.telemetry.gauge('loop.lag', () => {
    const seconds = delay.percentile(99) / 1e9;
    delay.reset();
    return seconds;
  });
  const answer = async (path: string): Promise<{ status: number; type: string; body: string }> => {
    switch (path) {
      case '/live':
        return { status: 200, type: 'application/json', body: '{"live":true}' };
      case '/ready': {
        const missing = await missingOf(deps.checks, deps.clock);
        const status = missing.length === 0 ? 200 : 503;
        return { status, type: 'application/json', body: JSON.stringify({ ready: missing.length === 0, missing }) };
      }
      case '/metrics':
        return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await deps.telemetry.metricsText() };
      default:
        return { status: 404, type: 'application/json', body: '{"error":"not found"}' };
    }
  };
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    answer(path).then(
      ({ status, type, body }) => response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body),
      (error: unknown) => {
        deps.telemetry.log.error('http.failed', { path }, error);
        response.writeHead(500).end();
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close() {
      removeGauge();
      delay.disable();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function missingOf(checks: Readonly<Record<string, Check>>, clock: Clock): Promise<string[]> {
  const names = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      const late = new AbortController();
      const timeout = clock.sleep(CHECK_MS, late.signal).then(
        () => false,
        () => false,
      );
      const there = await Promise.race([check().catch(() => false), timeout]);
      late.abort(new Error('answered'));
      return there ? null : name;
    }),
  );
  return names.filter((name) => name !== null);
}
