import type { Redis, Sql } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';

/** What `/ready` answers: 200 when every dependency answers, else 503 naming those that do not. */
export interface Readiness {
  readonly ready: boolean;
  readonly postgres: 'ok' | 'missing';
  readonly redis: 'ok' | 'missing';
  readonly draining: boolean;
}

/** Asks both dependencies at once; neither may take longer than `waitMs`. */
export async function readiness(deps: {
  readonly sql: Pick<Sql, 'unsafe'>;
  readonly redis: Pick<Redis, 'ping'>;
  readonly clock: Clock;
  readonly draining: boolean;
  readonly waitMs?: number;
}): Promise<Readiness> {
  const answers = async (work: Promise<unknown>): Promise<'ok' | 'missing'> => {
    const waiting = new AbortController();
    const late = deps.clock.sleep(deps.waitMs ?? 900, waiting.signal).then(
      () => 'missing' as const,
      () => 'missing' as const,
    );
    const outcome = await Promise.race([
      work.then(
        () => 'ok' as const,
        () => 'missing' as const,
      ),
      late,
    ]);
    waiting.abort(new Error('answered'));
    return outcome;
  };
  const [postgres, redis] = await Promise.all([answers(Promise.resolve(deps.sql.unsafe('select 1'))), answers(deps.redis.ping())]);
  return { ready: postgres === 'ok' && redis === 'ok' && !deps.draining, postgres, redis, draining: deps.draining };
}
