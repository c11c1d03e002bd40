import type { Clock } from '../../ops/lifecycle/index.ts';
import { FlotillaError } from '../../schema/domain/index.ts';

/**
 * Longest time that one request may wait for Postgres in all: key, tenant, and whatever the operation does. What it has used up for one, it
 * has no more for the next. The answer is promised within a second; the rest is for the way to the client.
 */
export const REQUEST_WAIT_MS = 800;
/** Longest wait of one piece of work for a dependency before it is told UNAVAILABLE. */
export const DEPENDENCY_WAIT_MS = 700;
const RETRY_AFTER_MS = 1000;
/** Work that nobody waits for any more, but that the dependency may still do; with more than this, nothing is added to it. Guess. */
const ABANDONED_LIMIT = 256;

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

const NEVER_REACHED: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'CONNECT_TIMEOUT']);

/** True when the statement was certainly not run: the connection for it was refused (08001, 08004, too many connections, not yet started). */
export function neverReached(error: unknown): boolean {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return (
    typeof code === 'string' && (NEVER_REACHED.has(code) || code === '53300' || code === '57P03' || code === '08001' || code === '08004')
  );
}

export function unavailable(what: string, cause?: unknown): FlotillaError {
  return new FlotillaError('retryable', 'UNAVAILABLE', `${what} is not available: ask again`, { cause, retryAfterMs: RETRY_AFTER_MS });
}

/**
 * Runs work that needs a dependency: settles within `DEPENDENCY_WAIT_MS`, and before `deadline` (monotonic ms) when there is one, and says
 * UNAVAILABLE when the dependency is away. Work that nobody waits for any more goes on; while there is too much of it, more is refused at once.
 */
export type Guard = <T>(work: () => Promise<T>, deadline?: number) => Promise<T>;

export function createGuard(clock: Clock, what: string, waitMs: number = DEPENDENCY_WAIT_MS): Guard {
  let abandoned = 0;
  return (work, deadline = Number.POSITIVE_INFINITY) =>
    new Promise((resolve, reject) => {
      const patienceMs = Math.min(waitMs, deadline - clock.monotonic());
      if (patienceMs <= 0 || abandoned >= ABANDONED_LIMIT) {
        reject(unavailable(what));
        return;
      }
      let late = false;
      const expire = (): void => {
        late = true;
        abandoned += 1;
        reject(tooLate(what));
      };
      const cancel = clock.after(patienceMs, expire, { background: true });
      const done = (): void => {
        cancel();
        if (late) abandoned -= 1;
      };
      work().then(
        (value) => {
          done();
          resolve(value);
        },
        (error: unknown) => {
          done();
          reject(isAway(error) && !(error instanceof FlotillaError) ? unavailable(what, error) : error);
        },
      );
    });
}

/** What was asked for may still be done: nobody knows. */
export function tooLate(what: string): FlotillaError {
  const message = `${what} did not answer in time, and may still do what was asked: ask again`;
  return new FlotillaError('retryable', 'UNAVAILABLE', message, { retryAfterMs: RETRY_AFTER_MS, outcomeUnknown: true });
}
