import { CLOSE } from './close-codes.ts';
import type { OperationRequest } from './port.ts';

/**
 * `graphql-transport-ws` as a machine without I/O: one socket's conversation (graphql-ws, PROTOCOL.md).
 * Owns: where the handshake stands, which ids are in use, the message budget. Does not own: sockets, timers, execution.
 * Called by hub.ts. The effects are in order; after a `close` there are none.
 * A class, not a closure: there is one for each of tens of thousands of sockets, and its functions would be most of what an idle one keeps.
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

function parse(text: string): Fields | undefined {
  try {
    const message: unknown = JSON.parse(text);
    return isFields(message) ? message : undefined;
  } catch {
    return undefined;
  }
}

class SocketSession implements Session {
  private phase: 'new' | 'checking' | 'open' | 'closed' = 'new';
  private readonly limits: SessionLimits;
  private tokens: number;
  /** -1: nothing has come yet */
  private refilledAt = -1;
  private serials = 0;
  private readonly ids = new Map<string, number>();

  constructor(limits: SessionLimits) {
    this.limits = limits;
    this.tokens = limits.messagesBurst;
  }
  get acknowledged(): boolean {
    return this.phase === 'open';
  }
  receive(text: string, now: number): SessionEffect[] {
    if (this.phase === 'closed') return [];
    if (!this.affordable(now)) return this.settle(close(CLOSE.abuse, 'Too many messages'));
    const message = parse(text);
    return this.settle(message === undefined ? bad('Invalid message received') : this.dispatch(message));
  }
  admitted(): SessionEffect[] {
    if (this.phase !== 'checking') return [];
    this.phase = 'open';
    return [{ kind: 'send', text: '{"type":"connection_ack"}' }];
  }
  denied(code: number, reason: string): SessionEffect[] {
    return this.phase === 'closed' ? [] : this.settle(close(code, reason));
  }
  initTimeout(): SessionEffect[] {
    return this.phase === 'new' ? this.settle(close(CLOSE.initTimeout, 'Connection initialisation timeout')) : [];
  }
  live(id: string, serial: number): boolean {
    return this.ids.get(id) === serial;
  }
  finished(id: string, serial: number): void {
    if (this.ids.get(id) === serial) this.ids.delete(id);
  }
  operations(): number {
    return this.ids.size;
  }
  private affordable(now: number): boolean {
    const { messagesBurst, messagesPerSecond } = this.limits;
    const passedMs = this.refilledAt < 0 ? 0 : now - this.refilledAt;
    this.tokens = Math.min(messagesBurst, this.tokens + (passedMs / 1000) * messagesPerSecond);
    this.refilledAt = now;
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
  private idOf({ id }: Fields): string | undefined {
    return typeof id === 'string' && id.length > 0 && Buffer.byteLength(id) <= this.limits.idBytes ? id : undefined;
  }
  private dispatch(message: Fields): SessionEffect[] {
    switch (message['type']) {
      case 'connection_init':
        return this.onInit(message['payload']);
      case 'ping':
        return this.onPing(message);
      case 'pong':
        return optional(message['payload'], isFields) ? [] : bad('"pong" message expects the "payload" property to be an object');
      case 'subscribe':
        return this.onSubscribe(message);
      case 'complete':
        return this.onComplete(message);
      default:
        return bad('Invalid message "type" property');
    }
  }
  private onInit(payload: unknown): SessionEffect[] {
    if (this.phase !== 'new') return close(CLOSE.tooManyInit, 'Too many initialisation requests');
    if (!optional(payload, isFields)) return bad('"connection_init" message expects the "payload" property to be an object');
    this.phase = 'checking';
    const authorization = textOf(payload, 'authorization', 'Authorization');
    return [{ kind: 'authenticate', authorization, tenant: textOf(payload, 'x-flotilla-tenant', 'tenant'), first: true }];
  }
  private onPing({ payload }: Fields): SessionEffect[] {
    if (!optional(payload, isFields)) return bad('"ping" message expects the "payload" property to be an object');
    const text = JSON.stringify(payload === undefined || payload === null ? { type: 'pong' } : { type: 'pong', payload });
    const authorization = textOf(payload, 'authorization', 'Authorization');
    const pong: SessionEffect = { kind: 'send', text };
    if (authorization === undefined || this.phase !== 'open') return [pong];
    return [pong, { kind: 'authenticate', authorization, tenant: textOf(payload, 'x-flotilla-tenant', 'tenant'), first: false }];
  }
  private onSubscribe(message: Fields): SessionEffect[] {
    const { idBytes, operations } = this.limits;
    if (this.phase !== 'open') return close(CLOSE.unauthorized, 'Unauthorized');
    const id = this.idOf(message);
    if (id === undefined) return bad(`"subscribe" message expects the "id" property to be a string of 1 to ${idBytes} bytes`);
    const request = requestOf(message['payload']);
    if (typeof request === 'string') return bad(request);
    if (this.ids.has(id)) return close(CLOSE.duplicate, `Subscriber for ${id} already exists`);
    if (this.ids.size >= operations) {
      return [operationError(id, `more than ${operations} operations on one connection`, 'TOO_MANY_OPERATIONS')];
    }
    this.serials += 1;
    this.ids.set(id, this.serials);
    return [{ kind: 'start', id, serial: this.serials, request }];
  }
  private onComplete(message: Fields): SessionEffect[] {
    const id = this.idOf(message);
    if (id === undefined) return bad('"complete" message expects the "id" property to be a string');
    const serial = this.ids.get(id);
    if (serial === undefined) return [];
    this.ids.delete(id);
    return [{ kind: 'stop', id, serial }];
  }
  private settle(effects: SessionEffect[]): SessionEffect[] {
    if (effects.some((effect) => effect.kind === 'close')) {
      this.phase = 'closed';
      this.ids.clear();
    }
    return effects;
  }
}

export function createSession(limits: SessionLimits = SESSION_LIMITS): Session {
  return new SocketSession(limits);
}
