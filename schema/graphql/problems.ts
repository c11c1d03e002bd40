import { FlotillaError, type UserErrorCode } from '../domain/index.ts';

/** A typed error of a mutation: stable code, what was expected, and the input field it is about. */
export interface UserErrorShape {
  readonly code: UserErrorCode;
  readonly message: string;
  /** path of the field, such as ['input', 'to'] */
  readonly path: readonly string[];
  /** set when the same request makes sense again after so many ms */
  readonly retryAfterMs: number | null;
  /** absent = false */
  readonly outcomeUnknown?: boolean;
}

export function problem(code: UserErrorCode, path: readonly string[], message: string, retryAfterMs: number | null = null): UserErrorShape {
  return { code, message, path, retryAfterMs };
}

/** Thrown by helpers deep inside a mutation; `attempt` turns it into the payload's errors. */
export class Refusal extends Error {
  readonly errors: readonly UserErrorShape[];
  constructor(errors: readonly UserErrorShape[]) {
    super(errors.map((error) => `${error.code}: ${error.message}`).join('; '));
    this.name = 'Refusal';
    this.errors = errors;
  }
}

export interface Refused {
  readonly errors: readonly UserErrorShape[];
}

/**
 * Runs a mutation's work. A refusal and a retryable fault (a dependency is away) become typed errors of the payload; anything else
 * is rethrown and masked by the gateway.
 */
export async function attempt<T extends object>(work: () => Promise<T>): Promise<(T & Refused) | Refused> {
  try {
    return { errors: [], ...(await work()) };
  } catch (error) {
    if (error instanceof Refusal) return { errors: error.errors };
    if (error instanceof FlotillaError && error.policy === 'retryable') {
      const { message, outcomeUnknown } = error;
      return { errors: [{ ...problem('UNAVAILABLE', ['input'], message, error.retryAfterMs ?? 1000), outcomeUnknown }] };
    }
    throw error;
  }
}
