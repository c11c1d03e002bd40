import { type ExecutionArgs, GraphQLError } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { GraphqlContext, Viewer } from '../../schema/graphql/index.ts';
import { type Authenticator, type AuthFailure, isAuthFailure, originAllowed, type Rates } from '../auth/index.ts';
import type { HttpAnswer, HttpHandler, HttpRequest } from '../server/index.ts';
import { REQUEST_WAIT_MS } from '../system/index.ts';
import { answerDirectly } from './direct.ts';
import { namesDocument } from './documents.ts';
import { rateError, requestError } from './errors.ts';
import type { Executor, Variables } from './executor.ts';
import { createGraphiql, type GraphiqlPage } from './graphiql.ts';
import { HTTP_BODY_BYTES } from './limits.ts';
import { isRejected, type Operation } from './operation.ts';

/**
 * GraphQL over HTTP: key first, then yoga for negotiation, GET, POST and SSE (graphql-sse "distinct connections"). Parsing, validation
 * and execution are the executor's, so HTTP has no second set of rules.
 *
 * H1 Without a good key nothing of a request is parsed (401, 403, 429 or 503).
 * H2 POST takes application/json only, and GET carries the same Authorization header: a foreign page can send neither unasked. A page of an Origin
 *    that is not allowed is refused whatever it sends; allowed ones get the CORS headers.
 */
export interface GraphqlHttpDeps {
  readonly executor: Executor;
  readonly auth: Authenticator;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** subscriptions asked for as event streams (gateway/hub); null = the general way answers */
  readonly eventStream?: (request: HttpRequest, viewer: Viewer) => Promise<HttpAnswer | null>;
  readonly rates?: Rates;
  /** patience of a request; default REQUEST_WAIT_MS */
  readonly waitMs?: number;
  /** Origins of other pages that may use the API */
  readonly allowedOrigins?: readonly string[];
}

interface ServerContext {
  readonly viewer: Viewer;
  readonly traceparent: string | undefined;
  /** what is left of the request's patience for the operation */
  readonly waitMs: number;
  /** what the hooks found; an object of its own, because yoga copies the context */
  readonly verdict: Verdict;
}
interface Verdict {
  /** the request itself was wrong, nothing was executed */
  refused: boolean;
  operation?: Operation;
}

function yogaOf(executor: Executor) {
  const rules: Plugin<GraphqlContext & ServerContext> = {
    onParams({ params, setParams, context }) {
      const name: unknown = params.operationName;
      if (name !== undefined && name !== null && typeof name !== 'string') {
        throw requestError('BAD_REQUEST', 'operationName: expected a string', { http: { status: 400 } });
      }
      const { extensions } = params;
      if (!params.query && namesDocument(extensions)) {
        const { viewer } = context as unknown as ServerContext;
        const query = executor.documentOf({ query: '', extensions: extensions ?? null }, viewer);
        if (typeof query !== 'string') throw query;
        setParams({ ...params, query });
      }
    },
    onParse({ params, context, setParsedDocument }) {
      const server = context as unknown as ServerContext & {
        params: { operationName?: string; variables?: Record<string, unknown>; extensions?: Record<string, unknown> };
      };
      const answer = executor.validateOperation(
        {
          query: String(params.source),
          operationName: server.params.operationName,
          variables: server.params.variables,
          extensions: server.params.extensions,
        },
        server.viewer,
      );
      if (isRejected(answer)) {
        server.verdict.refused = true;
        throw answer.errors.length === 1 ? answer.errors[0] : new AggregateError(answer.errors);
      }
      server.verdict.operation = answer;
      setParsedDocument(answer.document);
    },
    // validateOperation has done it
    onValidate: ({ setResult }) => setResult([]),
    onExecute({ setExecuteFn }) {
      setExecuteFn(async (args: ExecutionArgs) => {
        const { verdict } = args.contextValue as ServerContext;
        if (verdict.operation === undefined) throw new Error('an operation reached execution without validation');
        const result = await executor.run(verdict.operation, args.variableValues as Variables, args.contextValue as GraphqlContext);
        // wrong variables: execution never began
        if (result.data === undefined) verdict.refused = true;
        return result;
      });
    },
    onSubscribe({ setSubscribeFn }) {
      setSubscribeFn((args: ExecutionArgs) => {
        const { operation } = (args.contextValue as ServerContext).verdict;
        if (operation === undefined) throw new Error('an operation reached execution without validation');
        return executor.stream(operation, args.variableValues as Variables, args.contextValue as GraphqlContext);
      });
    },
  };
  return createYoga<ServerContext, GraphqlContext>({
    schema: executor.schema,
    context: (initial) => executor.contextFor(initial.viewer, { traceparent: initial.traceparent, waitMs: initial.waitMs }),
    plugins: [rules],
    maskedErrors: { maskError: (error) => executor.mask(error) },
    parserAndValidationCache: false,
    logging: false,
    cors: false,
    graphiql: false,
    landingPage: false,
    batching: false,
    multipart: false,
    maxRequestBodySize: HTTP_BODY_BYTES,
    graphqlEndpoint: '/graphql',
    healthCheckEndpoint: '/graphql/never',
  });
}

const JSON_TYPE = 'application/json; charset=utf-8';

function errorAnswer(status: number, code: string, message: string, extra: Record<string, unknown> = {}): HttpAnswer {
  const retryAfterMs = extra['retryAfterMs'];
  return {
    status,
    headers: {
      'content-type': JSON_TYPE,
      ...(typeof retryAfterMs === 'number' ? { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) } : {}),
      ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    },
    body: JSON.stringify({ errors: [new GraphQLError(message, { extensions: { code, ...extra } })] }),
  };
}

function failureAnswer(failure: AuthFailure): HttpAnswer {
  const extra = failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs };
  return errorAnswer(failure.status, failure.code, failure.message, extra);
}

function wantsPage(request: HttpRequest): boolean {
  return request.method === 'GET' && (request.headers['accept'] ?? '').includes('text/html') && !/(^|&)query=/.test(request.query);
}

function pageAnswer(request: HttpRequest, page: GraphiqlPage): HttpAnswer {
  const zipped = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  return {
    status: 200,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'public, max-age=3600',
      'content-security-policy': page.contentSecurityPolicy,
      vary: 'accept, accept-encoding',
      ...(zipped ? { 'content-encoding': 'gzip' } : {}),
    },
    body: zipped ? page.gzipped : page.html,
  };
}

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) yield chunk;
}

async function answerOf(response: Response, statusWhenRefused: number | undefined): Promise<HttpAnswer> {
  const headers: Record<string, string> = {};
  response.headers.forEach((value, name) => {
    headers[name.toLowerCase()] = value;
  });
  const status = statusWhenRefused ?? response.status;
  if (response.body === null) return { status, headers };
  if ((headers['content-type'] ?? '').startsWith('text/event-stream')) {
    return { status, headers, body: chunksOf(response.body as ReadableStream<Uint8Array>) };
  }
  return { status, headers, body: await response.text() };
}

/** H2 */
function corsHeaders(origin: string): Record<string, string> {
  return {
    'access-control-allow-origin': origin,
    'access-control-allow-headers': 'authorization, content-type, x-flotilla-tenant',
    'access-control-allow-methods': 'GET, POST',
    'access-control-max-age': '600',
    'cross-origin-resource-policy': 'cross-origin',
    vary: 'origin',
  };
}

/** The handler of `/graphql` for every method. */
export function createGraphqlHttp(deps: GraphqlHttpDeps): HttpHandler {
  const { executor, auth, clock, telemetry, allowedOrigins = [], waitMs: patienceMs = REQUEST_WAIT_MS } = deps;
  const yoga = yogaOf(executor);
  const graphiql = createGraphiql();

  const run = async (request: HttpRequest, viewer: Viewer, waitMs: number): Promise<HttpAnswer> => {
    const headers = { ...request.headers };
    delete headers['content-length'];
    const init: RequestInit = { method: request.method, headers, signal: request.signal };
    if (request.method === 'POST') init.body = (await request.body(HTTP_BODY_BYTES)).toString('utf8');
    const url = `http://gateway/graphql${request.query === '' ? '' : `?${request.query}`}`;
    const verdict: Verdict = { refused: false };
    const context: ServerContext = { viewer, traceparent: request.headers['traceparent'], waitMs, verdict };
    const response = await yoga.fetch(new yoga.fetchAPI.Request(url, init), context);
    // GraphQL over HTTP: a wrong request is 400, except that a client which asks for application/json by name gets 200
    const type = response.headers.get('content-type') ?? '';
    const byName = type.startsWith('application/json') && (request.headers['accept'] ?? '').includes('application/json');
    return answerOf(response, verdict.refused && response.status === 200 && !byName ? 400 : undefined);
  };

  const answer = async (request: HttpRequest): Promise<HttpAnswer> => {
    if (wantsPage(request)) {
      const page = await graphiql();
      if (page !== null) return pageAnswer(request, page);
    }
    if (request.method !== 'GET' && request.method !== 'POST') {
      return { ...errorAnswer(405, 'BAD_REQUEST', 'expected GET or POST'), headers: { allow: 'GET, POST', 'content-type': JSON_TYPE } };
    }
    const began = clock.monotonic();
    const asked = {
      authorization: request.headers['authorization'],
      tenant: request.headers['x-flotilla-tenant'],
      remote: request.remote,
    };
    const viewer = await auth.authenticate({ ...asked, deadline: began + patienceMs });
    if (isAuthFailure(viewer)) return failureAnswer(viewer);
    const refused = deps.rates?.take({ key: viewer.keyId, tenant: viewer.tenantId, address: request.remote });
    if (refused !== undefined && refused !== null) {
      telemetry.count('limit.rejected', 1, { limit: refused.limit });
      const error = rateError(refused);
      return errorAnswer(429, 'RATE_LIMITED', error.message, { ...refused });
    }
    if (request.method === 'POST' && !/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
      return errorAnswer(415, 'BAD_REQUEST', 'expected content-type: application/json');
    }
    // the body may take its time: that is not ours
    const waitMs = began + patienceMs - clock.monotonic();
    return (
      (await answerDirectly(executor, request, viewer, waitMs)) ??
      (await deps.eventStream?.(request, viewer)) ??
      run(request, viewer, waitMs)
    );
  };

  return async (request) => {
    const { origin } = request.headers;
    if (!originAllowed({ origin, headers: request.headers }, allowedOrigins)) {
      telemetry.count('limit.rejected', 1, { limit: 'origin' });
      return errorAnswer(403, 'FORBIDDEN', 'pages of this Origin may not use the API: see ALLOWED_ORIGINS');
    }
    const cors = origin !== undefined && allowedOrigins.includes(origin) ? corsHeaders(origin) : undefined;
    if (cors !== undefined && request.method === 'OPTIONS') return { status: 204, headers: cors };
    const given = await answer(request);
    return cors === undefined ? given : { ...given, headers: { ...given.headers, ...cors } };
  };
}
