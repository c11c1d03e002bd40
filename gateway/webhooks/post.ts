import type { lookup } from 'node:dns';
import { AddressRefused, publicUrl, requestPublic, ServerSilent } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { signatureOf } from './sign.ts';

/** What came of one request. `status` null: there was no answer, and `error` says why. */
export interface Posted {
  readonly status: number | null;
  readonly error: string | null;
  readonly tookMs: number;
  /** the receiver asks to wait, ms */
  readonly retryAfterMs: number | null;
}
export interface PostOptions {
  /** WEBHOOK_PRIVATE_HOSTS */
  readonly allowed: readonly string[];
  /** a request that has no answer by then is given up, whatever was said on the way */
  readonly timeoutMs: number;
  /** for tests */
  readonly lookup?: typeof lookup;
}
export type Post = (
  to: { readonly url: string; readonly secrets: readonly string[] },
  id: string,
  text: string,
  signal?: AbortSignal,
) => Promise<Posted>;

export const taken = ({ status }: Pick<Posted, 'status'>): boolean => status !== null && status >= 200 && status < 300;

/**
 * Sends signed requests to addresses that tenants gave us (ops/connect, M1). Only the head of an answer is read; redirects are not followed, because the
 * signature was made for the address that was given.
 */
export function createPost(clock: Clock, options: PostOptions): Post {
  return async ({ url, secrets }, id, text, signal) => {
    const began = clock.monotonic();
    const done = (status: number | null, error: string | null, retryAfterMs: number | null = null): Posted => ({
      status,
      error,
      tookMs: Math.round(clock.monotonic() - began),
      retryAfterMs,
    });
    const body = Buffer.from(text);
    const seconds = Math.floor(clock.wall() / 1000);
    const end = new AbortController();
    const cancel = clock.after(options.timeoutMs, () => end.abort(), { background: true });
    try {
      const answer = await requestPublic(publicUrl(url), {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'flotilla-webhooks',
          'webhook-id': id,
          'webhook-timestamp': String(seconds),
          'webhook-signature': signatureOf(secrets, id, seconds, body),
        },
        body,
        allowed: options.allowed,
        signal: signal === undefined ? end.signal : AbortSignal.any([end.signal, signal]),
        idleMs: options.timeoutMs,
        ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
      });
      const status = answer.statusCode ?? 0;
      const after = Number(answer.headers['retry-after'] ?? Number.NaN);
      // what else it has to say may never end
      answer.destroy();
      if (taken({ status })) return done(status, null);
      const redirect = status >= 300 && status < 400 ? ': redirects are not followed' : '';
      return done(status, `the receiver answered ${status}${redirect}`, Number.isFinite(after) && after > 0 ? after * 1000 : null);
    } catch (error) {
      if (error instanceof AddressRefused) return done(null, `not asked: ${error.message}`);
      if (end.signal.aborted || error instanceof ServerSilent) return done(null, `no answer within ${options.timeoutMs} ms`);
      return done(
        null,
        `it cannot be reached: ${error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : 'unknown'}`,
      );
    } finally {
      cancel();
    }
  };
}
