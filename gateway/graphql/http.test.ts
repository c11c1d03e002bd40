import { auditServer } from 'graphql-http';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import type { AcceptItem, AcceptOutcome } from '../../schema/sql/index.ts';
import { createGraphqlHttp } from './http.ts';
import { DEVICE, testExecutor, testRequest, testTelemetry, testViewer } from './testing.ts';

const accepted = async (item: AcceptItem): Promise<AcceptOutcome> => ({ kind: 'accepted', id: item.id, seq: 1, paused: false });

function handler(accept = accepted, lines: string[] = []) {
  const auth = {
    authenticate: async ({ authorization }: { authorization: string | undefined }) =>
      authorization === 'Bearer test-key-0123456789'
        ? testViewer()
        : ({ code: 'UNAUTHENTICATED', status: 401, message: 'expected a key' } as const),
    forget: () => {},
  };
  return createGraphqlHttp({ executor: testExecutor(accept, lines), auth, clock: systemClock, telemetry: testTelemetry(lines) });
}

async function post(body: unknown, headers: Record<string, string> = {}, run = handler()) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const request = testRequest({ text });
  const answer = await run({ ...request, headers: { ...request.headers, ...headers } });
  return { status: answer.status, headers: answer.headers ?? {}, json: JSON.parse(String(answer.body)) };
}

const send = (alias: string, to = '+491701234567') =>
  `${alias}: sendMessage(input: {deviceId: "Device:${DEVICE}", to: "${to}", body: "hi"}) { message { id state } errors { code message path } }`;

describe('GraphQL over HTTP', () => {
  it('passes the audits of the GraphQL-over-HTTP specification', async () => {
    const run = handler();
    const fetchFn = async (url: string, init: RequestInit = {}): Promise<Response> => {
      const headers = Object.fromEntries(new Headers(init.headers).entries());
      const { search } = new URL(url);
      const request = testRequest({ method: init.method ?? 'GET', query: search.slice(1), text: String(init.body ?? '') });
      const answer = await run({ ...request, headers: { ...headers, authorization: 'Bearer test-key-0123456789' } });
      return new Response(answer.body as string, { status: answer.status, headers: answer.headers ?? {} });
    };
    const results = await auditServer({ url: 'http://gateway/graphql', fetchFn });
    expect(results.length).toBe(61);
    const bad = results.filter((result) => result.status !== 'ok').map((result) => `${result.id} ${result.status} ${result.name}`);
    expect(bad).toEqual([]);
  });

  it('answers 401 without a key, before anything of the request is parsed', async () => {
    expect(await post('{', { authorization: 'Bearer wrong-key-012345' })).toMatchObject({
      status: 401,
      json: { errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] },
    });
  });

  it('answers 400 with a code to a syntax error, an unknown field and malformed JSON', async () => {
    expect(await post({ query: '{ viewer ' })).toMatchObject({
      status: 400,
      json: { errors: [{ extensions: { code: 'GRAPHQL_PARSE_FAILED' } }] },
    });
    expect(await post({ query: '{ nothing }' })).toMatchObject({
      status: 400,
      json: { errors: [{ extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } }] },
    });
    expect(await post('{"query": ')).toMatchObject({ status: 400, json: { errors: [{ extensions: { code: 'BAD_REQUEST' } }] } });
  });

  it('takes no batches, no other content type and no other method', async () => {
    expect((await post([{ query: '{ __typename }' }])).status).toBe(400);
    expect((await post({ query: '{ __typename }' }, { 'content-type': 'text/plain' })).status).toBe(415);
    const answer = await handler()(testRequest({ method: 'PUT' }));
    expect(answer.status).toBe(405);
  });

  it.each([
    ['depth', '{ deadLetters { edges { node { message { device { sendability { canSend } } } } } } }', false],
    [
      'introspectionDepth',
      `{ __schema { ${'types { '.repeat(0)}${'queryType { '}${'ofType { '.repeat(18)}name${' }'.repeat(18)} } } }`,
      true,
    ],
    ['aliases', `{ ${Array.from({ length: 102 }, (_, at) => `a${at}: __typename`).join(' ')} }`, true],
    ['directives', `{ ${Array.from({ length: 51 }, (_, at) => `a${at}: __typename @skip(if: false)`).join(' ')} }`, true],
    ['tokens', `{ ${'id '.repeat(10_001)} }`, true],
    [
      'cost',
      '{ devices(first: 500) { edges { node { id name state reason node epoch sendability { canSend reasons until backlog nextSendAt } phone transport paired paused pauseReason paceMinMs paceMaxMs } } } }',
      true,
    ],
    ['document', `{ __typename #${'x'.repeat(65 * 1024)}\n}`, true],
    ['nesting', '{ a '.repeat(3_300), true],
  ])('limits the %s of an operation', async (limit, query, over) => {
    const { json } = await post({ query });
    const codes = (json.errors ?? []).map((error: { extensions?: { code?: string; limit?: string } }) => error.extensions?.limit);
    expect(codes.includes(limit)).toBe(over);
  });

  it('runs 100 sendMessage aliases in one go, in the order of the document', async () => {
    const seen: string[] = [];
    let open = 0;
    let most = 0;
    const run = handler(async (item) => {
      seen.push(item.recipient);
      open += 1;
      most = Math.max(most, open);
      await new Promise((resolve) => setImmediate(resolve));
      open -= 1;
      return { kind: 'accepted', id: item.id, seq: 1, paused: false };
    });
    const numbers = Array.from({ length: 100 }, (_, at) => `+4917012${String(at).padStart(5, '0')}`);
    const { json } = await post({ query: `mutation { ${numbers.map((to, at) => send(`m${at}`, to)).join('\n')} }` }, {}, run);
    expect(json.errors).toBeUndefined();
    expect(Object.keys(json.data)).toEqual(numbers.map((_, at) => `m${at}`));
    expect(seen).toEqual(numbers);
    expect(most).toBe(100);
    expect(json.data.m7.message.state).toBe('QUEUED');
  });

  it('tells nothing of an unexpected fault, and logs it', async () => {
    const lines: string[] = [];
    const run = handler(async () => {
      throw new Error('secret detail of the inside');
    }, lines);
    const { json } = await post({ query: `mutation { ${send('m')} }` }, {}, run);
    expect(JSON.stringify(json)).not.toContain('secret detail');
    expect(json.errors[0].extensions.code).toBe('INTERNAL');
    expect(lines.join('')).toContain('secret detail');
  });

  it('lets GraphiQL read the schema, and serves its page without reaching elsewhere', async () => {
    const { getIntrospectionQuery } = await import('graphql');
    const { json } = await post({ query: getIntrospectionQuery({ descriptions: true, inputValueDeprecation: true }) });
    expect(json.errors).toBeUndefined();
    const page = await handler()(testRequest({ method: 'GET', headers: { accept: 'text/html' } }));
    expect(page.headers?.['content-type']).toContain('text/html');
    expect(String(page.body)).not.toMatch(/<(script|link)[^>]+(src|href)="https?:/);
  });
});
