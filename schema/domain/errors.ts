/**
 * Errors are policy (docs/architecture.md, "Errors"). The classes say what the caller may do; only the gateway maps them to GraphQL.
 */
export type ErrorPolicy = 'terminal' | 'retryable' | 'fenced' | 'unknown-outcome';

export class FlotillaError extends Error {
  readonly policy: ErrorPolicy;
  /** stable, machine-readable, UPPER_SNAKE */
  readonly code: string;
  /** ms after which a retry makes sense; only with policy retryable */
  readonly retryAfterMs: number | undefined;
  /** what was asked for may have been done all the same */
  readonly outcomeUnknown: boolean;
  constructor(
    policy: ErrorPolicy,
    code: string,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number; outcomeUnknown?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FlotillaError';
    this.policy = policy;
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.outcomeUnknown = options.outcomeUnknown ?? false;
  }
}

/** Codes of UserError (typed errors in mutation payloads) and of `extensions.code`. Stable: clients match on them. */
export const USER_ERROR_CODES = [
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_FOUND',
  'DEVICE_NOT_FOUND',
  'MESSAGE_NOT_FOUND',
  'CAMPAIGN_NOT_FOUND',
  'SEQUENCE_NOT_FOUND',
  'LEAD_NOT_FOUND',
  'LEAD_IMPORT_NOT_FOUND',
  'REDRIVE_NOT_FOUND',
  'UPLOAD_NOT_FOUND',
  'WEBHOOK_NOT_FOUND',
  'URL_INVALID',
  'TOO_MANY',
  'TEMPLATE_INVALID',
  'STATE_CONFLICT',
  'INVALID_PHONE',
  'BODY_EMPTY',
  'BODY_TOO_LONG',
  'CONTENT_INVALID',
  'CONTENT_NOT_SUPPORTED',
  'NAME_INVALID',
  'NAME_TAKEN',
  'NOT_A_LINK_DEVICE',
  'NOT_A_WHATSAPP_DEVICE',
  'ALREADY_PAIRED',
  'INVALID_ID',
  'INVALID_INPUT',
  'SCHEDULE_INVALID',
  'IDEMPOTENCY_KEY_REUSED',
  'IDEMPOTENCY_KEY_INVALID',
  'BACKLOG_FULL',
  'RECIPIENT_SUPPRESSED',
  'NOT_CANCELLABLE',
  'NOT_REDRIVABLE',
  'NODE_NOT_FOUND',
  'NODE_DRAINING',
  'NODE_FULL',
  'LAST_NODE',
  'UNAVAILABLE',
  'INTERNAL',
] as const;
export type UserErrorCode = (typeof USER_ERROR_CODES)[number];

/** Throws when an invariant does not hold: stops the actor that broke it (STYLE: errors are policy). */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new FlotillaError('terminal', 'INVARIANT', `invariant broken: ${invariant}`);
}

/** For the end of an exhaustive switch. */
export function unreachable(value: never, where: string): never {
  throw new FlotillaError('terminal', 'INVARIANT', `${where}: unexpected ${JSON.stringify(value)}`);
}
