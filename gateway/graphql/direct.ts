import type { ExecutionResult } from 'graphql';
import type { Viewer } from '../../schema/graphql/index.ts';
import type { HttpAnswer, HttpRequest } from '../server/index.ts';
import { namesDocument } from './documents.ts';
import type { Executor } from './executor.ts';
import { HTTP_BODY_BYTES } from './limits.ts';
import { isRejected } from './operation.ts';

/**
 * The short way for the common case: POST of one well-formed JSON request, answered with JSON. It saves the Request, Response and hook
 * objects of the general way (yoga), which cost more than the operation itself. Everything else answers null here and goes on to yoga;
 * the audits of the GraphQL-over-HTTP specification run against both.
 */
const RESPONSE_TYPE = 'application/graphql-response+json';
const JSON_TYPE = 'application/json';

interface Params {
  readonly query: string;
  readonly extensions?: Readonly<Record<string, unknown>> | null;
  readonly operationName?: string | null;
  readonly variables?: Readonly<Record<string, unknown>> | null;
}

/** The type to answer with, and whether the client asked for it by name; null when it wants neither. */
function negotiate(accept: string | undefined): { readonly type: string; readonly byName: boolean } | null {
  if (accept === undefined || accept === '' || accept === '*/*') return { type: JSON_TYPE, byName: false };
  for (const part of accept.split(',')) {
    const [type = '', ...parameters] = part.trim().toLowerCase().split(';');
    // another charset than UTF-8, or weights: the general way knows how
    if (parameters.some((parameter) => !/^\s*charset=utf-8\s*$/.test(parameter))) return null;
    if (type === RESPONSE_TYPE || type === JSON_TYPE) return { type, byName: true };
    if (type === '*/*' || type === 'application/*') return { type: JSON_TYPE, byName: false };
    if (type === 'text/event-stream' || type.startsWith('multipart/')) return null;
  }
  return null;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

function readParams(text: string): Params | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(parsed)) return null;
  if (parsed['query'] === undefined && namesDocument(parsed['extensions'])) parsed['query'] = '';
  if (typeof parsed['query'] !== 'string') return null;
  for (const [name, value] of Object.entries(parsed)) {
    if (name === 'query' || value === null || value === undefined) continue;
    if (name === 'operationName' ? typeof value === 'string' : (name === 'variables' || name === 'extensions') && isObject(value)) continue;
    return null;
  }
  return parsed as unknown as Params;
}

/** Answers the request, or null: the general way has to. `waitMs`: what is left of its patience. */
export async function answerDirectly(executor: Executor, request: HttpRequest, viewer: Viewer, waitMs: number): Promise<HttpAnswer | null> {
  if (request.method !== 'POST' || request.query !== '') return null;
  if (!/^application\/json(\s*;\s*charset=utf-8)?$/i.test(request.headers['content-type'] ?? '')) return null;
  const wanted = negotiate(request.headers['accept']);
  if (wanted === null) return null;
  const params = readParams((await request.body(HTTP_BODY_BYTES)).toString('utf8'));
  if (params === null) return null;
  const operation = executor.validateOperation(params, viewer);
  if (!isRejected(operation) && operation.type === 'subscription') return null;
  const result: ExecutionResult = isRejected(operation)
    ? { errors: operation.errors }
    : await executor.run(operation, params.variables, executor.contextFor(viewer, { traceparent: request.headers['traceparent'], waitMs }));
  // a wrong request is 400, except that a client which asks for application/json by name gets 200 (GraphQL over HTTP)
  const refused = result.data === undefined && !(wanted.byName && wanted.type === JSON_TYPE);
  return { status: refused ? 400 : 200, headers: { 'content-type': `${wanted.type}; charset=utf-8` }, body: JSON.stringify(result) };
}
