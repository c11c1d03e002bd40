import {
  type DocumentNode,
  type ExecutionResult,
  execute,
  type GraphQLError,
  GraphQLSchema,
  type OperationDefinitionNode,
  subscribe,
} from 'graphql';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { allows, createLoaders, type GraphqlContext, type GraphqlServices, type Viewer } from '../../schema/graphql/index.ts';
import { REQUEST_WAIT_MS, tooLate } from '../system/index.ts';
import { createDocuments } from './documents.ts';
import { createMask, maskResult } from './errors.ts';
import { OPERATION_LIMITS } from './limits.ts';
import { createOperations, type Operation, type OperationRequest, type OperationsOptions, type Rejected } from './operation.ts';

/**
 * Runs operations for every way in (HTTP, WebSocket, SSE): parse cache, the one validator, execution, masked errors.
 *
 * X1 Nothing is executed that has not passed `validateOperation`.
 * X2 No answer holds an error that `mask` has not seen.
 * X3 A mutation of `sendMessage` fields only is started in document order and waits for one commit instead of one per field. The spec asks
 *    for fields one after the other; the order of acceptance is that of the document all the same (gateway/accept A3).
 * X4 A query or mutation is answered by its deadline and GRACE_MS, whatever it waits for, one thing after the other or many at once.
 */
export interface Executor {
  validateOperation(request: OperationRequest, viewer: Viewer): Operation | Rejected;
  /** the document that a request names, for ways in that have to know it first; validateOperation asks by itself */
  documentOf(request: OperationRequest, viewer: Viewer): string | GraphQLError;
  /** `waitMs`: what is left of the request's patience (REQUEST_WAIT_MS in all) */
  contextFor(viewer: Viewer, request?: { readonly traceparent?: string | undefined; readonly waitMs?: number }): GraphqlContext;
  /** a query or a mutation; never rejects */
  run(operation: Operation, variables: Variables, context: GraphqlContext): Promise<ExecutionResult>;
  /** a subscription: its source stream already mapped to results; a result with errors when it cannot start */
  stream(operation: Operation, variables: Variables, context: GraphqlContext): Promise<AsyncIterable<ExecutionResult> | ExecutionResult>;
  /** what an unexpected error may say */
  readonly mask: (error: unknown) => ReturnType<ReturnType<typeof createMask>>;
  readonly schema: GraphQLSchema;
}
export type Variables = Readonly<Record<string, unknown>> | null | undefined;

export interface ExecutorDeps {
  readonly schema: GraphQLSchema;
  readonly services: GraphqlServices;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** What gateway/accept and the guards say by the deadline is more exact than what is said here, so it goes first. */
const GRACE_MS = 100;

export function createExecutor(deps: ExecutorDeps, options: Partial<OperationsOptions> = {}): Executor {
  const { schema, services, clock, telemetry } = deps;
  const documents = options.documents ?? createDocuments({ mode: 'off' });
  const operations = createOperations(schema, { ...options, limits: options.limits ?? OPERATION_LIMITS, documents }, telemetry);
  const mask = createMask(telemetry.log);
  const atOnce = concurrentMutations(schema);
  const concurrent = new WeakMap<OperationDefinitionNode, DocumentNode | null>();

  /** the same document as a query, when its fields may run at once (X3) */
  const asQuery = (operation: Operation): DocumentNode | null => {
    if (operation.type !== 'mutation') return null;
    let document = concurrent.get(operation.node);
    if (document === undefined) {
      document = queryOf(operation);
      concurrent.set(operation.node, document);
    }
    return document;
  };

  return {
    schema,
    mask,
    validateOperation: operations.validateOperation,
    documentOf: (request, viewer) => documents.resolve(request, allows(viewer, 'admin')),
    contextFor(viewer, request) {
      const deadline = clock.monotonic() + (request?.waitMs ?? REQUEST_WAIT_MS);
      return {
        ...services,
        viewer,
        loaders: createLoaders(services.ledger, viewer.tenantId),
        traceparent: request?.traceparent,
        deadline,
      };
    },
    async run(operation, variables, context) {
      const document = asQuery(operation);
      const operationName = operation.node.name?.value;
      try {
        const result = await byDeadline(
          clock,
          (context.deadline ?? clock.monotonic() + REQUEST_WAIT_MS) + GRACE_MS,
          execute({
            schema: document === null || atOnce === null ? schema : atOnce,
            document: document === null || atOnce === null ? operation.document : document,
            contextValue: context,
            variableValues: variables,
            operationName,
          }),
        );
        return maskResult(result, mask);
      } catch (error) {
        return { errors: [mask(error)] };
      }
    },
    async stream(operation, variables, context) {
      try {
        const answer = await subscribe({
          schema,
          document: operation.document,
          contextValue: context,
          variableValues: variables,
          operationName: operation.node.name?.value,
        });
        return Symbol.asyncIterator in answer ? masked(answer, mask) : maskResult(answer, mask);
      } catch (error) {
        return { errors: [mask(error)] };
      }
    },
  };
}

/** X4. @throws FlotillaError retryable once the deadline (monotonic ms) has passed */
function byDeadline<T>(clock: Clock, deadline: number, work: Promise<T> | T): Promise<T> | T {
  if (!(work instanceof Promise)) return work;
  return new Promise((resolve, reject) => {
    const cancel = clock.after(Math.max(0, deadline - clock.monotonic()), () => reject(tooLate('the ledger')), { background: true });
    work.then(resolve, reject).finally(cancel);
  });
}

async function* masked(
  source: AsyncGenerator<ExecutionResult, void, void>,
  mask: Executor['mask'],
): AsyncGenerator<ExecutionResult, void, void> {
  for await (const result of source) yield maskResult(result, mask);
}

/** The schema with its mutations as queries: graphql-js runs query fields at once. */
function concurrentMutations(schema: GraphQLSchema): GraphQLSchema | null {
  const mutation = schema.getMutationType();
  if (mutation === undefined || mutation === null) return null;
  const { subscription: _subscription, mutation: _mutation, ...config } = schema.toConfig();
  return new GraphQLSchema({ ...config, query: mutation, assumeValid: true });
}

function queryOf(operation: Operation): DocumentNode | null {
  const { selections } = operation.node.selectionSet;
  const all = selections.every((selection) => selection.kind === 'Field' && selection.name.value === 'sendMessage');
  if (!all || selections.length < 2) return null;
  return {
    ...operation.document,
    definitions: operation.document.definitions.map((definition) =>
      definition === operation.node ? { ...operation.node, operation: 'query' as OperationDefinitionNode['operation'] } : definition,
    ),
  };
}
