import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  type OperationDefinitionNode,
  parse,
  specifiedRules,
  validate,
} from 'graphql';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { allows, type Viewer } from '../../schema/graphql/index.ts';
import { measureOperation } from './cost.ts';
import { createDocuments, type Documents } from './documents.ts';
import { requestError } from './errors.ts';
import { CACHED_DOCUMENT_BYTES, DOCUMENT_CACHE, DOCUMENT_CACHE_CHARACTERS, type OperationLimits } from './limits.ts';

/** A document that may be run. */
export interface Operation {
  readonly source: string;
  readonly document: DocumentNode;
  readonly node: OperationDefinitionNode;
  readonly type: 'query' | 'mutation' | 'subscription';
}
export interface Rejected {
  readonly errors: readonly GraphQLError[];
}
export function isRejected(answer: Operation | Rejected): answer is Rejected {
  return 'errors' in answer;
}

export interface OperationRequest {
  /** empty: the document is named by `extensions.persistedQuery` */
  readonly query: string;
  readonly extensions?: Readonly<Record<string, unknown>> | null | undefined;
  readonly operationName?: string | null | undefined;
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined;
}

/**
 * Parses and checks operations. Owns a cache of documents, least recently used first out.
 * `validateOperation` is the one gate for HTTP, WebSocket and SSE: nothing is executed that has not passed it.
 * V1 A key that may only show (scope SCREEN: it stands in the address of a wall) learns nothing of the schema: no introspection, no suggestions.
 * V2 Where only trusted documents run, others run for admins alone.
 * V3 However deep a document is nested, it is refused like any other that is too large.
 */
export interface Operations {
  validateOperation(request: OperationRequest, viewer: Pick<Viewer, 'scopes'>): Operation | Rejected;
  /** characters of source of the documents that are kept */
  readonly kept: number;
}
export interface OperationsOptions {
  readonly limits: OperationLimits;
  readonly documents?: Documents;
  /** `admin`: only keys with the scope ADMIN may introspect; default: all but SCREEN */
  readonly introspection?: 'keys' | 'admin';
}

type Checked = { readonly document: DocumentNode } | Rejected;

export function createOperations(schema: GraphQLSchema, options: OperationsOptions, telemetry: Pick<Telemetry, 'count'>): Operations {
  const { limits } = options;
  const documents = options.documents ?? createDocuments({ mode: 'off' });
  const scopeOfCurious = options.introspection === 'admin' ? 'admin' : 'viewer';
  const cache = new Map<string, Checked>();
  let kept = 0;

  const over = (limit: string, message: string): Rejected => {
    telemetry.count('limit.rejected', 1, { limit });
    return { errors: [requestError('OPERATION_LIMIT', message, { limit })] };
  };

  const check = (source: string): Checked => {
    let document: DocumentNode;
    try {
      document = parse(source, { maxTokens: limits.tokens });
    } catch (error) {
      if (!(error instanceof GraphQLError)) throw error;
      if (/more that|more than \d+ tokens/.test(error.message)) return over('tokens', `expected at most ${limits.tokens} tokens`);
      return { errors: [withCode(error, 'GRAPHQL_PARSE_FAILED')] };
    }
    const errors = validate(schema, document, specifiedRules, { maxErrors: 20 });
    if (errors.length > 0) return { errors: errors.map((error) => withCode(error, 'GRAPHQL_VALIDATION_FAILED')) };
    return { document };
  };

  const checked = (source: string): Checked => {
    const known = cache.get(source);
    if (known !== undefined) {
      cache.delete(source);
      cache.set(source, known);
      return known;
    }
    const fresh = check(source);
    if (source.length <= CACHED_DOCUMENT_BYTES && 'document' in fresh) {
      cache.set(source, fresh);
      kept += source.length;
      for (const oldest of cache.keys()) {
        if (cache.size <= DOCUMENT_CACHE && kept <= DOCUMENT_CACHE_CHARACTERS) break;
        cache.delete(oldest);
        kept -= oldest.length;
      }
    }
    return fresh;
  };

  const sizeFault = (
    document: DocumentNode,
    node: OperationDefinitionNode,
    variables: Readonly<Record<string, unknown>>,
    curious: boolean,
  ): Rejected | null => {
    const size = measureOperation(schema, document, node, variables, limits);
    if (size.introspectionDepth > 0 && !curious) return over('introspection', 'this key may not ask for the schema');
    for (const limit of ['depth', 'introspectionDepth', 'aliases', 'directives', 'cost'] as const) {
      if (size[limit] > limits[limit]) return over(limit, `expected a ${limit} of at most ${limits[limit]}, got ${size[limit]}`);
    }
    return null;
  };

  return {
    get kept() {
      return kept;
    },
    validateOperation(request, viewer) {
      try {
        return judge(request, viewer);
      } catch (error) {
        // parsing, validating and measuring follow the nesting of a document; what is too deep for that is too deep (V3)
        if (error instanceof RangeError) return over('nesting', 'expected a document that is not nested so deep');
        throw error;
      }
    },
  };
  function judge(request: OperationRequest, viewer: Pick<Viewer, 'scopes'>): Operation | Rejected {
    const { operationName, variables } = request;
    const named = documents.resolve(request, allows(viewer, 'admin'));
    if (typeof named !== 'string') return { errors: [named] };
    const query = named;
    const curious = allows(viewer, scopeOfCurious);
    if (query.length > limits.documentBytes || Buffer.byteLength(query) > limits.documentBytes) {
      return over('document', `expected a document of at most ${limits.documentBytes} bytes`);
    }
    const found = checked(query);
    if ('errors' in found) return curious ? found : { errors: found.errors.map(withoutSuggestions) };
    const node = getOperationAST(found.document, operationName ?? undefined);
    if (node === null || node === undefined) {
      const expected = operationName
        ? `an operation named ${operationName.slice(0, 80)}`
        : 'operationName, because the document has several';
      return { errors: [requestError('BAD_REQUEST', `expected ${expected}`)] };
    }
    const fault = sizeFault(found.document, node, variables ?? {}, curious);
    if (fault !== null) return fault;
    return { source: query, document: found.document, node, type: node.operation };
  }
}

/** What graphql-js offers as "did you mean" tells names of the schema. */
function withoutSuggestions(error: GraphQLError): GraphQLError {
  const message = error.message.replace(/ Did you mean [\s\S]*\?$/, '');
  return message === error.message ? error : withCode(error, String(error.extensions['code']), message);
}

function withCode(error: GraphQLError, code: string, message: string = error.message): GraphQLError {
  return new GraphQLError(message, {
    ...(error.nodes === undefined ? {} : { nodes: error.nodes }),
    ...(error.source === undefined ? {} : { source: error.source }),
    ...(error.positions === undefined ? {} : { positions: error.positions }),
    extensions: { code },
  });
}
