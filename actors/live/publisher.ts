import type { Redis } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { type DeviceRecord, isRemoved, liveKeys, type MessageEventRecord, type RemovedDevice } from '../../schema/domain/index.ts';
import { append, type LiveStreamName, type StreamPosition } from './append.ts';

/**
 * The writing side of the live streams: nodes and gateways say what changed, readers see it numbered.
 * Owns: what is said and not yet in Redis. Does not own: the truth (Postgres) nor the records (their owner can say them again).
 * Called by actors/node and gateway/accept.
 * I1 `device` and `messages` never wait and never throw: live state must not slow a send.
 * I2 Of one device only the newest record by (epoch, version) is kept; the buffer is bounded by the number of devices.
 * I3 Events are kept in order while Redis is away, at most `maxEvents`; if some had to be dropped, the stream gets a new epoch, so
 *    that every reader sees the break.
 * I4 A new epoch of a tenant's device stream, made by whomever, makes `resend` run once for it.
 */
export interface Live {
  device(tenantId: string, record: DeviceRecord): void;
  /** the device is gone for good: readers are told, and late words about it count no more */
  removed(tenantId: string, deviceId: string): void;
  messages(tenantId: string, events: readonly MessageEventRecord[]): void;
  /** `hook` says every device record of the tenant again through `device` */
  resend(hook: (tenantId: string) => void): void;
  /** resolves when everything said so far is in Redis or has failed once more */
  flush(): Promise<void>;
  /** flushes for at most a second, then stops */
  close(): Promise<void>;
}

export interface LiveDeps {
  /** role mailbox or general */
  readonly redis: Redis;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}
export interface LiveOptions {
  /** changes are gathered for this long; default 50 */
  readonly tickMs?: number;
  /** events kept per tenant while Redis is away; default 20 000 */
  readonly maxEvents?: number;
  /** time between looks at the epochs of the device streams; default 2 000 */
  readonly checkMs?: number;
}

const RECORDS_PER_SCRIPT = 500;
const RETRY_CAP_MS = 1_000;

interface Tenant {
  readonly id: string;
  devices: Map<string, DeviceRecord | RemovedDevice>;
  events: MessageEventRecord[];
  dropped: boolean;
  readonly seen: Map<LiveStreamName, StreamPosition>;
  flushing: Promise<void> | undefined;
}

function newer(a: DeviceRecord | RemovedDevice, b: DeviceRecord | RemovedDevice): boolean {
  if (isRemoved(a) || isRemoved(b)) return isRemoved(a);
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.version > b.version);
}

export function createLive(deps: LiveDeps, options: LiveOptions = {}): Live {
  const { redis, clock, telemetry } = deps;
  const tickMs = options.tickMs ?? 50;
  const maxEvents = options.maxEvents ?? 20_000;
  const checkMs = options.checkMs ?? 2_000;
  const tenants = new Map<string, Tenant>();
  let hook: (tenantId: string) => void = () => {};
  let cancelTick: (() => void) | undefined;
  let failures = 0;
  let closed = false;

  const tenantOf = (id: string): Tenant => {
    let tenant = tenants.get(id);
    if (tenant === undefined) {
      tenant = { id, devices: new Map(), events: [], dropped: false, seen: new Map(), flushing: undefined };
      tenants.set(id, tenant);
    }
    return tenant;
  };
  const arm = (ms: number): void => {
    if (closed) return;
    cancelTick ??= clock.after(ms, () => {
      cancelTick = undefined;
      void flushAll();
    });
  };
  const saw = (tenant: Tenant, stream: LiveStreamName, now: StreamPosition, created: boolean): void => {
    const before = tenant.seen.get(stream);
    tenant.seen.set(stream, now);
    if (stream !== 'devices') return;
    if (before !== undefined && before.epoch !== now.epoch) {
      telemetry.log.info('live.resend', { created });
      hook(tenant.id);
    }
  };
  const keepNewest = (tenant: Tenant, record: DeviceRecord | RemovedDevice): void => {
    const known = tenant.devices.get(record.id);
    if (known === undefined || newer(record, known)) tenant.devices.set(record.id, record);
  };
  const trim = (tenant: Tenant): void => {
    const over = tenant.events.length - maxEvents;
    if (over <= 0) return;
    tenant.events.splice(0, over);
    tenant.dropped = true;
    telemetry.count('limit.rejected', over, { limit: 'live-events' });
  };
  const flushDevices = async (tenant: Tenant): Promise<void> => {
    while (tenant.devices.size > 0) {
      const list = [...tenant.devices.values()].slice(0, RECORDS_PER_SCRIPT);
      for (const record of list) tenant.devices.delete(record.id);
      try {
        const seen = tenant.seen.get('devices');
        const result = await append(redis, {
          tenantId: tenant.id,
          at: clock.wall(),
          seen,
          reset: false,
          records: { stream: 'devices', list },
        });
        saw(tenant, 'devices', result, result.created);
      } catch (error) {
        for (const record of list) keepNewest(tenant, record);
        throw error;
      }
    }
  };
  const flushEvents = async (tenant: Tenant): Promise<void> => {
    while (tenant.events.length > 0) {
      const list = tenant.events.splice(0, RECORDS_PER_SCRIPT);
      const reset = tenant.dropped;
      try {
        const seen = tenant.seen.get('messages');
        const result = await append(redis, { tenantId: tenant.id, at: clock.wall(), seen, reset, records: { stream: 'messages', list } });
        if (reset) tenant.dropped = false;
        saw(tenant, 'messages', result, result.created);
      } catch (error) {
        tenant.events.unshift(...list);
        trim(tenant);
        throw error;
      }
    }
  };
  const flushTenant = (tenant: Tenant): Promise<void> => {
    tenant.flushing ??= Promise.all([flushDevices(tenant), flushEvents(tenant)])
      .then(() => undefined)
      .finally(() => {
        tenant.flushing = undefined;
      });
    return tenant.flushing;
  };
  const busy = (): Tenant[] => [...tenants.values()].filter((tenant) => tenant.devices.size > 0 || tenant.events.length > 0);
  const flushAll = async (): Promise<void> => {
    const results = await Promise.allSettled(busy().map(flushTenant));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) {
      failures = 0;
      if (busy().length > 0) arm(tickMs);
      return;
    }
    failures += 1;
    if (failures === 1) telemetry.log.warn('live.publish', {}, failed.reason);
    arm(Math.min(RETRY_CAP_MS, 50 * 2 ** Math.min(failures, 6)));
  };
  /** A quiet writer would not notice that Redis lost the streams: it looks. */
  const check = async (): Promise<void> => {
    const known = [...tenants.values()].filter((tenant) => tenant.seen.has('devices') && tenant.flushing === undefined);
    await Promise.allSettled(
      known.map(async (tenant) => {
        const before = tenant.seen.get('devices');
        const epoch = await redis.hget(liveKeys(tenant.id, 'devices').position, 'epoch');
        if (before === undefined || tenant.seen.get('devices') !== before || epoch === before.epoch) return;
        // A writer that has seen nothing asks for nothing: the records said again are all there is.
        tenant.seen.delete('devices');
        telemetry.log.info('live.resend', { created: epoch === null });
        hook(tenant.id);
      }),
    );
  };
  const checkLater = (): (() => void) =>
    clock.after(
      checkMs,
      () => {
        void check().finally(() => {
          if (!closed) cancelCheck = checkLater();
        });
      },
      { background: true },
    );
  let cancelCheck = checkLater();

  return {
    device(tenantId, record) {
      if (closed) return;
      keepNewest(tenantOf(tenantId), record);
      arm(tickMs);
    },
    removed(tenantId, deviceId) {
      if (closed) return;
      keepNewest(tenantOf(tenantId), { id: deviceId, removed: true });
      arm(tickMs);
    },
    messages(tenantId, events) {
      if (closed || events.length === 0) return;
      const tenant = tenantOf(tenantId);
      for (const event of events) tenant.events.push(event);
      trim(tenant);
      arm(tickMs);
    },
    resend(given) {
      hook = given;
    },
    async flush() {
      cancelTick?.();
      cancelTick = undefined;
      await Promise.allSettled([...tenants.values()].map((tenant) => tenant.flushing));
      await flushAll();
    },
    async close() {
      if (closed) return;
      cancelTick?.();
      cancelTick = undefined;
      closed = true;
      cancelCheck();
      const timeout = new AbortController();
      await Promise.race([flushAll(), clock.sleep(1_000, timeout.signal).catch(() => undefined)]);
      timeout.abort(new Error('done'));
    },
  };
}
