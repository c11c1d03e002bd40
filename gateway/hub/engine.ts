import { createHash } from 'node:crypto';
import { createSourceEventStream, type ExecutionResult, execute } from 'graphql';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { GraphqlContext, Viewer } from '../../schema/graphql/index.ts';
import { type Authenticator, isAuthFailure, type Rates } from '../auth/index.ts';
import { type Executor, isRejected, type Operation, rateError } from '../graphql/index.ts';
import { rightsOf } from './group-key.ts';
import type { OperationEngine, PreparedOperation } from './port.ts';

interface Prepared extends PreparedOperation {
  readonly operation: Operation;
}

/** The hub's view of the executor and the keys: HTTP's validator, contexts and masking, nothing of its own. */
export function createEngine(executor: Executor, auth: Authenticator, clock: Clock, rates?: Rates): OperationEngine {
  const { schema, mask } = executor;
  const masked = (result: ExecutionResult): ExecutionResult =>
    result.errors === undefined ? result : { ...result, errors: result.errors.map((error) => mask(error)) };
  const argsOf = (prepared: PreparedOperation, context: GraphqlContext) => ({
    schema,
    document: prepared.document,
    contextValue: context,
    variableValues: prepared.variables,
    operationName: prepared.operationName,
  });
  const one = async (prepared: PreparedOperation, context: GraphqlContext, rootValue: unknown): Promise<ExecutionResult> => {
    try {
      return masked(await execute({ ...argsOf(prepared, context), rootValue }));
    } catch (error) {
      return { errors: [mask(error)] };
    }
  };
  /**
   * Subscriptions that begin in one tick under one key share a context, and so one round of lookups: after a gateway has died hundreds of
   * clients come back at once, each asking for a device of its own.
   */
  let beginning: Promise<Map<string, GraphqlContext>> | undefined;
  const contextToBegin = async (viewer: Viewer): Promise<GraphqlContext> => {
    beginning ??= new Promise((resolve) => {
      clock.after(0, () => {
        beginning = undefined;
        resolve(new Map());
      });
    });
    const contexts = await beginning;
    const key = `${viewer.keyId} ${rightsOf(viewer)}`;
    const context = contexts.get(key) ?? executor.contextFor(viewer);
    contexts.set(key, context);
    return context;
  };
  return {
    async authenticate(request) {
      const answer = await auth.authenticate(request);
      if (!isAuthFailure(answer)) return answer;
      const kind = answer.code === 'UNAVAILABLE' || answer.code === 'RATE_LIMITED' ? 'unavailable' : 'refused';
      return { kind, message: answer.message };
    },
    prepare(request, viewer) {
      const refused = rates?.take({ key: viewer.keyId, tenant: viewer.tenantId });
      if (refused !== undefined && refused !== null) return { errors: [rateError(refused)] };
      const operation = executor.validateOperation(request, viewer);
      if (isRejected(operation)) return operation;
      const prepared: Prepared = {
        operation,
        kind: operation.type,
        document: operation.document,
        documentHash: createHash('sha256').update(operation.source).digest('base64url'),
        operationName: request.operationName,
        variables: request.variables ?? {},
      };
      return prepared;
    },
    execute(prepared, viewer, rootValue) {
      const context = executor.contextFor(viewer);
      if (rootValue !== undefined) return one(prepared, context, rootValue);
      return executor.run((prepared as Prepared).operation, prepared.variables, context);
    },
    executeAll(prepared, viewer, rootValues) {
      const context = executor.contextFor(viewer);
      return Promise.all(rootValues.map((rootValue) => one(prepared, context, rootValue)));
    },
    async subscribe(prepared, viewer) {
      try {
        const answer = await createSourceEventStream(argsOf(prepared, await contextToBegin(viewer)));
        return Symbol.asyncIterator in answer ? answer : masked(answer);
      } catch (error) {
        return { errors: [mask(error)] };
      }
    },
  };
}
