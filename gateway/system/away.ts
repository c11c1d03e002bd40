import type { Clock } from '../../ops/lifecycle/index.ts';
import { FlotillaError } from '../../schema/domain/index.ts';

/** Longest wait of a request for a dependency before it is told UNAVAILABLE. */
export const DEPENDENCY_WAIT_MS = 900;
const RETRY_AFTER_MS = 1000;

const AWAY_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
]);

/**
 * True when a fault means "the server is away or overloaded, ask again" and not "this statement is wrong". Sources: PostgreSQL
 * appendix A (classes 08, 40, 53, 55P03, 57), postgres.js and ioredis error codes.
 */
export function isAway(error: unknown): boolean {
  if (error instanceof FlotillaError) return error.policy === 'retryable';
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string') {
    if (AWAY_CODES.has(code)) return true;
    if (/^(08|40|53|57)/.test(code) && /^[0-9A-Z]{5}$/.test(code)) return true;
    if (code === '55P03') return true;
  }
  return /Connection is closed|Command timed out|max retries per request|Stream isn't writeable/i.test(error.message);
}

export function unavailable(what: string, cause?: unknown): FlotillaError {
  return new FlotillaError('retryable', 'UNAVAILABLE', `${what} is not available: ask again`, { cause, retryAfterMs: RETRY_AFTER_MS });
}

/** Runs work that needs a dependency: settles within `DEPENDENCY_WAIT_MS`, and says UNAVAILABLE when the dependency is away. */
export type Guard = <T>(work: () => Promise<T>) => Promise<T>;

export function createGuard(clock: Clock, what: string, waitMs: number = DEPENDENCY_WAIT_MS): Guard {
  return (work) =>
    new Promise((resolve, reject) => {
      const cancel = clock.after(waitMs, () => reject(unavailable(what)), { background: true });
      work().then(
        (value) => {
          cancel();
          resolve(value);
        },
        (error: unknown) => {
          cancel();
          reject(isAway(error) && !(error instanceof FlotillaError) ? unavailable(what, error) : error);
        },
      );
    });
}
