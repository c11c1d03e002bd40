import { GraphQLError } from 'graphql';
import { uuidOf } from './builder.ts';
import { problem, Refusal, type UserErrorShape } from './problems.ts';

/** Longest body, in characters (code points): WhatsApp's own limit for a text is far above; this keeps a row and a frame small. */
export const BODY_LIMIT = 4096;
const NAME_LIMIT = 80;
const IDEMPOTENCY_KEY_LIMIT = 200;
/** A schedule this far in the past still counts as "now": clocks differ. */
const SCHEDULE_GRACE_MS = 60_000;
const SCHEDULE_LIMIT_MS = 366 * 24 * 3_600_000;
/** Longest pace a device may have. */
export const PACE_LIMIT_MS = 24 * 3_600_000;
/** Highest ceiling of campaigns and sequences. */
export const PER_MINUTE_LIMIT = 1_000_000;

/**
 * Gathers every fault of an input, so that a client sees them all at once. Checks answer the cleaned value (or a harmless stand-in
 * after a fault); `done` throws a Refusal when there was any.
 */
export interface Checks {
  add(error: UserErrorShape): void;
  done(): void;
  id(typename: string, path: readonly string[], text: string): string;
  phone(path: readonly string[], text: string): string;
  body(path: readonly string[], text: string | null | undefined): string;
  name(path: readonly string[], text: string): string;
  text(path: readonly string[], text: string, limit: number): string;
  idempotencyKey(path: readonly string[], text: string | null | undefined): string | null;
  schedule(path: readonly string[], at: number | null | undefined, now: number): number | null;
  whole(path: readonly string[], value: number, min: number, max: number): number;
}

export function createChecks(): Checks {
  const errors: UserErrorShape[] = [];
  const add = (error: UserErrorShape | null): void => {
    if (error !== null) errors.push(error);
  };
  return {
    add,
    done() {
      if (errors.length > 0) throw new Refusal(errors);
    },
    id(typename, path, text) {
      const id = uuidOf(typename, text);
      if (id === null) add(problem('INVALID_ID', path, `expected an id of a ${typename}, such as ${typename}:<uuid>`));
      return id ?? '';
    },
    phone(path, text) {
      const fault = phoneFault(text);
      if (fault !== null) add(problem('INVALID_PHONE', path, `expected a phone number in E.164 form, such as +491701234567: ${fault}`));
      return text;
    },
    body(path, text) {
      add(bodyProblem(path, text));
      return text ?? '';
    },
    name(path, text) {
      const length = lengthOf(text.trim());
      if (length < 1 || length > NAME_LIMIT || hasControl(text)) {
        const fault = hasControl(text) ? 'it has control characters' : `it has ${length}`;
        add(problem('NAME_INVALID', path, `expected a name of 1 to ${NAME_LIMIT} characters: ${fault}`));
      }
      return text.trim();
    },
    text(path, text, limit) {
      if (lengthOf(text) > limit) add(problem('INVALID_INPUT', path, `expected at most ${limit} characters: it has ${lengthOf(text)}`));
      else if (hasControl(text)) add(problem('INVALID_INPUT', path, 'expected text without control characters'));
      return text;
    },
    idempotencyKey(path, text) {
      if (text === null || text === undefined) return null;
      if (!/^[\x20-\x7e]{1,200}$/.test(text)) {
        const fault = text.length === 0 || text.length > IDEMPOTENCY_KEY_LIMIT ? `it has ${text.length}` : 'it has others';
        add(problem('IDEMPOTENCY_KEY_INVALID', path, `expected 1 to ${IDEMPOTENCY_KEY_LIMIT} printable ASCII characters: ${fault}`));
      }
      return text;
    },
    schedule(path, at, now) {
      if (at === null || at === undefined) return null;
      if (at < now - SCHEDULE_GRACE_MS) add(problem('SCHEDULE_INVALID', path, 'expected a moment that is not in the past'));
      if (at > now + SCHEDULE_LIMIT_MS) add(problem('SCHEDULE_INVALID', path, 'expected a moment within one year from now'));
      return at > now ? at : null;
    },
    whole(path, value, min, max) {
      if (value < min || value > max) add(problem('INVALID_INPUT', path, `expected a whole number from ${min} to ${max}, got ${value}`));
      return value;
    },
  };
}

/** A ceiling; null: none. */
export function perMinuteOf(checks: Checks, path: readonly string[], value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : checks.whole(path, value, 1, PER_MINUTE_LIMIT);
}

/** What is wrong with a phone number, or null. Source: ITU-T E.164: "+", a country code that never starts with 0, 15 digits at most. */
export function phoneFault(text: string): string | null {
  if (text.length === 0) return 'it is empty';
  if (/\p{L}/u.test(text)) return 'it has letters';
  if (!text.startsWith('+')) return 'the leading + with the country code is missing';
  const digits = text.slice(1);
  if (/[\s().\-/]/.test(digits)) return 'it has spaces or separators: only digits may follow the +';
  if (!/^[0-9]*$/.test(digits)) return 'it has characters that are not digits';
  if (digits.startsWith('0')) return 'no country code starts with 0';
  if (digits.length < 7) return `it is too short: ${digits.length} digits, at least 7`;
  if (digits.length > 15) return `it is too long: ${digits.length} digits, at most 15`;
  return null;
}

function bodyProblem(path: readonly string[], text: string | null | undefined): UserErrorShape | null {
  if (text === null || text === undefined || text.trim().length === 0) return problem('BODY_EMPTY', path, 'expected a text: it is empty');
  const length = lengthOf(text);
  if (length > BODY_LIMIT) return problem('BODY_TOO_LONG', path, `expected at most ${BODY_LIMIT} characters: it has ${length}`);
  if (text.includes('\u0000')) return problem('INVALID_INPUT', path, 'expected a text without NUL characters');
  return null;
}

/** Length in code points; the cheap upper bound first, because bodies are hot. */
function lengthOf(text: string): number {
  if (text.length <= NAME_LIMIT / 2) return text.length;
  let length = 0;
  for (const _ of text) length++;
  return length;
}

function hasControl(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

/** The pace of a device: both ends, and their order. */
export function checkPace(checks: Checks, minMs: number, maxMs: number): void {
  checks.whole(['input', 'paceMinMs'], minMs, 0, PACE_LIMIT_MS);
  checks.whole(['input', 'paceMaxMs'], maxMs, 0, PACE_LIMIT_MS);
  if (maxMs < minMs) checks.add(problem('INVALID_INPUT', ['input', 'paceMaxMs'], `expected at least paceMinMs (${minMs}), got ${maxMs}`));
}

/** An error of a query's argument: queries have no payload to put it into. */
export function argumentError(code: 'INVALID_ID' | 'INVALID_INPUT', name: string, message: string): GraphQLError {
  return new GraphQLError(`${name}: ${message}`, { extensions: { code, path: [name] } });
}

/** The uuid of a query's id argument. @throws GraphQLError INVALID_ID */
export function argumentId(typename: string, name: string, text: string): string {
  const id = uuidOf(typename, text);
  if (id === null) throw argumentError('INVALID_ID', name, `expected an id of a ${typename}, such as ${typename}:<uuid>`);
  return id;
}
