import type { DocumentNode, ExecutionResult, GraphQLError } from 'graphql';
import type { Viewer } from '../../schema/graphql/index.ts';

/** What the hub needs of GraphQL. One validator serves HTTP, SSE and WebSocket: the hub has none of its own. */
export interface OperationRequest {
  /** empty: `extensions.persistedQuery` names the document */
  readonly query: string;
  readonly extensions?: Readonly<Record<string, unknown>> | null;
  readonly operationName: string | null;
  readonly variables: Readonly<Record<string, unknown>> | null;
}
export interface PreparedOperation {
  readonly kind: 'query' | 'mutation' | 'subscription';
  readonly document: DocumentNode;
  /** the same for the same document text */
  readonly documentHash: string;
  readonly operationName: string | null;
  readonly variables: Readonly<Record<string, unknown>>;
}
export interface Denied {
  /** policy of the answer: close the socket with 4403, or keep it and say "later" */
  readonly kind: 'refused' | 'unavailable';
  readonly message: string;
}

export interface OperationEngine {
  authenticate(request: {
    readonly authorization: string | undefined;
    readonly tenant: string | undefined;
    readonly remote: string;
  }): Promise<Viewer | Denied>;
  /** parses, validates and limits; the errors are ready to be shown */
  prepare(request: OperationRequest, viewer: Viewer): PreparedOperation | { readonly errors: readonly GraphQLError[] };
  /** executes with a context of its own; faults are masked. `rootValue` is one event of a subscription's source. */
  execute(operation: PreparedOperation, viewer: Viewer, rootValue?: unknown): Promise<ExecutionResult>;
  /** as `execute`, for several events that share one context and so one round of lookups; answers in order */
  executeAll(operation: PreparedOperation, viewer: Viewer, rootValues: readonly unknown[]): Promise<readonly ExecutionResult[]>;
  /** the source stream of a subscription, or why there is none */
  subscribe(operation: PreparedOperation, viewer: Viewer): Promise<AsyncIterable<unknown> | ExecutionResult>;
}
export function isDenied(answer: Viewer | Denied): answer is Denied {
  return 'message' in answer;
}
