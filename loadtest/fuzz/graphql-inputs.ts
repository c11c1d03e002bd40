import type { Dice } from '../../ops/lifecycle/index.ts';
import { document } from './http-inputs.ts';

/**
 * What a client of `graphql-transport-ws` might say that nobody should, each with what is right. Written after graphql-ws' PROTOCOL.md; knows nothing
 * of the gateway's session. Pure: the same dice give the same inputs.
 */
export interface SocketInput {
  readonly name: string;
  readonly data: string | Buffer;
  /**
   * `answer`: exactly one `error`, or one `next` and `complete`, with the id; the socket goes on. `nothing`: the socket goes on. A number: the socket is closed
   * with one of these codes.
   */
  readonly right:
    | { readonly kind: 'answer'; readonly id: string }
    | { readonly kind: 'nothing' }
    | { readonly kind: 'close'; readonly codes: readonly number[] };
}
export const CODES = {
  bad: 4400,
  unauthorized: 4401,
  forbidden: 4403,
  subprotocol: 4406,
  late: 4408,
  twice: 4409,
  tooManyInit: 4429,
  abuse: 1008,
  later: 1013,
  tooLarge: 1006,
} as const;

const pick = <T>(dice: Dice, list: readonly T[]): T => list[Math.floor(dice.next() * list.length)] as T;
const whole = (dice: Dice, below: number): number => Math.floor(dice.next() * below);
const noise = (dice: Dice, length: number): Buffer => Buffer.from(Array.from({ length }, () => whole(dice, 256)));
const closing = (name: string, data: string | Buffer, ...codes: number[]): SocketInput => ({ name, data, right: { kind: 'close', codes } });
const VALUES: readonly unknown[] = [null, true, false, 0, -1, 1e308, '', 'x', [], [[]], {}, { a: 1 }, { __proto__x: 1 }];

/** Frames that are no message of the protocol in any state. */
function brokenFrame(dice: Dice): SocketInput {
  const kinds: readonly (() => SocketInput)[] = [
    () =>
      closing(
        'no JSON',
        pick(dice, ['', ' ', '{', '}', 'null', '[]', '"x"', '1', '{"type":', '{"type":"ping"', 'NaN', '{"type":"ping",}', '\ufeff{}']),
        CODES.bad,
      ),
    () => closing('noise', `x${noise(dice, whole(dice, 300)).toString('latin1')}`, CODES.bad),
    () => closing('binary', noise(dice, whole(dice, 300)), CODES.bad),
    () => closing('binary', Buffer.from('{"type":"ping"}'), CODES.bad),
    () => closing('deep', '['.repeat(1 + whole(dice, 100_000)), CODES.bad),
    () => closing('deep', `{"type":${'{"a":'.repeat(1 + whole(dice, 5_000))}1`, CODES.bad),
    () =>
      closing(
        'type',
        JSON.stringify({
          type: pick(dice, [...VALUES, 'start', 'connection_terminate', 'next', 'error', 'connection_ack', '__proto__', 'toString']),
        }),
        CODES.bad,
      ),
    () =>
      closing(
        'no type',
        pick(dice, ['{}', '{"__proto__":{"type":"ping"}}', '{"id":"1","payload":{}}', '{"constructor":{"type":"ping"}}']),
        CODES.bad,
      ),
    () =>
      closing(
        'ping payload',
        JSON.stringify({ type: pick(dice, ['ping', 'pong']), payload: pick(dice, [1, 'x', true, [], [1]]) }),
        CODES.bad,
      ),
    () =>
      closing(
        'complete id',
        JSON.stringify({
          type: 'subscribe',
          id: pick(dice, [1, '', {}, [], true, 'x'.repeat(65), '😀'.repeat(17)]),
          payload: { query: '{ __typename }' },
        }),
        CODES.bad,
        CODES.unauthorized,
      ),
    () => closing('too large', `{"type":"ping","payload":{"a":"${'x'.repeat(131_072 + whole(dice, 60_000))}"}}`, CODES.tooLarge, 1009),
  ];
  return pick(dice, kinds)();
}

/** Said first, before anything else. 1013 is right where something has to be looked up: the ledger may be too busy. */
export function openingInput(dice: Dice, key: string): SocketInput {
  const kinds: readonly (() => SocketInput)[] = [
    () => brokenFrame(dice),
    () => brokenFrame(dice),
    () =>
      closing(
        'subscribe before ack',
        JSON.stringify({ type: 'subscribe', id: '1', payload: { query: document(dice) } }),
        CODES.unauthorized,
      ),
    () => closing('init payload', JSON.stringify({ type: 'connection_init', payload: pick(dice, [1, 'x', true, [], [{}]]) }), CODES.bad),
    () =>
      closing(
        'wrong key',
        JSON.stringify({
          type: 'connection_init',
          payload: {
            authorization: pick(dice, ['Bearer', `Bearer ${'x'.repeat(whole(dice, 900))}`, `Basic ${key}`, '\u0000', `Bearer ${key}x`]),
          },
        }),
        CODES.forbidden,
        CODES.later,
      ),
    () =>
      closing(
        'no key',
        JSON.stringify({
          type: 'connection_init',
          payload: pick(dice, [undefined, null, {}, { authorization: 1 }, { authorization: null }, { authorization: {} }]),
        }),
        CODES.forbidden,
        CODES.later,
      ),
    () =>
      closing(
        'tenant',
        JSON.stringify({
          type: 'connection_init',
          payload: { authorization: `Bearer ${key}`, tenant: pick(dice, ['nobody', '__proto__', '%00', 'x'.repeat(2000)]) },
        }),
        CODES.forbidden,
        CODES.later,
      ),
  ];
  return pick(dice, kinds)();
}

const IDS: readonly string[] = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '"',
  '\\',
  '\u0000',
  '\u2028',
  '😀',
  '{"id":1}',
  ' ',
  'x'.repeat(50),
];

/** Said on a socket that is let in; it goes on after them. `n` makes ids differ. */
export function operationInput(dice: Dice, n: number): SocketInput {
  const id = `${pick(dice, IDS)}${n}`.slice(-60);
  const ask = (name: string, payload: unknown): SocketInput => ({
    name,
    data: JSON.stringify({ id, type: 'subscribe', payload }),
    right: { kind: 'answer', id },
  });
  const kinds: readonly (() => SocketInput)[] = [
    () => ask('document', { query: document(dice) }),
    () => ask('document', { query: `subscription { ${document(dice)} }` }),
    () => ask('empty', { query: pick(dice, ['', ' ', '#', '{}', '\u0000']) }),
    () =>
      ask('variables', {
        query: 'query ($id: ID!) { device(id: $id) { id } }',
        variables: pick(dice, [
          null,
          {},
          { id: 1e308 },
          { id: {} },
          { id: [] },
          { id: null },
          { __proto__: { id: 'x' } },
          { id: 'x'.repeat(5_000) },
          { id: '\u0000' },
        ]),
      }),
    () =>
      ask('position', {
        query: 'subscription ($since: LivePosition) { fleet(since: $since) { __typename } }',
        variables: {
          since: pick(dice, [
            1,
            'x',
            [],
            { epoch: 1 },
            { epoch: 'e', seq: -1 },
            { epoch: 'x'.repeat(80), seq: 1 },
            { epoch: 'e', seq: 0.5 },
          ]),
        },
      }),
    () =>
      ask('two operations', {
        query: 'query a { __typename } query b { __typename }',
        operationName: pick(dice, [null, '', 'c', '__proto__']),
      }),
    () =>
      ask('persisted', {
        extensions: {
          persistedQuery: pick(dice, [{}, { sha256Hash: 'x' }, { sha256Hash: [] }, { version: 1, sha256Hash: '0'.repeat(64) }]),
        },
      }),
    () => ask('unknown device', { query: `subscription { device(id: "${noise(dice, 16).toString('hex')}") { id } }` }),
    () => ({ name: 'complete of nothing', data: JSON.stringify({ type: 'complete', id }), right: { kind: 'nothing' } }),
    () => ({
      name: 'pong',
      data: JSON.stringify({ type: 'pong', payload: pick(dice, [undefined, null, {}, { a: [[[]]] }]) }),
      right: { kind: 'nothing' },
    }),
  ];
  return pick(dice, kinds)();
}

/** Said last on a socket that is let in: it is closed. */
export function lastInput(dice: Dice, key: string): SocketInput {
  const init = JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } });
  const kinds: readonly (() => SocketInput)[] = [
    () => brokenFrame(dice),
    () => brokenFrame(dice),
    () => closing('second init', init, CODES.tooManyInit),
    () =>
      closing(
        'payload',
        JSON.stringify({
          id: 'last',
          type: 'subscribe',
          payload: pick(dice, [undefined, null, 1, 'x', [], {}, { query: 1 }, { query: {} }, { query: null }]),
        }),
        CODES.bad,
      ),
    () =>
      closing(
        'payload fields',
        JSON.stringify({
          id: 'last',
          type: 'subscribe',
          payload: { query: '{ __typename }', [pick(dice, ['variables', 'operationName', 'extensions'])]: pick(dice, [1, true, [], [1]]) },
        }),
        CODES.bad,
      ),
    () => closing('complete without id', JSON.stringify({ type: 'complete', id: pick(dice, [undefined, null, 1, {}, '']) }), CODES.bad),
  ];
  return pick(dice, kinds)();
}
