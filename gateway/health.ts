import type { Redis, Sql } from '../ops/connect/index.ts';
import type { Clock } from '../ops/lifecycle/index.ts';
import type { HttpHandler } from './server/index.ts';

/** `/live` and `/ready`. Ready says which dependency is missing; asked often, it looks at most twice a second. */
export interface Health {
  readonly live: HttpHandler;
  readonly ready: HttpHandler;
  /** from now on not ready: the load balancer looks elsewhere before the sockets go */
  drain(): void;
}
export interface HealthDeps {
  readonly sql: Sql;
  readonly redis: Redis;
  readonly clock: Clock;
  /** what start-up still waits for, or null */
  readonly starting: () => string | null;
}

const LOOK_MS = 500;
const PATIENCE_MS = 2_000;

export function createHealth(deps: HealthDeps): Health {
  const { clock } = deps;
  let draining = false;
  let last: { readonly at: number; readonly missing: Promise<readonly string[]> } | undefined;
  const answers = async (work: Promise<unknown>): Promise<boolean> => {
    const late = new AbortController();
    const outcome = await Promise.race([
      work.then(
        () => true,
        () => false,
      ),
      clock.sleep(PATIENCE_MS, late.signal).then(
        () => false,
        () => false,
      ),
    ]);
    late.abort(new Error('answered'));
    return outcome;
  };
  const look = async (): Promise<readonly string[]> => {
    const [postgres, redis] = await Promise.all([answers(deps.sql.unsafe('select 1')), answers(deps.redis.ping())]);
    const missing = [...(postgres ? [] : ['postgres']), ...(redis ? [] : ['redis'])];
    const starting = deps.starting();
    return starting === null || missing.length > 0 ? missing : [starting];
  };
  const json = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' };
  return {
    live: () => ({ status: 200, headers: json, body: '{"live":true}' }),
    async ready() {
      if (last === undefined || clock.monotonic() - last.at >= LOOK_MS) last = { at: clock.monotonic(), missing: look() };
      const missing = draining ? ['draining'] : await last.missing;
      return { status: missing.length === 0 ? 200 : 503, headers: json, body: JSON.stringify({ ready: missing.length === 0, missing }) };
    },
    drain() {
      draining = true;
    },
  };
}
