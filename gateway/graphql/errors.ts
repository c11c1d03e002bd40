import { type ExecutionResult, GraphQLError } from 'graphql';
import type { Log } from '../../ops/telemetry/index.ts';
import { FlotillaError } from '../../schema/domain/index.ts';
import type { RateRefusal } from '../auth/index.ts';
import { isAway } from '../system/index.ts';

/** Codes of errors that concern a whole operation, beside those of schema/domain. Stable. */
export type OperationErrorCode =
  | 'GRAPHQL_PARSE_FAILED'
  | 'GRAPHQL_VALIDATION_FAILED'
  | 'OPERATION_LIMIT'
  | 'BAD_REQUEST'
  | 'RATE_LIMITED'
  | 'PERSISTED_QUERY_NOT_FOUND'
  | 'PERSISTED_QUERY_NOT_SUPPORTED'
  | 'DOCUMENT_NOT_TRUSTED';

export function requestError(code: OperationErrorCode, message: string, extra: Readonly<Record<string, unknown>> = {}): GraphQLError {
  return new GraphQLError(message, { extensions: { code, ...extra } });
}

/** More was asked than a key, tenant or address may ask in a second. */
export function rateError({ limit, retryAfterMs }: RateRefusal): GraphQLError {
  return requestError('RATE_LIMITED', 'more operations in a second than this key, tenant or address may ask: wait', {
    limit,
    retryAfterMs,
  });
}

/** The root cause below the errors that execution wraps around it. */
function causeOf(error: unknown): unknown {
  let cause = error;
  while (cause instanceof GraphQLError && cause.originalError !== undefined && cause.originalError !== null) cause = cause.originalError;
  return cause;
}

/**
 * The one place where faults become GraphQL errors. Deliberate errors pass as they are; a dependency that is away is UNAVAILABLE with
 * a time to ask again; everything else is INTERNAL, logged here and told to nobody.
 */
export function createMask(log: Log): (error: unknown) => GraphQLError {
  return (error) => {
    const cause = causeOf(error);
    const place =
      error instanceof GraphQLError
        ? { ...(error.nodes === undefined ? {} : { nodes: error.nodes }), ...(error.path === undefined ? {} : { path: error.path }) }
        : {};
    if (cause instanceof GraphQLError) {
      if (error instanceof GraphQLError && cause.extensions['code'] === undefined && !isExecutionFault(cause)) {
        return new GraphQLError(cause.message, { ...place, extensions: { ...cause.extensions, code: 'BAD_REQUEST' } });
      }
      return error instanceof GraphQLError ? error : cause;
    }
    if (cause instanceof FlotillaError && cause.policy === 'retryable') {
      const unknown = cause.outcomeUnknown ? { outcomeUnknown: true } : {};
      return new GraphQLError(cause.message, {
        ...place,
        extensions: { code: 'UNAVAILABLE', retryAfterMs: cause.retryAfterMs ?? 1000, ...unknown },
      });
    }
    if (isAway(cause)) {
      return new GraphQLError('a dependency is not available: ask again', {
        ...place,
        extensions: { code: 'UNAVAILABLE', retryAfterMs: 1000 },
      });
    }
    log.error('graphql.internal', { path: error instanceof GraphQLError ? error.path?.join('.') : undefined }, cause);
    return new GraphQLError('something went wrong on our side; it has been logged', { ...place, extensions: { code: 'INTERNAL' } });
  };
}

/** Faults that execution itself raises about our own answers, such as null for a non-null field. */
function isExecutionFault(error: GraphQLError): boolean {
  return error.path !== undefined && error.extensions['code'] === undefined && /^Cannot return null|cannot represent/.test(error.message);
}

export function maskResult<T extends ExecutionResult>(result: T, mask: (error: unknown) => GraphQLError): T {
  return result.errors === undefined ? result : { ...result, errors: result.errors.map(mask) };
}
