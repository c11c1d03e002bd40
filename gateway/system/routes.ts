import type { Redis, Sql } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Authenticator } from '../auth/index.ts';
import type { HttpAnswer, HttpHandler } from '../server/index.ts';
import { readiness } from './ready.ts';
import { checkRedis } from './redis-check.ts';

export interface SystemDeps {
  readonly sql: Sql;
  readonly redis: Redis;
  readonly redisUrl: string;
  readonly auth: Authenticator;
  readonly clock: Clock;
  /** the gateway is shutting down */
  readonly draining: () => boolean;
}

const json = (status: number, body: unknown): HttpAnswer => ({
  status,
  headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' },
  body: JSON.stringify(body, null, 2),
});

/** uWS writes IPv6 addresses out in full. */
const LOOPBACK = /^(127\.|::1$|::ffff:127\.|(0000:){7}0001$|(0000:){5}ffff:7f)/i;

/** Handlers of `/ready` and `/api/system/redis-check` (from elsewhere than this machine with any key; 503 when Redis cannot be reached). */
export function createSystemRoutes(deps: SystemDeps): { readonly ready: HttpHandler; readonly redisCheck: HttpHandler } {
  return {
    async ready() {
      const answer = await readiness({ sql: deps.sql, redis: deps.redis, clock: deps.clock, draining: deps.draining() });
      return json(answer.ready ? 200 : 503, answer);
    },
    async redisCheck(request) {
      if (!LOOPBACK.test(request.remote)) {
        const viewer = await deps.auth.authenticate({ authorization: request.headers['authorization'], remote: request.remote });
        if ('status' in viewer) return json(viewer.status, { code: viewer.code, message: viewer.message });
      }
      const report = await checkRedis(deps.redis, { url: deps.redisUrl, clock: deps.clock });
      return json(report.reachable ? 200 : 503, report);
    },
  };
}
