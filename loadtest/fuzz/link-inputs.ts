import type { Dice } from '../../ops/lifecycle/index.ts';

/** What a device might say that nobody should: text or bytes, the same for the same dice. */
export type LinkInput = string | Buffer;

const ID = '01a1fc14-13ac-793b-ace1-10d7ff6dcdcf';
const GOOD: readonly Readonly<Record<string, unknown>>[] = [
  { type: 'ack', id: ID, epoch: 0, status: 'sent' },
  { type: 'ack', id: ID, epoch: 0, status: 'failed', error: 'no' },
  { type: 'inbound', id: 'in', from: '+15551234567', body: 'hi' },
  { type: 'pong' },
];
const VALUES: readonly unknown[] = [
  null,
  true,
  '',
  [],
  {},
  -1,
  1.5,
  2 ** 53,
  1e308,
  'x'.repeat(129),
  'x'.repeat(5000),
  'a\u0000b',
  '\ud800',
  '😀'.repeat(80),
  ID.toUpperCase(),
  `${ID}'; drop table messages;--`,
  'toString',
  [[['x']]],
  { $ne: null },
];
const NAMES = ['type', 'id', 'epoch', 'status', 'error', 'from', 'body', 'token', 'deviceId', '__proto__', 'constructor', 'extra'];
const RAW: readonly string[] = [
  '',
  ' ',
  '{',
  '}',
  'null',
  'true',
  '0',
  '"x"',
  '[]',
  '{}',
  '{"type":',
  '{"type":"ack"',
  'NaN',
  '\ufeff{}',
  '{"type":"pong",}',
];

export function linkInput(dice: Dice): LinkInput {
  const whole = (below: number): number => Math.floor(dice.next() * below);
  const pick = <T>(from: readonly T[]): T => from[whole(from.length)] as T;
  const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => whole(256)));
  const mutated = (): string => {
    const frame: Record<string, unknown> = { ...pick(GOOD) };
    for (let changes = whole(3); changes > 0; changes--) {
      const name = pick(NAMES);
      if (whole(3) === 0) delete frame[name];
      else Object.defineProperty(frame, name, { value: pick(VALUES), enumerable: true, configurable: true, writable: true });
    }
    return JSON.stringify(frame);
  };
  switch (whole(12)) {
    case 0:
      return pick(RAW);
    case 1:
      return noise(whole(200)).toString('latin1');
    case 2:
      return noise(whole(2000));
    case 3:
      // deep, but within a frame: neither the parser nor what comes after it may overflow
      return '['.repeat(1 + whole(30_000));
    case 4:
      return `{"type":"inbound","id":"in","from":"f","body":${'{"a":'.repeat(whole(5000))}1${'}'.repeat(whole(5000))}}`;
    case 5:
      return JSON.stringify({ ...GOOD[2], body: 'x'.repeat(60_000 + whole(90_000)) });
    case 6: {
      const text = mutated();
      return text.slice(0, whole(text.length));
    }
    case 7: {
      // one character replaced anywhere
      const text = mutated();
      const at = whole(text.length);
      return text.slice(0, at) + String.fromCharCode(whole(0x300)) + text.slice(at + 1);
    }
    // replays: of a hello, and of acks under an epoch that this socket was never told
    case 8:
      return JSON.stringify({ type: 'hello', token: 'flt_again' });
    case 9:
      return JSON.stringify({ ...GOOD[0], epoch: 1 + whole(2 ** 30) });
    default:
      return mutated();
  }
}
