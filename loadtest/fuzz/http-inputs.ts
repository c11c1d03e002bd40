import type { Dice } from '../../ops/lifecycle/index.ts';

/** Bad HTTP requests to /graphql, each with the answers that are right. Pure: the same dice give the same inputs. */
export interface Input {
  readonly name: string;
  /** the bytes of one HTTP/1.1 request */
  readonly bytes: Buffer;
  /** statuses that are right; the connection may be closed without an answer only when `closing` says so */
  readonly right: readonly number[];
  /** it may not be a whole request, or the server may hang up: it gets a connection of its own */
  readonly closing: boolean;
}

const HOST = 'gateway.test';
const pick = <T>(dice: Dice, list: readonly T[]): T => list[Math.floor(dice.next() * list.length)] as T;
const whole = (dice: Dice, most: number): number => Math.floor(dice.next() * (most + 1));
function noise(dice: Dice, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = Math.floor(dice.next() * 256);
  return bytes;
}
const TOKENS = [
  '{',
  '}',
  '(',
  ')',
  '[',
  ']',
  ':',
  '!',
  '$',
  '@',
  '...',
  '"',
  '"""',
  '\\u',
  '#',
  ',',
  '|',
  '&',
  '=',
  'query',
  'mutation',
  'fragment',
  'on',
  'a',
  '__proto__',
  'constructor',
  '0',
  '-1e999',
  '\u0000',
  '\ud800',
  '😀',
];

function requestOf(method: string, headers: Readonly<Record<string, string>>, body: Buffer | string, path = '/graphql'): Buffer {
  const payload = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const all = { host: HOST, 'content-length': String(payload.length), ...headers };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${head.join('')}\r\n`, 'latin1'), payload]);
}

/** A document that is no good, and what it is. */
export function document(dice: Dice): string {
  const kinds: readonly (() => string)[] = [
    () => Array.from({ length: 1 + whole(dice, 60) }, () => pick(dice, TOKENS)).join(pick(dice, ['', ' ', '\n'])),
    () => '{ a '.repeat(20 + whole(dice, 3000)),
    () => `{ ${Array.from({ length: 200 + whole(dice, 1500) }, (_, at) => `a${at}: __typename`).join(' ')} }`,
    () => `{ __typename ${'@skip(if: false) '.repeat(60 + whole(dice, 200))} }`,
    () => `query { ...f } fragment f on Query { ...g } fragment g on Query { ...f }`,
    () =>
      `{ ${Array.from({ length: 9 }, (_, at) => `d${at}: devices(first: 500) { edges { node { id sendability { reasons } } } }`).join(' ')} }`,
    () => `{ __proto__ constructor toString hasOwnProperty }`,
    () => `{ device(id: "${noise(dice, 20).toString('hex')}\\u0000") { ${'name '.repeat(whole(dice, 50))} nothing } }`,
    () => `query ($a: [[[[[Int]]]]]) { nothing(a: $a) }`,
    () => `{ nothing(${'a: [[[['.repeat(whole(dice, 400))} }`,
    () => 'x'.repeat(70_000),
  ];
  return pick(dice, kinds)();
}

/** A body that is no GraphQL request. */
function body(dice: Dice): Buffer | string {
  const kinds: readonly (() => Buffer | string)[] = [
    () => noise(dice, whole(dice, 600)),
    () => '{"query": ',
    () => JSON.stringify(pick(dice, [null, 1, 'x', [], [{}], {}, { query: 1 }, { query: null }, { query: {} }, { operationName: 'x' }])),
    () => JSON.stringify({ query: '{ nothing }', variables: pick(dice, [1, 'x', [], true]) }),
    () => `{"query": "{ nothing }", "__proto__": {"query": "{ fleet { devices } }"}, "variables": {"__proto__": {"a": 1}}}`,
    () => '['.repeat(1 + whole(dice, 100_000)),
    () => `{"query":"{ nothing }","variables":${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}}`,
    () =>
      JSON.stringify({
        query: '{ nothing }',
        extensions: { persistedQuery: pick(dice, [null, 1, {}, { sha256Hash: 'x' }, { sha256Hash: [] }]) },
      }),
    () => `\ufeff{"query":"{ nothing }"}`,
    () => '',
  ];
  return pick(dice, kinds)();
}

const CLIENT = [400, 401, 403, 404, 405, 406, 408, 411, 413, 414, 415, 429, 431, 501, 505];

/** One input. `key` is a good API key: most inputs bring it, so that they get past the door. */
export function inputOf(dice: Dice, key: string): Input {
  const json = { 'content-type': 'application/json', authorization: `Bearer ${key}` };
  const kinds: readonly (() => Input)[] = [
    () => ({ name: 'document', bytes: requestOf('POST', json, JSON.stringify({ query: document(dice) })), right: [400], closing: false }),
    () => ({ name: 'body', bytes: requestOf('POST', json, body(dice)), right: [400], closing: false }),
    () => ({
      name: 'body too large',
      bytes: requestOf('POST', { ...json, 'content-length': String(2_000_000 + whole(dice, 1_000_000)) }, 'x'.repeat(1000)),
      right: [413],
      closing: true,
    }),
    () => ({
      name: 'no key',
      bytes: requestOf(
        'POST',
        {
          'content-type': 'application/json',
          authorization: pick(dice, ['', 'Bearer', 'Basic eDp4', `Bearer ${'x'.repeat(whole(dice, 600))}`, key.slice(0, -1)]),
        },
        '{"query":"{ __typename }"}',
      ),
      right: [401, 429],
      closing: false,
    }),
    () => ({
      name: 'content type',
      bytes: requestOf(
        'POST',
        {
          ...json,
          'content-type': pick(dice, [
            'text/plain',
            'application/x-www-form-urlencoded',
            'multipart/form-data',
            '',
            'application/jsonx',
            '\u00ff',
          ]),
        },
        '{"query":"{ __typename }"}',
      ),
      right: [400, 415],
      closing: false,
    }),
    () => ({
      name: 'method',
      bytes: requestOf(pick(dice, ['PUT', 'DELETE', 'PATCH', 'TRACE', 'QUERY']), json, ''),
      right: [405],
      closing: true,
    }),
    () => ({
      name: 'origin',
      bytes: requestOf(
        'POST',
        { ...json, origin: pick(dice, ['null', 'https://evil.example', 'x', `http://${HOST}:1`]) },
        '{"query":"{ __typename }"}',
      ),
      right: [403],
      closing: false,
    }),
    () => ({
      name: 'tenant',
      bytes: requestOf(
        'POST',
        { ...json, 'x-flotilla-tenant': pick(dice, ['nobody', 'Tenant:x', '__proto__', 'x'.repeat(1000), '%00']) },
        '{"query":"{ __typename }"}',
      ),
      right: [403],
      closing: false,
    }),
    () => ({
      name: 'headers too large',
      bytes: requestOf('POST', { ...json, [`x-${'a'.repeat(10)}`]: 'y'.repeat(8_000 + whole(dice, 20_000)) }, '{}'),
      right: CLIENT,
      closing: true,
    }),
    () => ({
      name: 'many headers',
      bytes: requestOf('POST', { ...json, ...Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`x-${at}`, '1'])) }, '{}'),
      right: CLIENT,
      closing: true,
    }),
    () => ({
      name: 'address',
      bytes: requestOf('GET', json, '', `/graphql?query=${encodeURIComponent(Buffer.from(document(dice)).toString()).slice(0, 1500)}`),
      right: [400, 405, 414, 431],
      closing: true,
    }),
    () => ({
      name: 'length',
      bytes: requestOf('POST', { ...json, 'content-length': pick(dice, ['-1', 'x', '1e3', '99999999999999999999', '0x10']) }, '{}'),
      right: CLIENT,
      closing: true,
    }),
    () => ({ name: 'noise', bytes: noise(dice, 1 + whole(dice, 500)), right: CLIENT, closing: true }),
    () => ({
      name: 'cut off',
      bytes: requestOf('POST', json, JSON.stringify({ query: '{ __typename }' })).subarray(0, 20 + whole(dice, 150)),
      right: [...CLIENT, 200],
      closing: true,
    }),
    () => ({
      name: 'upgrade',
      bytes: requestOf(
        'GET',
        {
          upgrade: 'websocket',
          connection: 'Upgrade',
          'sec-websocket-key': pick(dice, ['', 'x', noise(dice, 16).toString('base64')]),
          'sec-websocket-version': pick(dice, ['13', '0', 'x']),
          'sec-websocket-protocol': pick(dice, ['graphql-transport-ws', 'graphql-ws', 'x']),
        },
        '',
      ),
      right: [...CLIENT, 101, 426],
      closing: true,
    }),
  ];
  return pick(dice, kinds)();
}
