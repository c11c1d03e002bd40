import http from 'k6/http';

/** One GraphQL request over HTTP; answers the data, or the reason there is none. */
export function request<T>(
  url: string,
  key: string,
  query: string,
  variables: Record<string, unknown>,
): { data: T | null; error: string | null; ms: number } {
  const response = http.post(url, JSON.stringify({ query, variables }), {
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    tags: { name: '/graphql' },
  });
  if (response.status !== 200)
    return { data: null, error: `status ${response.status}: ${String(response.body).slice(0, 200)}`, ms: response.timings.duration };
  const body = JSON.parse(String(response.body)) as { data?: T; errors?: { message: string }[] };
  const error = body.errors?.[0]?.message ?? null;
  return { data: body.data ?? null, error, ms: response.timings.duration };
}
