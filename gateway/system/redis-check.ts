import type { Redis } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';

/** What `/api/system/redis-check` answers. Never holds a password. */
export interface RedisReport {
  readonly ok: boolean;
  readonly client: string;
  /** without user and password */
  readonly address: string;
  readonly reachable: boolean;
  readonly server: { readonly software: string; readonly version: string; readonly mode: string; readonly uptimeSeconds: number } | null;
  readonly persistence: {
    readonly aof: boolean;
    readonly appendfsync: string | null;
    readonly rdb: boolean;
    readonly lastSaveOk: boolean;
    readonly lastAofWriteOk: boolean;
  } | null;
  readonly evictionPolicy: string | null;
  /** median of five pings */
  readonly latencyMs: number | null;
  readonly memory: { readonly usedBytes: number; readonly maxBytes: number; readonly fragmentation: number } | null;
  readonly problems: readonly { readonly code: string; readonly message: string; readonly mend: string }[];
}

const PINGS = 5;
const SLOW_MS = 5;
const FULL = 0.8;

/** Lines `name:value` of INFO. */
export function readInfo(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** The address without credentials and without query, which may hold some too. */
export function plainAddress(url: string): string {
  try {
    const { protocol, hostname, port, pathname } = new URL(url);
    return `${protocol}//${hostname}:${port === '' ? '6379' : port}${pathname === '/' ? '' : pathname}`;
  } catch {
    return 'unreadable';
  }
}

type Facts = Omit<RedisReport, 'ok' | 'problems'>;

/** What is wrong, and how to mend it. Pure. */
export function problemsOf(facts: Facts): RedisReport['problems'] {
  const problems: { code: string; message: string; mend: string }[] = [];
  const add = (code: string, message: string, mend: string): void => void problems.push({ code, message, mend });
  if (!facts.reachable || facts.server === null) {
    add('UNREACHABLE', `no answer from ${facts.address}`, 'start the server, check REDIS_URL, the network and the password');
    return problems;
  }
  const major = Number.parseInt(facts.server.version, 10);
  if (facts.server.software === 'redis' && major < 7) {
    add('VERSION', `version ${facts.server.version} is older than 7.0`, 'install Redis 7.0 or later, or Valkey');
  }
  if (facts.evictionPolicy !== null && facts.evictionPolicy !== 'noeviction') {
    add(
      'EVICTION',
      `maxmemory-policy is ${facts.evictionPolicy}: leases and mailboxes could be thrown away`,
      'CONFIG SET maxmemory-policy noeviction',
    );
  }
  const kept = facts.persistence;
  if (kept !== null && !kept.aof) {
    add(
      'AOF_OFF',
      'the append-only file is off: a restart empties mailboxes, which are then rebuilt from Postgres',
      'CONFIG SET appendonly yes',
    );
  }
  if (kept !== null && (!kept.lastSaveOk || !kept.lastAofWriteOk)) {
    add('WRITE_FAILED', 'the last save or append failed', 'look at the log of the server: the disk may be full or not writable');
  }
  const { memory } = facts;
  if (memory !== null && memory.maxBytes > 0 && memory.usedBytes > memory.maxBytes * FULL) {
    add(
      'MEMORY',
      `${Math.round((100 * memory.usedBytes) / memory.maxBytes)} % of maxmemory is used`,
      'raise maxmemory, or give other users their own server',
    );
  }
  if (facts.latencyMs !== null && facts.latencyMs > SLOW_MS) {
    add('LATENCY', `a ping takes ${facts.latencyMs} ms`, 'bring the server nearer, or look for slow commands with SLOWLOG GET');
  }
  return problems;
}

function factsOf(
  info: ReadonlyMap<string, string>,
  config: ReadonlyMap<string, string>,
): Pick<Facts, 'server' | 'persistence' | 'memory' | 'evictionPolicy'> {
  const number = (name: string): number => Number(info.get(name) ?? 0);
  const valkey = info.get('valkey_version');
  return {
    server: {
      software: valkey === undefined ? 'redis' : 'valkey',
      version: valkey ?? info.get('redis_version') ?? 'unknown',
      mode: info.get('redis_mode') ?? info.get('server_mode') ?? 'unknown',
      uptimeSeconds: number('uptime_in_seconds'),
    },
    persistence: {
      aof: info.get('aof_enabled') === '1',
      appendfsync: config.get('appendfsync') ?? null,
      rdb: (config.get('save') ?? '') !== '',
      lastSaveOk: (info.get('rdb_last_bgsave_status') ?? 'ok') === 'ok',
      lastAofWriteOk: (info.get('aof_last_write_status') ?? 'ok') === 'ok',
    },
    evictionPolicy: info.get('maxmemory_policy') ?? null,
    memory: { usedBytes: number('used_memory'), maxBytes: number('maxmemory'), fragmentation: number('mem_fragmentation_ratio') },
  };
}

/** CONFIG may be forbidden (managed servers): what it would say is then unknown. */
async function readConfig(redis: Redis): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const name of ['appendfsync', 'save']) {
    try {
      const pair = (await redis.config('GET', name)) as unknown as string[];
      if (pair[1] !== undefined) found.set(name, pair[1]);
    } catch {
      return found;
    }
  }
  return found;
}

async function medianPing(redis: Redis, clock: Clock): Promise<number> {
  const times: number[] = [];
  for (let at = 0; at < PINGS; at++) {
    const from = clock.monotonic();
    await redis.ping();
    times.push(clock.monotonic() - from);
  }
  times.sort((a, b) => a - b);
  return Math.round((times[Math.floor(PINGS / 2)] ?? 0) * 1000) / 1000;
}

/** Looks at the server behind a client. Answers within `waitMs`, also when nobody is there. */
export async function checkRedis(
  redis: Redis,
  options: { readonly url: string; readonly clock: Clock; readonly waitMs?: number },
): Promise<RedisReport> {
  const { clock } = options;
  const nothing: Facts = {
    client: 'ioredis',
    address: plainAddress(options.url),
    reachable: false,
    server: null,
    persistence: null,
    evictionPolicy: null,
    latencyMs: null,
    memory: null,
  };
  const look = async (): Promise<Facts> => {
    const latencyMs = await medianPing(redis, clock);
    const info = readInfo(await redis.info());
    return { ...nothing, reachable: true, latencyMs, ...factsOf(info, await readConfig(redis)) };
  };
  const waiting = new AbortController();
  const late = clock.sleep(options.waitMs ?? 1000, waiting.signal).then(
    () => nothing,
    () => nothing,
  );
  const facts = await Promise.race([look().catch(() => nothing), late]);
  waiting.abort(new Error('answered'));
  const problems = problemsOf(facts);
  return { ok: problems.length === 0, ...facts, problems };
}
