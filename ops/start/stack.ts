import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Clock, systemClock } from '../lifecycle/index.ts';
import { type AppOptions, type LogLine, runApp, startApp } from './app.ts';
import { ensureDevices } from './demo-devices.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { findRedis, startEmbeddedRedis } from './embedded-redis.ts';
import { createGuardian } from './guardian.ts';
import { freePort } from './ports.ts';
import { reachable } from './reachable.ts';
import { secretsOf } from './secrets.ts';
import { createService, type Service, type ServiceEvent } from './service.ts';

/**
 * A whole running product: Redis, Postgres, schema, phones, gateways, nodes. The one mechanism behind `npm start`, the load, chaos and demo
 * commands and the integration tests. Owns the processes it started and `dataDir`; not the servers behind given addresses.
 *
 * I1 Everything started is in `services` in the order of its start, and `stop` ends them the other way round, also in the middle of a start.
 * I2 Ports are chosen once: a process that starts again comes back where it was. I3 When this process ends in any way, the guardian ends
 * every process. I4 `stop` is bounded: each process has a grace, then SIGKILL.
 */
export interface StackOptions {
  /** folder of data, keys and logs; made when missing */
  readonly dataDir: string;
  /** another build tree; default: the tree this code stands in, or dist/ of the checkout */
  readonly distDir?: string;
  readonly nodes?: number;
  readonly gateways?: number;
  /** port of the first gateway, 0 = any */
  readonly gatewayPort?: number;
  /** port of the first node's metrics, the next ones follow; 0 = any */
  readonly metricsPort?: number;
  /** false: no phones process; `args` are flags of phones-main */
  readonly phones?: false | { readonly arrivals?: string; readonly args?: readonly string[] };
  /** false: no fsync anywhere */
  readonly durable?: boolean;
  /** start processes again when they die; default false: tests do that themselves */
  readonly restart?: boolean;
  /** simulated devices that must exist in the end, made through the API */
  readonly devices?: number;
  /** settings for every process, over those of this process */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /**
   * settings for one process by name (`node-1`, `gateway-1`, `phones`, `redis`), over `env`; told the addresses of the servers that it would
   * get
   */
  readonly envOf?: (
    name: string,
    servers: { readonly redisUrl: string; readonly databaseUrl: string; readonly simulatorUrl: string },
  ) => Readonly<Record<string, string | undefined>>;
  /** words before the command of one of our processes: `ip netns exec …` */
  readonly launcherOf?: (name: string) => readonly string[];
  /** use these servers instead of embedded ones */
  readonly redisUrl?: string | undefined;
  readonly databaseUrl?: string | undefined;
  readonly onEvent?: (event: StackEvent) => void;
  readonly clock?: Clock;
}

export type StackEvent =
  | { readonly type: 'step'; readonly name: string; readonly state: 'begun' | 'done'; readonly tookMs: number }
  | { readonly type: 'note'; readonly text: string }
  | LogLine
  | ServiceEvent;

export interface StackProcess {
  readonly name: string;
  readonly pid: number;
  running(): boolean;
  kill(signal: NodeJS.Signals): void;
  /** ends it if it runs, starts it again on the same ports; resolves when it is ready */
  restart(): Promise<void>;
}
export interface StackGateway extends StackProcess {
  readonly url: string;
  readonly port: number;
}
export interface StackNode extends StackProcess {
  readonly id: string;
  readonly metricsUrl: string;
}

export interface Stack {
  readonly redisUrl: string;
  readonly databaseUrl: string;
  readonly adminKey: string;
  readonly gateways: readonly StackGateway[];
  readonly nodes: readonly StackNode[];
  /** undefined with `phones: false`; `port` is that of its TCP server */
  readonly phones: (StackProcess & { readonly port: number }) | undefined;
  /** undefined when their address was given */
  readonly redis: StackProcess | undefined;
  readonly postgres: StackProcess | undefined;
  /** one node more */
  addNode(): Promise<StackNode>;
  stop(): Promise<void>;
}

/** A stack that can be stopped while it starts. */
export interface StartingStack {
  start(): Promise<Stack>;
  stop(): Promise<void>;
}

const PHONES_ENTRY = 'actors/transports/simulator/phones-main.js';
const READY_MS = 60_000;

/** dist/ of this checkout, or the build tree in which this very file stands. */
export function defaultDistDir(): string {
  const top = fileURLToPath(new URL('../../', import.meta.url));
  return existsSync(join(top, '.stamp')) ? top : join(top, 'dist');
}

function rememberedPorts(dataDir: string): { get(name: string): number | undefined; set(name: string, port: number): void } {
  const path = join(dataDir, 'ports.json');
  let ports: Record<string, number> = {};
  try {
    ports = JSON.parse(readFileSync(path, 'utf8')) as Record<string, number>;
  } catch {
    // first start
  }
  return {
    get: (name) => ports[name],
    set(name, port) {
      ports[name] = port;
      writeFileSync(path, `${JSON.stringify(ports)}\n`);
    },
  };
}

export function createStack(options: StackOptions): StartingStack {
  const clock = options.clock ?? systemClock;
  const dataDir = resolve(options.dataDir);
  mkdirSync(dataDir, { recursive: true });
  const distDir = options.distDir ?? defaultDistDir();
  const logDir = join(dataDir, 'logs');
  const onEvent = options.onEvent ?? (() => {});
  const durable = options.durable ?? true;
  const guardian = createGuardian();
  const deps = { clock, guardian };
  const ports = rememberedPorts(dataDir);
  const baseEnv = { ...process.env, ...options.env };
  const secrets = secretsOf(options.env ?? {}, dataDir);
  const services: Service[] = [];
  const shared: Record<string, string | undefined> = {
    DATA_DIR: dataDir,
    ADMIN_API_KEY: secrets.adminKey,
    SESSION_KEYS: secrets.sessionKeys,
    DATABASE_URL: options.databaseUrl,
    REDIS_URL: options.redisUrl,
  };
  let stopping: Promise<void> | undefined;
  let migration: { kill(signal: NodeJS.Signals): void } | undefined;

  const step = async <T>(name: string, task: () => Promise<T>): Promise<T> => {
    if (stopping !== undefined) throw new Error('the stack was stopped while it started');
    const began = clock.monotonic();
    onEvent({ type: 'step', name, state: 'begun', tookMs: 0 });
    const result = await task();
    onEvent({ type: 'step', name, state: 'done', tookMs: clock.monotonic() - began });
    return result;
  };
  const keep = (name: string, graceMs: number, launch: Parameters<typeof createService>[1]['launch']): Service => {
    const service = createService(deps, { name, launch, graceMs, restart: options.restart ?? false, onEvent });
    services.push(service);
    return service;
  };
  const serverLog =
    (name: string) =>
    (line: string): void => {
      if (/FATAL|PANIC/.test(line) && !/shutting down|starting up/.test(line)) {
        onEvent({ type: 'log', name, level: 'error', event: line, fields: {} });
      }
    };
  const startServers = async (): Promise<{ redis: Service | undefined; postgres: Service | undefined }> => {
    let redis: Service | undefined;
    let postgres: Service | undefined;
    const { redisUrl, databaseUrl } = options;
    if (redisUrl !== undefined) await step('Redis (given)', () => reachable('REDIS_URL', redisUrl, 6379));
    if (databaseUrl !== undefined) await step('Postgres (given)', () => reachable('DATABASE_URL', databaseUrl, 5432));
    if (options.redisUrl === undefined) {
      const binary = await step('Redis server', () => findRedis(baseEnv, dataDir, (text) => onEvent({ type: 'note', text })));
      redis = keep('redis', 8_000, async (began) => {
        const preferred = ports.get('redis');
        const where = preferred === undefined ? {} : { preferredPort: preferred };
        const env = options.envOf?.('redis', servers()) ?? {};
        const onLine = serverLog('redis');
        const server = await startEmbeddedRedis(deps, { dataDir, durable, binary, env, onLine, onChild: began, ...where });
        ports.set('redis', server.port);
        shared['REDIS_URL'] = server.url;
        return { child: server.child, ready: { port: server.port } };
      });
    }
    if (options.databaseUrl === undefined) {
      postgres = keep('postgres', 10_000, async (began) => {
        const preferred = ports.get('postgres');
        const where = preferred === undefined ? {} : { preferredPort: preferred };
        const server = await startEmbeddedPostgres(deps, { dataDir, durable, onLine: serverLog('postgres'), onChild: began, ...where });
        ports.set('postgres', server.port);
        shared['DATABASE_URL'] = server.url;
        return { child: server.child, ready: { port: server.port } };
      });
    }
    const [first, second] = [redis, postgres];
    await Promise.all([
      first === undefined ? undefined : step('Redis', () => first.start()),
      second === undefined ? undefined : step('Postgres', () => second.start()),
    ]);
    return { redis, postgres };
  };
  const servers = () => ({
    redisUrl: shared['REDIS_URL'] ?? '',
    databaseUrl: shared['DATABASE_URL'] ?? '',
    simulatorUrl: shared['SIMULATOR_URL'] ?? '',
  });
  const app = (name: string, entry: string, args: readonly string[], env: Record<string, string | undefined>): AppOptions => ({
    name,
    distDir,
    entry,
    args,
    logDir,
    env: { ...baseEnv, ...shared, NODE_ID: name, ...env, ...options.envOf?.(name, servers()) },
    launcher: options.launcherOf?.(name) ?? [],
    readyWithinMs: READY_MS,
    onLog: onEvent,
  });
  const drainMs = Number(baseEnv['DRAIN_MS'] ?? 8_000) + 2_000;

  /** I2: the port of the first time, else the wanted one, else one that stays ours */
  const portFor = async (had: number | undefined, wanted: number): Promise<number> => had ?? (wanted === 0 ? freePort() : wanted);

  const startPhones = async (): Promise<Service | undefined> => {
    if (options.phones === false) return undefined;
    const { arrivals, args = [] } = options.phones ?? {};
    const flags = [...args, ...(arrivals === undefined ? [] : ['--arrivals', arrivals])];
    const phones: Service = keep('phones', 4_000, async (began) =>
      startApp(deps, app('phones', PHONES_ENTRY, ['--port', String(await portFor(phones.ready.port, 0)), ...flags], {}), began),
    );
    await step('phones (simulated)', () => phones.start());
    shared['SIMULATOR_URL'] = `tcp://127.0.0.1:${phones.ready.port}`;
    return phones;
  };
  const newNode = (index: number): Service => {
    const wanted = options.metricsPort === undefined || options.metricsPort === 0 ? 0 : options.metricsPort + index;
    const node: Service = keep(`node-${index + 1}`, drainMs, async (began) =>
      startApp(
        deps,
        app(node.name, 'actors/main.js', [], { METRICS_PORT: String(await portFor(node.ready.metricsPort, wanted)), PORT: undefined }),
        began,
      ),
    );
    return node;
  };
  const newGateway = (index: number): Service => {
    const wanted = index === 0 ? (options.gatewayPort ?? 0) : 0;
    const gateway: Service = keep(`gateway-${index + 1}`, drainMs, async (began) =>
      startApp(deps, app(gateway.name, 'gateway/main.js', [], { PORT: String(await portFor(gateway.ready.port, wanted)) }), began),
    );
    return gateway;
  };
  const asNode = (service: Service): StackNode =>
    Object.defineProperties(processOf(service), {
      id: { value: service.name, enumerable: true },
      metricsUrl: { get: () => `http://127.0.0.1:${service.ready.metricsPort ?? 0}`, enumerable: true },
    }) as StackNode;

  const start = async (): Promise<Stack> => {
    const { redis, postgres } = await startServers();
    await step('database schema', async () => {
      await runApp(deps, app('migrate', 'schema/migrations/main.js', [], {}), (child) => {
        migration = child;
      });
    });
    const phones = await startPhones();
    const gateways = Array.from({ length: options.gateways ?? 1 }, (_, index) => newGateway(index));
    const nodes = Array.from({ length: options.nodes ?? 2 }, (_, index) => newNode(index));
    await step(`${gateways.length} gateway, ${nodes.length} nodes`, () => startTogether([...nodes, ...gateways]));
    let nodesMade = nodes.length;
    const gatewayViews = gateways.map((service) => {
      const port = service.ready.port ?? 0;
      return Object.assign(processOf(service), { port, url: `http://127.0.0.1:${port}` });
    });
    for (const gateway of gatewayViews)
      await step(`${gateway.name} /ready`, () => untilReady(clock, gateway.url, () => stopping !== undefined));
    const first = gatewayViews[0];
    if (options.devices !== undefined && first !== undefined) {
      const wanted = options.devices;
      await step(`${wanted} simulated devices`, () => ensureDevices({ url: first.url, key: secrets.adminKey }, wanted));
    }
    const nodeViews = nodes.map(asNode);
    return {
      redisUrl: shared['REDIS_URL'] ?? '',
      databaseUrl: shared['DATABASE_URL'] ?? '',
      adminKey: secrets.adminKey,
      gateways: gatewayViews,
      nodes: nodeViews,
      phones: phones === undefined ? undefined : Object.assign(processOf(phones), { port: phones.ready.port ?? 0 }),
      redis: redis === undefined ? undefined : processOf(redis),
      postgres: postgres === undefined ? undefined : processOf(postgres),
      async addNode() {
        const service = newNode(nodesMade++);
        await service.start();
        const view = asNode(service);
        nodeViews.push(view);
        return view;
      },
      stop,
    };
  };
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      migration?.kill('SIGTERM');
      const phase = (wanted: (name: string) => boolean): Promise<unknown> =>
        Promise.allSettled(services.filter(({ name }) => wanted(name)).map((service) => service.stop()));
      await phase((name) => name.startsWith('gateway-'));
      await phase((name) => name.startsWith('node-'));
      await phase((name) => name === 'phones');
      await phase((name) => name === 'postgres');
      await phase((name) => name === 'redis');
      guardian.close();
    })();
    return stopping;
  };
  return { start, stop };
}

function processOf(service: Service): StackProcess {
  return Object.defineProperty(
    {
      name: service.name,
      pid: 0,
      running: () => service.running(),
      kill: (signal: NodeJS.Signals) => service.kill(signal),
      restart: () => service.restart(),
    },
    'pid',
    { get: () => service.pid, enumerable: true },
  );
}

/** Starts all; when one fails the first failure is thrown after the others have settled. */
async function startTogether(services: readonly Service[]): Promise<void> {
  const outcomes = await Promise.allSettled(services.map((service) => service.start()));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

async function untilReady(clock: Clock, url: string, given: () => boolean): Promise<void> {
  let last = '';
  for (const began = clock.monotonic(); clock.monotonic() - began < READY_MS; await clock.sleep(100)) {
    if (given()) throw new Error('the stack was stopped while it started');
    try {
      const answer = await fetch(`${url}/ready`, { signal: AbortSignal.timeout(5_000) });
      last = `${answer.status} ${await answer.text()}`;
      if (answer.status === 200) return;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
  }
  throw new Error(`${url}/ready did not become 200; last answer: ${last}`);
}

/**
 * Starts a whole stack and waits until its gateways are ready. Everything is stopped again when a part of it fails.
 * @throws Error naming the part that failed, with its last words
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const stack = createStack(options);
  try {
    return await stack.start();
  } catch (error) {
    await stack.stop();
    throw error;
  }
}
