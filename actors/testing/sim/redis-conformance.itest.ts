import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectRedis, type Redis } from '../../../ops/connect/index.ts';
import { type Dice, seededDice, systemClock } from '../../../ops/lifecycle/index.ts';
import { startRedis, type TestRedis } from '../../../ops/testing/index.ts';
import { createRedisServer, type RedisServer } from './redis-server.ts';
import { SCRIPTS, scriptText } from './script-names.ts';

/**
 * The simulated Redis and its Lua against a real server: the same random commands and scripts to both, the same answers and the same keys.
 * Time is a matter of the clock and is left out: answers that hold a time are compared without it, lives are an hour or over at once.
 */
const SEEDS = 8;
const STEPS = 400;

type Command = readonly [title: string, ...args: string[]];
type Answer = { readonly ok: unknown } | { readonly error: string };

const DEVICES = ['d1', 'd2', 'd3'];
const BASE = 'fl:{t1}:';
const GENERATION = `${BASE}generation`;
const READY = `${BASE}ready`;
const RAW = ['k1', 'k2', 'k3'];
const HOUR = '3600000';
const script = (name: (typeof SCRIPTS)[number], keys: readonly string[], args: readonly (string | number)[]): Command => [
  'EVAL',
  scriptText(name),
  String(keys.length),
  ...keys,
  ...args.map(String),
];
const key = (device: string, kind: string): string => `${BASE}d:${device}:${kind}`;

/** Random commands and scripts, as the product's callers make them: believed generations, epochs and tokens are right more often than not. */
function makeSteps(dice: Dice): () => Command {
  const below = (limit: number): number => Math.floor(dice.next() * limit);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  const generation = (): string => pick(['g1', 'g1', 'g1', 'g2']);
  const epoch = (): number => pick([1, 2, 2, 2, 3]);
  const token = (): string => pick(['node-1', 'node-2']);
  const lane = (): number => below(3);
  const some = (): string[] => DEVICES.filter(() => dice.next() < 0.6);
  const ids = (): string => `m${below(1000)}`;

  const peek = (): Command => {
    const args: (string | number)[] = [generation(), below(4), 1 + below(4)];
    for (const device of some()) {
      const acks = Array.from({ length: below(3) }, () => [lane(), 1 + below(8)]);
      args.push(device, epoch(), acks.length, ...acks.flat());
    }
    return script('mailbox/peek', [GENERATION, READY], args);
  };
  const enqueue = (): Command => {
    const entries = Array.from({ length: 1 + below(3) }, () => [pick(DEVICES), lane(), 1 + below(8), ids(), pick(['', '00-trace'])]);
    return script('mailbox/enqueue', [GENERATION, READY], [generation(), 4, `${BASE}bell`, ...entries.flat()]);
  };
  const refill = (): Command => {
    const args: (string | number)[] = [generation(), 4];
    for (const device of some()) {
      const start = dice.next() < 0.5;
      const lanes = start ? [0, 1, 2] : [lane()];
      args.push(device, epoch(), lanes.length);
      for (const one of lanes) {
        const from = below(6);
        const rows = Array.from({ length: below(4) }, (_, index) => [from + 1 + index * (1 + below(2)), ids(), '']);
        rows.sort((a, b) => Number(a[0]) - Number(b[0]));
        const rising = rows.filter((row, index) => index === 0 || row[0] !== rows[index - 1]?.[0]);
        args.push(one, below(3), below(2), start ? from : '', from, rising.length, ...rising.flat());
      }
    }
    return script('mailbox/refill', [GENERATION, READY], args);
  };
  const astray = (): Command => {
    const places = Array.from({ length: 1 + below(4) }, () => [pick(DEVICES), lane(), 1 + below(8)]);
    return script('mailbox/astray', [GENERATION], [generation(), ...places.flat()]);
  };
  const renew = (): Command => {
    const devices = some();
    const args = devices.flatMap((device) => [device, token(), device === '' ? 0 : epoch()]);
    return script('lease/renew', [GENERATION], [pick(['g1', 'g1', '']), pick([HOUR, HOUR, '0']), below(2), ...args]);
  };
  const lease = (): Command => {
    const devices = some();
    const keys = devices.map((device) => key(device, 'lease'));
    if (dice.next() < 0.5)
      return script(
        'lease/release',
        keys,
        devices.map(() => token()),
      );
    return script(
      'lease/transfer',
      keys,
      devices.flatMap(() => [token(), token()]),
    );
  };
  const node = (): Command => {
    const name = pick(['a', 'b']);
    const mark = `"instance":"${pick(['x', 'y.*'])}"`;
    if (dice.next() < 0.3) return script('placement/leave', [`fl:node:${name}`, 'fl:nodes'], [mark, name]);
    return script('placement/beat', [`fl:node:${name}`, 'fl:nodes'], [mark, `{${mark},"id":"${name}"}`, HOUR, name]);
  };
  const stream = (): Command =>
    pick<() => Command>([
      () => ['XADD', pick(RAW), `${1 + below(9)}-0`, 'm', ids()],
      () => ['XDEL', pick(RAW), `${1 + below(9)}-0`, `${1 + below(9)}-0`],
      () => ['XRANGE', pick(RAW), '-', '+', 'COUNT', String(1 + below(3))],
      () => ['XLEN', pick(RAW)],
    ])();
  const plain = (): Command =>
    pick<() => Command>([
      () => ['GET', pick(RAW)],
      () => ['MGET', ...RAW],
      () => ['SET', pick(RAW), String(below(5))],
      () => ['SET', pick(RAW), String(below(5)), 'PX', HOUR, 'NX'],
      () => ['SET', pick(RAW), String(below(5)), 'KEEPTTL'],
      () => ['DEL', pick(RAW), pick(RAW)],
      () => ['EXISTS', pick(RAW), pick(RAW)],
      () => ['PEXPIRE', pick(RAW), pick([HOUR, '0'])],
      () => ['HGET', pick(RAW), pick(['f', 'g'])],
      () => ['HMGET', pick(RAW), 'f', 'g'],
      () => ['HSET', pick(RAW), pick(['f', 'g']), String(below(5)), 'h', '1'],
      () => ['HSETNX', pick(RAW), pick(['f', 'g']), String(below(5))],
      () => ['HDEL', pick(RAW), 'f', pick(['g', 'h'])],
      () => ['HINCRBY', pick(RAW), pick(['f', 'g']), String(below(5))],
      () => ['ZADD', pick(RAW), String(below(5)), pick(['p', 'q', 'r'])],
      () => ['ZADD', pick(RAW), 'NX', String(below(5)), pick(['p', 'q', 'r'])],
      () => ['ZREM', pick(RAW), 'p', pick(['q', 'r'])],
      () => ['ZRANGE', pick(RAW), String(below(2)), pick(['-1', '1'])],
      () => ['ZREMRANGEBYSCORE', pick(RAW), '-inf', String(below(4))],
    ])();
  const ways: readonly (() => Command)[] = [
    () => (dice.next() < 0.8 ? ['SET', GENERATION, generation()] : ['DEL', GENERATION]),
    () => script('lease/generation', [`${BASE}other`], [ids(), '']),
    () => ['SET', key(pick(DEVICES), 'lease'), token(), 'PX', HOUR, 'NX'],
    () => {
      const devices = some();
      return script('lease/fence', [GENERATION, ...devices.map((device) => key(device, 'fence'))], [generation(), ...devices.map(epoch)]);
    },
    () => script('mailbox/look', [GENERATION], [generation(), ...some()]),
    astray,
    renew,
    lease,
    node,
    peek,
    peek,
    enqueue,
    enqueue,
    refill,
    refill,
    stream,
    plain,
    plain,
    plain,
  ];
  return () => pick(ways)();
}

/** An answer without what depends on the moment; of an error its first word. */
function bare(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(/:\d{13}$/, ':time');
  return Array.isArray(value) ? value.map(bare) : value;
}
const failed = (error: unknown): Answer => ({ error: (error instanceof Error ? error.message : String(error)).split(' ')[0] ?? '' });

function ofModel(server: RedisServer, [title, ...args]: Command): Answer {
  try {
    return { ok: bare(server.run(title, args)) };
  } catch (error) {
    return failed(error);
  }
}
/** all in one pipeline: what is asked does not depend on the answers */
async function ofServer(redis: Redis, commands: readonly Command[]): Promise<Answer[]> {
  const pipeline = redis.pipeline();
  for (const [title, ...args] of commands) pipeline.call(title, ...args);
  const replies = (await pipeline.exec()) ?? [];
  return replies.map(([error, reply]) => (error === null ? { ok: bare(reply) } : failed(error)));
}

/** Every key with what it holds; scores that are times are left out. */
async function contentsOfServer(redis: Redis): Promise<Record<string, unknown>> {
  const contents: Record<string, unknown> = {};
  for (const name of await redis.keys('*')) {
    const type = await redis.type(name);
    if (type === 'string') contents[name] = bare(await redis.get(name));
    else if (type === 'hash') contents[name] = await redis.hgetall(name);
    else if (type === 'zset') contents[name] = (await redis.zrange(name, '0', '-1')).sort();
    else {
      const info = (await redis.call('XINFO', 'STREAM', name)) as (string | number)[];
      contents[name] = { last: info[info.indexOf('last-generated-id') + 1], entries: await redis.xrange(name, '-', '+') };
    }
  }
  return contents;
}
function contentsOfModel(server: RedisServer): Record<string, unknown> {
  const contents: Record<string, unknown> = {};
  for (const name of [...server.keys()]) {
    const value = server.peek(name);
    if (value?.type === 'string') contents[name] = bare(value.text);
    else if (value?.type === 'hash') contents[name] = Object.fromEntries(value.fields);
    else if (value?.type === 'zset') contents[name] = [...value.scores.keys()].sort();
    else if (value !== undefined)
      contents[name] = { last: `${value.last}-0`, entries: value.entries.map((entry) => [`${entry.id}-0`, entry.fields]) };
  }
  return contents;
}

describe('the simulated Redis', () => {
  let real: TestRedis;
  let redis: Redis;
  beforeAll(async () => {
    real = await startRedis();
    redis = connectRedis(real.url, { role: 'general', name: 'conformance' });
  });
  afterAll(async () => {
    redis?.disconnect();
    await real?.stop();
  });

  it.each(Array.from({ length: SEEDS }, (_, index) => index + 1))(
    'answers as the real server does, seed %i',
    { timeout: 300_000 },
    async (seed) => {
      await real.flush();
      const model = createRedisServer('model', { wall: () => systemClock.wall(), published: () => {} });
      const next = makeSteps(seededDice(seed));
      const commands = Array.from({ length: STEPS }, () => next());
      const expected = await ofServer(redis, commands);
      commands.forEach((command, step) => {
        expect(ofModel(model, command), `step ${step}: ${JSON.stringify(command)}`).toEqual(expected[step]);
      });
      expect(contentsOfModel(model)).toEqual(await contentsOfServer(redis));
      // a run in which everything was refused proves nothing
      expect(new Set(expected.map((answer) => JSON.stringify(answer).slice(0, 40))).size).toBeGreaterThan(40);
    },
  );

  it('knows every script of the product that a node runs', () => {
    const model = createRedisServer('model', { wall: () => systemClock.wall(), published: () => {} });
    for (const name of SCRIPTS) expect(() => model.run('EVAL', [scriptText(name), '1', 'nothing', '']), name).not.toThrow(SyntaxError);
  });

  it('forgets its scripts when it starts again, and says NOSCRIPT', () => {
    const model = createRedisServer('model', { wall: () => systemClock.wall(), published: () => {} });
    model.run('EVAL', [scriptText('lease/release'), '0']);
    model.restore(model.dump());
    expect(() => model.run('EVALSHA', ['0'.repeat(40), '0'])).toThrow(/^NOSCRIPT/);
  });
});
