import { type DocumentNode, type ExecutionResult, execute, GraphQLSchema, type OperationDefinitionNode, subscribe } from 'graphql';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { createLoaders, type GraphqlContext, type GraphqlServices, type Viewer } from '../../schema/graphql/index.ts';
import { createMask, maskResult } from './errors.ts';
import { OPERATION_LIMITS, type OperationLimits } from './limits.ts';
import { createOperations, type Operation, type OperationRequest, type Rejected } from './operation.ts';

/**
 * Runs operations for every way in (HTTP, WebSocket, SSE): parse cache, the one validator, execution, masked errors.
 *
 * X1 Nothing is executed that has not passed `validateOperation`.
 * X2 No answer holds an error that `mask` has not seen.
 * X3 A mutation of `sendMessage` fields only is started in document order and waits for one commit instead of one per field. The spec asks
 *    for fields one after the other; the order of acceptance is that of the document all the same (gateway/accept A3).
 */
export interface Executor {
  validateOperation(request: OperationRequest): Operation | Rejected;
  contextFor(viewer: Viewer, request?: { readonly traceparent?: string | undefined }): GraphqlContext;
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
  readonly telemetry: Telemetry;
}

export function createExecutor(deps: ExecutorDeps, options: { readonly limits?: OperationLimits } = {}): Executor {
  const { schema, services, telemetry } = deps;
  const operations = createOperations(schema, options.limits ?? OPERATION_LIMITS, telemetry);
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
    contextFor(viewer, request) {
      return { ...services, viewer, loaders: createLoaders(services.ledger, viewer.tenantId), traceparent: request?.traceparent };
    },
    async run(operation, variables, context) {
      const document = asQuery(operation);
      const operationName = operation.node.name?.value;
      try {
        const result = await execute({
          schema: document === null || atOnce === null ? schema : atOnce,
          document: document === null || atOnce === null ? operation.document : document,
          contextValue: context,
          variableValues: variables,
          operationName,
        });
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
