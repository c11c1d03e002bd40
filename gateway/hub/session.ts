import { CLOSE } from './close-codes.ts';
import type { OperationRequest } from './port.ts';

/**
 * `graphql-transport-ws` as a machine without I/O: one socket's conversation (graphql-ws, PROTOCOL.md).
 * Owns: where the handshake stands, which ids are in use, the message budget. Does not own: sockets, timers, execution.
 * Called by hub.ts. The effects are in order; after a `close` there are none.
 * I1 An id is in use from its subscribe until it is finished or completed; a second subscribe with it closes with 4409.
 * I2 Nothing is started before `connection_ack` was sent.
 * I3 A `serial` names one life of an id: what belongs to an earlier life is never sent.
 */
export type SessionEffect =
  | { readonly kind: 'send'; readonly text: string }
  | { readonly kind: 'close'; readonly code: number; readonly reason: string }
  /** answer with `admitted` or `denied`; `first` false = a refresh of an open session */
  | {
      readonly kind: 'authenticate';
      readonly authorization: string | undefined;
      readonly tenant: string | undefined;
      readonly first: boolean;
    }
  | { readonly kind: 'start'; readonly id: string; readonly serial: number; readonly request: OperationRequest }
  | { readonly kind: 'stop'; readonly id: string; readonly serial: number };

export interface Session {
  readonly acknowledged: boolean;
  /** a text message; `now` is monotonic ms */
  receive(text: string, now: number): SessionEffect[];
  admitted(): SessionEffect[];
  denied(code: number, reason: string): SessionEffect[];
  initTimeout(): SessionEffect[];
  /** false when that life of the id is over: send nothing for it */
  live(id: string, serial: number): boolean;
  /** the operation has ended by itself: its id is free again */
  finished(id: string, serial: number): void;
  operations(): number;
}

export interface SessionLimits {
  readonly operations: number;
  readonly idBytes: number;
  readonly messagesPerSecond: number;
  readonly messagesBurst: number;
}
export const SESSION_LIMITS: SessionLimits = { operations: 100, idBytes: 64, messagesPerSecond: 50, messagesBurst: 200 };

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const optional = (value: unknown, check: (value: unknown) => boolean): boolean => value === undefined || value === null || check(value);
const close = (code: number, reason: string): SessionEffect[] => [{ kind: 'close', code, reason }];
const bad = (reason: string): SessionEffect[] => close(CLOSE.badRequest, reason);

/** The `payload` of a subscribe, or what is wrong with it. */
function requestOf(payload: unknown): OperationRequest | string {
  if (!isFields(payload)) return '"subscribe" message expects the "payload" property to be an object';
  const { query, operationName, variables, extensions } = payload;
  const named = isFields(extensions) && isFields(extensions['persistedQuery']);
  if (typeof query !== 'string' && !(query === undefined && named))
    return '"subscribe" message payload expects the "query" property to be a string';
  if (!optional(operationName, (value) => typeof value === 'string')) return '"operationName" of the payload must be a string';
  if (!optional(variables, isFields)) return '"variables" of the payload must be an object';
  if (!optional(extensions, isFields)) return '"extensions" of the payload must be an object';
  return {
    query: query ?? '',
    extensions: isFields(extensions) ? extensions : null,
    operationName: typeof operationName === 'string' ? operationName : null,
    variables: isFields(variables) ? variables : null,
  };
}

/** The first field of the payload under one of the names that holds a text. */
function textOf(payload: unknown, ...names: readonly string[]): string | undefined {
  if (!isFields(payload)) return undefined;
  for (const name of names) {
    const value = payload[name];
    if (typeof value === 'string') return value;
  }
  return undefined;
}

function operationError(id: string, message: string, code: string): SessionEffect {
  return { kind: 'send', text: JSON.stringify({ id, type: 'error', payload: [{ message, extensions: { code } }] }) };
}

export function createSession(limits: SessionLimits = SESSION_LIMITS): Session {
  let phase: 'new' | 'checking' | 'open' | 'closed' = 'new';
  let tokens = limits.messagesBurst;
  let refilledAt: number | undefined;
  let serials = 0;
  const ids = new Map<string, number>();

  const affordable = (now: number): boolean => {
    tokens = Math.min(limits.messagesBurst, tokens + ((now - (refilledAt ?? now)) / 1000) * limits.messagesPerSecond);
    refilledAt = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
  const idOf = (message: Fields): string | undefined => {
    const { id } = message;
    return typeof id === 'string' && id.length > 0 && Buffer.byteLength(id) <= limits.idBytes ? id : undefined;
  };
  const onInit = (payload: unknown): SessionEffect[] => {
    if (phase !== 'new') return close(CLOSE.tooManyInit, 'Too many initialisation requests');
    if (!optional(payload, isFields)) return bad('"connection_init" message expects the "payload" property to be an object');
    phase = 'checking';
    const authorization = textOf(payload, 'authorization', 'Authorization');
    return [{ kind: 'authenticate', authorization, tenant: textOf(payload, 'x-flotilla-tenant', 'tenant'), first: true }];
  };
  const onPing = (message: Fields): SessionEffect[] => {
    const { payload } = message;
    if (!optional(payload, isFields)) return bad('"ping" message expects the "payload" property to be an object');
    const text = JSON.stringify(payload === undefined || payload === null ? { type: 'pong' } : { type: 'pong', payload });
    const authorization = textOf(payload, 'authorization', 'Authorization');
    const pong: SessionEffect = { kind: 'send', text };
    if (authorization === undefined || phase !== 'open') return [pong];
    return [pong, { kind: 'authenticate', authorization, tenant: textOf(payload, 'x-flotilla-tenant', 'tenant'), first: false }];
  };
  const onSubscribe = (message: Fields): SessionEffect[] => {
    if (phase !== 'open') return close(CLOSE.unauthorized, 'Unauthorized');
    const id = idOf(message);
    if (id === undefined) return bad(`"subscribe" message expects the "id" property to be a string of 1 to ${limits.idBytes} bytes`);
    const request = requestOf(message['payload']);
    if (typeof request === 'string') return bad(request);
    if (ids.has(id)) return close(CLOSE.duplicate, `Subscriber for ${id} already exists`);
    if (ids.size >= limits.operations) {
      return [operationError(id, `more than ${limits.operations} operations on one connection`, 'TOO_MANY_OPERATIONS')];
    }
    serials += 1;
    ids.set(id, serials);
    return [{ kind: 'start', id, serial: serials, request }];
  };
  const onComplete = (message: Fields): SessionEffect[] => {
    const id = idOf(message);
    if (id === undefined) return bad('"complete" message expects the "id" property to be a string');
    const serial = ids.get(id);
    if (serial === undefined) return [];
    ids.delete(id);
    return [{ kind: 'stop', id, serial }];
  };
  const dispatch = (message: Fields): SessionEffect[] => {
    switch (message['type']) {
      case 'connection_init':
        return onInit(message['payload']);
      case 'ping':
        return onPing(message);
      case 'pong':
        return optional(message['payload'], isFields) ? [] : bad('"pong" message expects the "payload" property to be an object');
      case 'subscribe':
        return onSubscribe(message);
      case 'complete':
        return onComplete(message);
      default:
        return bad('Invalid message "type" property');
    }
  };
  const parse = (text: string): Fields | undefined => {
    try {
      const message: unknown = JSON.parse(text);
      return isFields(message) ? message : undefined;
    } catch {
      return undefined;
    }
  };
  const settle = (effects: SessionEffect[]): SessionEffect[] => {
    if (effects.some((effect) => effect.kind === 'close')) {
      phase = 'closed';
      ids.clear();
    }
    return effects;
  };

  return {
    get acknowledged() {
      return phase === 'open';
    },
    receive(text, now) {
      if (phase === 'closed') return [];
      if (!affordable(now)) return settle(close(CLOSE.abuse, 'Too many messages'));
      const message = parse(text);
      return settle(message === undefined ? bad('Invalid message received') : dispatch(message));
    },
    admitted() {
      if (phase !== 'checking') return [];
      phase = 'open';
      return [{ kind: 'send', text: '{"type":"connection_ack"}' }];
    },
    denied(code, reason) {
      return phase === 'closed' ? [] : settle(close(code, reason));
    },
    initTimeout() {
      return phase === 'new' ? settle(close(CLOSE.initTimeout, 'Connection initialisation timeout')) : [];
    },
    live: (id, serial) => ids.get(id) === serial,
    finished(id, serial) {
      if (ids.get(id) === serial) ids.delete(id);
    },
    operations: () => ids.size,
  };
}
