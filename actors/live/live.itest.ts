import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectRedis, type Redis } from '../../ops/connect/index.ts';
import { createLifetime, type Lifetime, systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { startRedis, type TestRedis } from '../../ops/testing/index.ts';
import { type DeviceRecord, type LiveBatch, liveKeys, type MessageEventRecord, type RemovedDevice } from '../../schema/domain/index.ts';
import { append, type StreamPosition } from './append.ts';
import { createLive, createLiveReader, type Live, type LiveReader, type LiveSink } from './index.ts';

const TENANT = '018f0000-0000-7000-8000-00000000000a';
const telemetry = createTelemetry({
  service: 'test',
  instance: 'live',
  level: 'error',
  samplePercent: 0,
  otlpEndpoint: undefined,
  write() {},
});
let server: TestRedis;
let lifetime: Lifetime;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await server.flush();
  lifetime = createLifetime();
  redis = client('general');
});
afterEach(() => lifetime.end());

function client(role: 'general' | 'subscriber' | 'mailbox'): Redis {
  const made = connectRedis(server.url, { role, name: 'live-test' });
  lifetime.add('redis', () => made.disconnect());
  return made;
}
function writer(): Live {
  const live = createLive({ redis: client('mailbox'), clock: systemClock, telemetry }, { tickMs: 5, checkMs: 100 });
  lifetime.add('live', () => live.close());
  return live;
}
function reader(checkMs = 60_000): LiveReader {
  const made = createLiveReader({ redis, subscriber: client('subscriber'), clock: systemClock, telemetry }, { checkMs });
  lifetime.add('reader', () => made.close());
  return made;
}
const device = (id: string, epoch: number, version: number, state: DeviceRecord['state'] = 'ONLINE'): DeviceRecord => ({
  id,
  name: id,
  state,
  reason: null,
  node: 'node-1',
  epoch,
  version,
  transport: 'simulator',
  at: 1,
});
const event = (messageId: string): MessageEventRecord => ({ messageId, deviceId: 'd', state: 'SENT', cause: null, attempts: 1, at: 1 });

/** A sink that keeps the state and fails on any break of I1. */
function collect<T extends { readonly id?: string; readonly messageId?: string }>(): LiveSink<T> & {
  readonly state: Map<string, T>;
  readonly batches: LiveBatch<T>[];
  resets: number;
  position: StreamPosition | undefined;
} {
  const state = new Map<string, T>();
  const put = (record: T): void => void state.set(record.id ?? record.messageId ?? '', record);
  const sink = {
    state,
    batches: [] as LiveBatch<T>[],
    resets: 0,
    position: undefined as StreamPosition | undefined,
    reset(position: StreamPosition, records: readonly T[]) {
      sink.resets += 1;
      sink.position = position;
      state.clear();
      for (const record of records) put(record);
    },
    batch(batch: LiveBatch<T>) {
      if (sink.position?.epoch !== batch.epoch || sink.position.seq !== batch.from) throw new Error('a silent gap');
      sink.position = { epoch: batch.epoch, seq: batch.seq };
      sink.batches.push(batch);
      for (const record of batch.records) put(record);
    },
  };
  return sink;
}

describe('the live streams', () => {
  it('numbers once, keeps the latest of each device, and lets a stale word lose', async () => {
    const devices = { stream: 'devices' as const };
    const say = (list: DeviceRecord[]): Promise<unknown> =>
      append(redis, { tenantId: TENANT, at: 1, seen: undefined, reset: false, records: { ...devices, list } });
    const first = await say([device('a', 2, 1), device('b', 1, 1)]);
    expect(first).toMatchObject({ seq: 1, created: true, counted: 2 });
    expect(await say([device('a', 1, 99, 'OFFLINE')])).toMatchObject({ seq: 1, created: false, counted: 0 });
    expect(await say([device('a', 2, 1, 'OFFLINE'), device('b', 1, 2)])).toMatchObject({ seq: 2, counted: 1 });
    expect(await say([device('a', 2, 10)])).toMatchObject({ seq: 3, counted: 1 });
    expect(await say([device('a', 2, 9)])).toMatchObject({ counted: 0 });
  });
  it('keeps a removed device removed: late words lose, snapshots leave it out, its trace ends after its life', async () => {
    const live = writer();
    const sink = collect<DeviceRecord>();
    live.device(TENANT, device('a', 1, 1));
    live.device(TENANT, device('b', 1, 1));
    await live.flush();
    await reader().open(TENANT, 'devices', sink as LiveSink<DeviceRecord | RemovedDevice> as typeof sink).ready;
    live.removed(TENANT, 'a');
    live.device(TENANT, device('a', 9, 1));
    await live.flush();
    live.device(TENANT, device('a', 10, 1));
    await live.flush();
    live.device(TENANT, device('b', 1, 2));
    await live.flush();
    await expect.poll(() => sink.position?.seq).toBe(3);
    expect(sink.batches.map((batch) => batch.records)).toEqual([[{ id: 'a', removed: true }], [device('b', 1, 2)]]);
    const later = collect<DeviceRecord>();
    await reader().open(TENANT, 'devices', later as LiveSink<DeviceRecord | RemovedDevice> as typeof later).ready;
    expect([...later.state.keys()]).toEqual(['b']);
    const keys = liveKeys(TENANT, 'devices');
    expect(await redis.hget(keys.state, 'a')).toBe('removed');
    await redis.zadd(keys.removed, '1000', 'a');
    live.device(TENANT, device('b', 1, 3));
    await live.flush();
    expect([await redis.hexists(keys.state, 'a'), await redis.zcard(keys.removed)]).toEqual([0, 0]);
  });
  it('numbers every message event of its own', async () => {
    const say = (...ids: string[]): ReturnType<typeof append> =>
      append(redis, { tenantId: TENANT, at: 1, seen: undefined, reset: false, records: { stream: 'messages', list: ids.map(event) } });
    expect(await say('1', '2', '3')).toMatchObject({ seq: 3 });
    expect(await say('4')).toMatchObject({ seq: 4 });
    const sink = collect<MessageEventRecord>();
    await reader().open(TENANT, 'messages', sink).ready;
    expect(await say('5', '6')).toMatchObject({ seq: 6 });
    await expect.poll(() => sink.position?.seq).toBe(6);
    expect(sink.batches.map(({ from, seq }) => [from, seq])).toEqual([[4, 6]]);
  });
  it('starts a new epoch when the position is gone or behind what a writer has seen', async () => {
    const say = (seen: StreamPosition | undefined, id: string): ReturnType<typeof append> =>
      append(redis, { tenantId: TENANT, at: 1, seen, reset: false, records: { stream: 'messages', list: [event(id)] } });
    const one = await say(undefined, '1');
    const two = await say(one, '2');
    expect(two).toMatchObject({ epoch: one.epoch, seq: 2 });
    const rolledBack = await say({ epoch: two.epoch, seq: 7 }, '3');
    expect(rolledBack).toMatchObject({ seq: 1, created: true });
    expect(rolledBack.epoch).not.toBe(two.epoch);
    await server.flush();
    expect(await say(rolledBack, '4')).toMatchObject({ seq: 1, created: true });
    expect(await redis.xlen(liveKeys(TENANT, 'messages').log)).toBe(1);
  });
  it('hands every reader everything, from two writers, joined while they write', async () => {
    const writers = [writer(), writer()];
    const sinks: ReturnType<typeof collect<DeviceRecord>>[] = [];
    for (let round = 0; round < 200; round++) {
      for (const [index, live] of writers.entries()) {
        live.device(TENANT, device(`${index}-${round % 40}`, 1, round));
        live.messages(TENANT, [event(`${index}-${round}`)]);
      }
      if (round % 20 === 0) {
        const sink = collect<DeviceRecord>();
        sinks.push(sink);
        reader().open(TENANT, 'devices', sink);
      }
      await systemClock.sleep(2);
    }
    await Promise.all(writers.map((live) => live.flush()));
    for (const sink of sinks) {
      await expect.poll(() => [...sink.state.values()].filter((record) => record.version >= 160).length).toBe(80);
      expect(sink.resets).toBe(1);
    }
    const seq = Number(await redis.hget(liveKeys(TENANT, 'devices').position, 'seq'));
    await expect.poll(() => sinks.map((sink) => sink.position?.seq)).toEqual(sinks.map(() => seq));
  });
  it('finds a publication that was lost: by the next one, and by looking', async () => {
    const live = writer();
    const eager = collect<MessageEventRecord>();
    await reader().open(TENANT, 'messages', eager).ready;
    const looking = collect<MessageEventRecord>();
    await reader(50).open(TENANT, 'messages', looking).ready;
    live.messages(TENANT, [event('1')]);
    await live.flush();
    await expect.poll(() => eager.batches.length).toBe(1);
    // the plant: numbered and logged, but nobody hears it
    const quiet = { publish: liveKeys(TENANT, 'messages') };
    const batch: LiveBatch<MessageEventRecord> = { epoch: eager.position?.epoch ?? '', from: 1, seq: 2, at: 1, records: [event('2')] };
    await redis.multi().hset(quiet.publish.position, 'seq', '2').xadd(quiet.publish.log, '2-0', 'b', JSON.stringify(batch)).exec();
    await expect.poll(() => looking.state.has('2')).toBe(true);
    expect(eager.state.has('2')).toBe(false);
    live.messages(TENANT, [event('3')]);
    await live.flush();
    await expect.poll(() => [...eager.state.keys()]).toEqual(['1', '2', '3']);
    expect([eager.resets, looking.resets]).toEqual([1, 1]);
  });
  it('takes a fresh snapshot when the log no longer has what is missing', async () => {
    const live = writer();
    const sink = collect<DeviceRecord>();
    await reader(50).open(TENANT, 'devices', sink).ready;
    live.device(TENANT, device('a', 1, 1));
    await live.flush();
    await expect.poll(() => sink.state.size).toBe(1);
    const keys = liveKeys(TENANT, 'devices');
    await redis
      .multi()
      .hset(keys.position, 'seq', '9')
      .del(keys.log)
      .hset(keys.state, 'b', `1 1 ${JSON.stringify(device('b', 1, 1))}`)
      .exec();
    await expect.poll(() => [...sink.state.keys()].sort()).toEqual(['a', 'b']);
    expect(sink.resets).toBe(2);
    expect(sink.position?.seq).toBe(9);
  });
  it('after FLUSHALL every writer says all again, quiet ones too, and readers start over', async () => {
    const writers = [writer(), writer()];
    for (const [index, live] of writers.entries()) {
      const mine = device(`w${index}`, 3, 5);
      live.resend((tenantId) => live.device(tenantId, mine));
      live.device(TENANT, mine);
      await live.flush();
    }
    const sink = collect<DeviceRecord>();
    await reader(50).open(TENANT, 'devices', sink).ready;
    expect(sink.state.size).toBe(2);
    const before = sink.position?.epoch;
    await server.flush();
    await expect.poll(() => sink.position?.epoch !== before && sink.state.size === 2, { timeout: 30_000 }).toBe(true);
    await expect.poll(async () => sink.position?.epoch === (await redis.hget(liveKeys(TENANT, 'devices').position, 'epoch'))).toBe(true);
  });
  it('keeps what is said while Redis is away, and shows a break when it could not keep it all', { timeout: 90_000 }, async () => {
    const own = await startRedis();
    lifetime.add('own redis', () => own.stop());
    const link = connectRedis(own.url, { role: 'mailbox', name: 'live-test' });
    lifetime.add('link', () => link.disconnect());
    const live = createLive({ redis: link, clock: systemClock, telemetry }, { tickMs: 5, maxEvents: 10, checkMs: 60_000 });
    lifetime.add('live', () => live.close());
    live.messages(TENANT, [event('0')]);
    live.device(TENANT, device('a', 1, 1));
    await live.flush();
    await own.stop();
    for (let count = 1; count <= 5; count++) live.messages(TENANT, [event(String(count))]);
    live.device(TENANT, device('a', 1, 3));
    live.device(TENANT, device('a', 1, 2));
    await systemClock.sleep(100);
    await own.restart();
    const check = connectRedis(own.url, { role: 'general', name: 'live-test' });
    lifetime.add('check', () => check.disconnect());
    const records = async (): Promise<string[]> =>
      (await check.xrange(liveKeys(TENANT, 'messages').log, '-', '+')).flatMap(([, fields]) =>
        (JSON.parse(fields[1] ?? '') as LiveBatch<MessageEventRecord>).records.map((record) => record.messageId),
      );
    await expect.poll(records, { timeout: 30_000 }).toEqual(['1', '2', '3', '4', '5']);
    await expect.poll(() => check.hget(liveKeys(TENANT, 'devices').state, 'a')).toMatch(/^1 3 /);
    const epoch = await check.hget(liveKeys(TENANT, 'messages').position, 'epoch');
    own.freeze();
    for (let count = 0; count < 30; count++) live.messages(TENANT, [event(`x${count}`)]);
    own.thaw();
    await expect.poll(async () => (await records()).at(-1), { timeout: 30_000 }).toBe('x29');
    expect(await check.hget(liveKeys(TENANT, 'messages').position, 'epoch')).not.toBe(epoch);
  });
});
