import { connectRedis, type Redis, redisReady } from '../../ops/connect/index.ts';
import { type Clock, seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry, type Telemetry } from '../../ops/telemetry/index.ts';
import type { TestDatabase, TestRedis } from '../../ops/testing/index.ts';
import { nodeChannel, type ToNode, uuidV7 } from '../../schema/domain/index.ts';
import { createDevices, createTenant } from '../../schema/sql/index.ts';
import {
  createOwnership,
  createOwnershipLedger,
  type OwnedDevice,
  type Ownership,
  type OwnershipDeps,
  type OwnershipOptions,
} from './index.ts';

/** Whole nodes for integration tests: ownership on real servers with a listener that keeps a history. */

export interface Counted {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  value: number;
}

export interface TestNode {
  readonly id: string;
  readonly ownership: Ownership;
  readonly grants: { readonly device: OwnedDevice; readonly at: number }[];
  readonly fatal: Error[];
  readonly redis: Redis;
  settleMs: number;
  /** what the host says of devices */
  readonly engaged: Map<string, 'SENDING' | 'PAIRING'>;
  counted(name: string, label?: string): number;
  /** from now on no timer of the node runs and nothing is received: like a killed process, the leases just stay */
  freeze(): void;
  thaw(): void;
  close(): Promise<void>;
}

/** A clock whose timers can be held back; its time goes on, as it does for a stopped process. */
export function freezableClock(): Clock & { freeze(): void; thaw(): void; skipWall(ms: number): void } {
  let frozen = false;
  let skipped = 0;
  let held: (() => void)[] = [];
  return {
    wall: () => systemClock.wall() + skipped,
    monotonic: () => systemClock.monotonic(),
    after: (ms, task) =>
      systemClock.after(ms, () => {
        if (frozen) held.push(task);
        else task();
      }),
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
    freeze() {
      frozen = true;
    },
    thaw() {
      frozen = false;
      const due = held;
      held = [];
      for (const task of due) task();
    },
    skipWall(ms) {
      skipped += ms;
    },
  };
}

export interface NodeSettings extends Partial<Omit<OwnershipOptions, 'nodeId'>> {
  readonly lockUrls?: readonly string[];
  readonly deps?: Partial<OwnershipDeps>;
  readonly clock?: ReturnType<typeof freezableClock>;
}

export async function startNode(id: string, redis: TestRedis, database: TestDatabase, settings: NodeSettings = {}): Promise<TestNode> {
  const { lockUrls, deps, clock = freezableClock(), ...options } = settings;
  const client = connectRedis(redis.url, { role: 'lease', name: `${id}-lease` });
  const subscriber = connectRedis(redis.url, { role: 'subscriber', name: `${id}-subscriber` });
  const masters = lockUrls?.map((url) => connectRedis(url, { role: 'lease', name: `${id}-lock` })) ?? [client];
  await Promise.all([client, subscriber, ...masters].map((one) => redisReady(one)));
  const counts: Counted[] = [];
  let deaf = false;
  const handlers = new Map<string, (message: never) => void>();
  subscriber.on('message', (_channel, text) => {
    if (deaf) return;
    for (const message of JSON.parse(text) as ToNode[]) handlers.get(message.kind)?.(message as never);
  });
  await subscriber.subscribe(nodeChannel(id));
  const grants: TestNode['grants'] = [];
  const fatal: Error[] = [];
  const node = { settleMs: 0, engaged: new Map<string, 'SENDING' | 'PAIRING'>() };
  const ownership = createOwnership(
    {
      redis: client,
      lockMasters: masters,
      bus: {
        on: (kind, handler) => {
          handlers.set(kind, handler as (message: never) => void);
          return () => void handlers.delete(kind);
        },
        publish: (channel, messages) => void client.publish(channel, JSON.stringify(messages)).catch(() => 0),
      },
      ledger: createOwnershipLedger(database.sql),
      listener: {
        granted: (devices) => {
          for (const device of devices) grants.push({ device, at: systemClock.monotonic() });
        },
        engaged: (deviceId) => node.engaged.get(deviceId) ?? null,
        settle: async () => {
          if (node.settleMs > 0) await systemClock.sleep(node.settleMs);
        },
      },
      clock,
      dice: seededDice(7),
      telemetry: countingTelemetry(id, counts),
      fatal: (error) => void fatal.push(error),
      ...deps,
    },
    {
      version: '1.0.0',
      host: 'test',
      capacity: 10_000,
      ttlMs: TEST_TTL_MS,
      renewMs: 1000,
      scanMs: 150,
      marginMs: 200,
      ...options,
      // a busy machine must not make a slow target look silent
      tuning: { confirmMs: 10_000, ...options.tuning },
      nodeId: id,
    },
  );
  let closed = false;
  return {
    id,
    ownership,
    grants,
    fatal,
    redis: client,
    engaged: node.engaged,
    get settleMs() {
      return node.settleMs;
    },
    set settleMs(value) {
      node.settleMs = value;
    },
    counted: (name, label) =>
      counts
        .filter((one) => one.name === name && (label === undefined || Object.values(one.labels).includes(label)))
        .reduce((sum, one) => sum + one.value, 0),
    freeze() {
      deaf = true;
      clock.freeze();
    },
    thaw() {
      deaf = false;
      clock.thaw();
    },
    async close() {
      if (closed) return;
      closed = true;
      clock.thaw();
      await ownership.stop();
      for (const one of new Set([client, subscriber, ...masters])) one.disconnect();
    },
  };
}

function countingTelemetry(id: string, counts: Counted[]): Telemetry {
  const base = createTelemetry({ service: 'test', instance: id, level: 'error', samplePercent: 0 });
  const level = process.env['TEST_LOG'] === undefined ? 'error' : 'debug';
  const log = createTelemetry({ service: 'test', instance: id, level, samplePercent: 0 }).log;
  return { ...base, log, count: (name, value = 1, labels = {}) => void counts.push({ name, value, labels }) };
}

/** Makes a tenant and its devices; resolves with the ids. */
export async function makeDevices(database: TestDatabase, count: number): Promise<string[]> {
  const tenantId = uuidV7(systemClock.wall());
  await createTenant(database.sql, { id: tenantId, name: `tenant ${tenantId}` });
  const ids = Array.from({ length: count }, () => uuidV7(systemClock.wall()));
  await createDevices(
    database.sql,
    ids.map((id) => ({ id, tenantId, name: id, transport: 'simulator' })),
  );
  return ids;
}

/** The TTL of the nodes of tests, ms: short enough to wait for, long enough that a loop that is late on a busy machine loses nothing. */
export const TEST_TTL_MS = 3000;

/** How long a test waits for anything before it gives up, ms: far above what a busy machine needs, so that no test fails for its load. */
export const GIVE_UP_MS = 60_000;

/** Waits until the condition holds; @throws after GIVE_UP_MS with what was being waited for. Resolves with how long it took, ms. */
export async function eventually(what: string, holds: () => boolean): Promise<number> {
  const start = systemClock.monotonic();
  while (!holds()) {
    if (systemClock.monotonic() - start > GIVE_UP_MS) throw new Error(`not within ${GIVE_UP_MS} ms: ${what}`);
    await systemClock.sleep(5);
  }
  return systemClock.monotonic() - start;
}

/** Waits until what is read has stayed the same for `ms`; @throws after GIVE_UP_MS. Resolves with it. */
export async function settled<T extends number | string>(what: string, read: () => T, ms: number): Promise<T> {
  const start = systemClock.monotonic();
  for (let [value, since] = [read(), start]; ; ) {
    await systemClock.sleep(10);
    const now = systemClock.monotonic();
    const next = read();
    if (next !== value) [value, since] = [next, now];
    else if (now - since >= ms) return value;
    if (now - start > GIVE_UP_MS) throw new Error(`not still within ${GIVE_UP_MS} ms: ${what}`);
  }
}

/** Devices for which two of the nodes could act at the same moment. */
export function overlaps(nodes: readonly TestNode[]): string[] {
  const acting = new Map<string, string>();
  const twice: string[] = [];
  for (const node of nodes) {
    for (const grant of node.grants) {
      if (!grant.device.canAct()) continue;
      if (acting.has(grant.device.deviceId)) twice.push(grant.device.deviceId);
      acting.set(grant.device.deviceId, node.id);
    }
  }
  return twice;
}
