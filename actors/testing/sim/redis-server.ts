import { createHash } from 'node:crypto';
import { compileLua, type LuaCommand, type LuaRedis, type LuaScript, LuaTable, type LuaValue } from './lua.ts';

/**
 * A Redis of the simulated world: the commands that the product uses, over keys with a time to live, and the product's real Lua scripts
 * (translated, lua.ts). Conformance with the real server: redis-conformance.itest.ts.
 *
 * Owns: the keys, the script cache, who is subscribed. Does not own: the network (network.ts).
 * V1 A script runs whole. V2 A key past its time is not there. V3 An error is an Error with Redis' own first word.
 */
export interface StreamValue {
  readonly type: 'stream';
  entries: { readonly id: number; readonly fields: readonly string[] }[];
  last: number;
}
type Value =
  | { readonly type: 'string'; text: string }
  | { readonly type: 'hash'; readonly fields: Map<string, string> }
  | { readonly type: 'zset'; readonly scores: Map<string, number> }
  | StreamValue;
interface Slot {
  value: Value;
  /** server's wall ms; undefined = for ever */
  until: number | undefined;
}
export type Reply = string | number | null | Reply[];

/** What stands in the server at one moment; used by rollbacks. */
export type Dump = ReadonlyMap<string, Slot>;

export interface RedisServer {
  readonly name: string;
  /** @throws Error as the server answers it */
  run(command: string, args: readonly string[]): Reply;
  /** wall ms by the server's own clock */
  wall(): number;
  flush(): void;
  dump(): Dump;
  /** a restart with this as its contents; scripts are forgotten, the run id is another */
  restore(dump: Dump): void;
  /** the live value of a key, for the checks */
  peek(key: string): Value | undefined;
  keys(): IterableIterator<string>;
  wallOffset: number;
}

export interface RedisHooks {
  wall(): number;
  published(channel: string, text: string): void;
  /** before and after a script of the product runs: the checks look here */
  audit?: ((sha: string, keys: readonly string[], args: readonly string[], run: () => Reply) => Reply) | undefined;
}

const WRONG_TYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value';
const fail = (message: string): never => {
  throw new Error(message);
};
const compiled = new Map<string, LuaScript>();
const shas = new Map<string, string>();
const shaOf = (lua: string): string => {
  const known = shas.get(lua);
  if (known !== undefined) return known;
  const sha = createHash('sha1').update(lua).digest('hex');
  shas.set(lua, sha);
  return sha;
};

function copyOf(value: Value): Value {
  switch (value.type) {
    case 'string':
      return { type: 'string', text: value.text };
    case 'hash':
      return { type: 'hash', fields: new Map(value.fields) };
    case 'zset':
      return { type: 'zset', scores: new Map(value.scores) };
    case 'stream':
      return { type: 'stream', entries: [...value.entries], last: value.last };
  }
}

/** Numbers from Lua are cut to whole ones, a table ends at its first nil: as the server turns a script's result into a reply. */
function replyOf(value: LuaValue): Reply {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return Math.trunc(value);
  if (value instanceof LuaTable) {
    const replies: Reply[] = [];
    for (const one of value.list) {
      if (one === undefined) break;
      replies.push(replyOf(one));
    }
    return replies;
  }
  return value === true ? 1 : null;
}
/** The reply's own lists become the tables: nobody else has them. */
function luaOf(reply: Reply): LuaValue {
  if (reply === null) return false;
  if (!Array.isArray(reply)) return reply;
  const list = reply as unknown as LuaValue[];
  for (let i = 0; i < reply.length; i++) list[i] = luaOf(reply[i] as Reply);
  return new LuaTable(list);
}

const runIdOf = (name: string, run: number): string => createHash('sha1').update(`${name} ${run}`).digest('hex');

export function createRedisServer(name: string, hooks: RedisHooks): RedisServer {
  let slots = new Map<string, Slot>();
  let loaded = new Set<string>();
  let runs = 1;
  let runId = runIdOf(name, runs);
  const wall = (): number => hooks.wall() + server.wallOffset;

  const find = (key: string): Slot | undefined => {
    const slot = slots.get(key);
    if (slot === undefined || slot.until === undefined || slot.until > wall()) return slot;
    slots.delete(key);
    return undefined;
  };
  const typed = <T extends Value['type']>(key: string, type: T): Extract<Value, { type: T }> | undefined => {
    const value = find(key)?.value;
    if (value !== undefined && value.type !== type) fail(WRONG_TYPE);
    return value as Extract<Value, { type: T }> | undefined;
  };
  const make = <T extends Value>(key: string, found: T | undefined, fresh: () => T): T => {
    if (found !== undefined) return found;
    const value = fresh();
    slots.set(key, { value, until: undefined });
    return value;
  };
  const hash = (key: string) => make(key, typed(key, 'hash'), () => ({ type: 'hash' as const, fields: new Map<string, string>() })).fields;
  const sorted = (key: string): string[] => {
    const scores = typed(key, 'zset')?.scores;
    if (scores === undefined) return [];
    return [...scores].sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1)).map(([member]) => member);
  };

  const set = (key: string, text: string, options: readonly string[]): Reply => {
    const before = find(key);
    let until: number | undefined;
    for (let i = 0; i < options.length; i++) {
      const option = String(options[i]).toUpperCase();
      if (option === 'PX') until = wall() + Number(options[++i]);
      else if (option === 'KEEPTTL') until = before?.until;
      else if (option === 'NX') {
        if (before !== undefined) return null;
      } else fail(`ERR syntax error: SET ${option} is not simulated`);
    }
    slots.set(key, { value: { type: 'string', text }, until });
    return 'OK';
  };
  const xadd = (key: string, id: string, fields: readonly string[]): Reply => {
    const stream = make(key, typed(key, 'stream'), () => ({ type: 'stream' as const, entries: [], last: 0 }));
    const seq = Number(id.slice(0, -2));
    if (!id.endsWith('-0') || !Number.isSafeInteger(seq)) fail('ERR Invalid stream ID specified as stream command argument');
    if (seq <= stream.last) {
      if (stream.last === 0 && stream.entries.length === 0) slots.delete(key);
      fail('ERR The ID specified in XADD is equal or smaller than the target stream top item');
    }
    stream.entries.push({ id: seq, fields });
    stream.last = seq;
    return id;
  };
  const remove = (map: Map<string, unknown> | undefined, key: string, members: readonly string[]): number => {
    let count = 0;
    if (map === undefined) return 0;
    for (const member of members) if (map.delete(member)) count += 1;
    if (map.size === 0) slots.delete(key);
    return count;
  };

  /** `a`: the arguments, numbers as text */
  const COMMANDS: Readonly<Record<string, (a: readonly string[]) => Reply>> = {
    PING: () => 'PONG',
    INFO: () => `# Server\r\nrun_id:${runId}\r\n`,
    GET: (a) => typed(a[0] ?? '', 'string')?.text ?? null,
    MGET: (keys) =>
      keys.map((key) => {
        const value = find(key)?.value;
        return value?.type === 'string' ? value.text : null;
      }),
    SET: ([key = '', text = '', ...options]) => set(key, text, options),
    DEL: (keys) => keys.reduce((count, key) => count + (find(key) !== undefined && slots.delete(key) ? 1 : 0), 0),
    EXISTS: (keys) => keys.filter((key) => find(key) !== undefined).length,
    PEXPIRE: (a) => {
      const slot = find(a[0] ?? '');
      if (slot === undefined) return 0;
      slot.until = wall() + Number(a[1]);
      return 1;
    },
    TIME: () => {
      const micros = Math.round(wall() * 1000);
      return [String(Math.floor(micros / 1_000_000)), String(micros % 1_000_000)];
    },
    HGET: ([key = '', field = '']) => typed(key, 'hash')?.fields.get(field) ?? null,
    HMGET: (a) => {
      const map = typed(a[0] ?? '', 'hash')?.fields;
      const values: Reply[] = [];
      for (let i = 1; i < a.length; i++) values.push(map?.get(a[i] ?? '') ?? null);
      return values;
    },
    HSET: ([key = '', ...pairs]) => {
      const map = hash(key);
      const before = map.size;
      for (let i = 0; i < pairs.length; i += 2) map.set(pairs[i] ?? '', pairs[i + 1] ?? '');
      return map.size - before;
    },
    HSETNX: ([key = '', field = '', text = '']) => {
      const map = hash(key);
      if (map.has(field)) return 0;
      map.set(field, text);
      return 1;
    },
    HDEL: ([key = '', ...fields]) => remove(typed(key, 'hash')?.fields, key, fields),
    HINCRBY: ([key = '', field = '', by]) => {
      const map = hash(key);
      const value = Number(map.get(field) ?? '0') + Number(by);
      map.set(field, String(value));
      return value;
    },
    XLEN: (a) => typed(a[0] ?? '', 'stream')?.entries.length ?? 0,
    XADD: ([key = '', id = '', ...fields]) => xadd(key, id, fields),
    XDEL: ([key = '', ...ids]) => {
      const stream = typed(key, 'stream');
      if (stream === undefined) return 0;
      let gone = 0;
      for (const id of ids) {
        const seq = Number(id.slice(0, -2));
        const at = stream.entries.findIndex((entry) => entry.id === seq);
        if (at < 0) continue;
        stream.entries.splice(at, 1);
        gone += 1;
      }
      return gone;
    },
    XRANGE: ([key = '', , , , count]) => {
      const entries = typed(key, 'stream')?.entries;
      const shown: Reply[] = [];
      if (entries === undefined) return shown;
      const most = count === undefined ? entries.length : Math.min(entries.length, Number(count));
      for (let i = 0; i < most; i++) {
        const entry = entries[i] as StreamValue['entries'][number];
        shown.push([`${entry.id}-0`, entry.fields.slice()]);
      }
      return shown;
    },
    ZADD: ([key = '', ...rest]) => {
      const nx = rest[0]?.toUpperCase() === 'NX';
      const [score, member = ''] = nx ? rest.slice(1) : rest;
      const { scores } = make(key, typed(key, 'zset'), () => ({ type: 'zset' as const, scores: new Map<string, number>() }));
      const known = scores.has(member);
      if (!known || !nx) scores.set(member, Number(score));
      return known ? 0 : 1;
    },
    ZREM: ([key = '', ...members]) => remove(typed(key, 'zset')?.scores, key, members),
    ZRANGE: ([key = '', from, to]) => sorted(key).slice(Number(from), Number(to) < 0 ? undefined : Number(to) + 1),
    ZREMRANGEBYSCORE: ([key = '', , most]) => {
      const scores = typed(key, 'zset')?.scores;
      const gone = [...(scores ?? [])].filter(([, score]) => score <= Number(most)).map(([member]) => member);
      return remove(scores, key, gone);
    },
    PUBLISH: ([channel = '', text = '']) => {
      hooks.published(channel, text);
      return 1;
    },
    SUBSCRIBE: () => 'OK',
  };
  const command = (title: string, args: readonly string[]): Reply => {
    const handler = COMMANDS[title];
    return handler === undefined ? fail(`ERR unknown command '${title}'`) : handler(args);
  };
  const luaRedis: LuaRedis = Object.fromEntries(
    Object.entries(COMMANDS).map(([title, handler]): [string, LuaCommand] => [
      title,
      (args) => {
        for (let i = 0; i < args.length; i++) if (typeof args[i] !== 'string') args[i] = String(args[i]);
        return luaOf(handler(args as string[]));
      },
    ]),
  );
  const script = (sha: string, words: readonly string[]): Reply => {
    const body = compiled.get(sha);
    if (body === undefined) return fail('NOSCRIPT No matching script. Please use EVAL.');
    const end = 2 + Number(words[1]);
    const keys = words.slice(2, end);
    const args = words.slice(end);
    const run = (): Reply => replyOf(body(luaRedis, keys, args));
    return hooks.audit === undefined ? run() : hooks.audit(sha, keys, args, run);
  };

  const server: RedisServer = {
    name,
    wallOffset: 0,
    wall,
    run(title, args) {
      if (title === 'EVALSHA') {
        const sha = args[0] ?? '';
        return loaded.has(sha) ? script(sha, args) : fail('NOSCRIPT No matching script. Please use EVAL.');
      }
      if (title !== 'EVAL') return command(title, args);
      const lua = args[0] ?? '';
      const sha = shaOf(lua);
      if (!compiled.has(sha)) compiled.set(sha, compileLua(lua));
      loaded.add(sha);
      return script(sha, args);
    },
    flush: () => slots.clear(),
    dump: () => new Map([...slots].map(([key, slot]) => [key, { value: copyOf(slot.value), until: slot.until }])),
    restore(dump) {
      slots = new Map([...dump].map(([key, slot]) => [key, { value: copyOf(slot.value), until: slot.until }]));
      loaded = new Set();
      runId = runIdOf(name, ++runs);
    },
    peek: (key) => find(key)?.value,
    keys: () => slots.keys(),
  };
  return server;
}
