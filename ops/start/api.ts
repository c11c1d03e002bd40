import type { Clock } from '../lifecycle/index.ts';

/** Where a gateway is and the key to speak to it with. */
export interface Api {
  readonly url: string;
  readonly key: string;
}

/** A busy machine is given so long. */
const PATIENCE_MS = 180_000;
/** Asks again while the API says UNAVAILABLE, which may have done what was asked all the same: only for what may be asked twice. */
export async function patiently<T>(clock: Pick<Clock, 'monotonic' | 'sleep'>, work: () => Promise<T>): Promise<T> {
  for (const end = clock.monotonic() + PATIENCE_MS; ; await clock.sleep(500)) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes('UNAVAILABLE') || clock.monotonic() > end) throw error;
    }
  }
}

/**
 * One GraphQL request over HTTP, as any client would make it.
 * @throws Error with the first error's code and message, or the HTTP status
 */
export async function ask<T>(api: Api, query: string, variables: Readonly<Record<string, unknown>> = {}): Promise<T> {
  const answer = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.key}`, 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await answer.text();
  let parsed: { data?: T | null; errors?: { message: string; extensions?: { code?: string } }[] };
  try {
    parsed = JSON.parse(text) as typeof parsed;
  } catch {
    throw new Error(`${api.url}/graphql answered ${answer.status}: ${text.slice(0, 200)}`);
  }
  const problem = parsed.errors?.[0];
  if (problem !== undefined) throw new Error(`${problem.extensions?.code ?? answer.status}: ${problem.message}`);
  if (parsed.data === undefined || parsed.data === null) throw new Error(`${api.url}/graphql answered ${answer.status} without data`);
  return parsed.data;
}
