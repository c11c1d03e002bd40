import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connectRedis, type Redis, redisReady } from '../../ops/connect/index.ts';
import { type Clock, seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { createDatabase, startRedis, type TestDatabase, type TestRedis } from '../../ops/testing/index.ts';
import { deviceKeys, uuidV7 } from '../../schema/domain/index.ts';
import { accept, createDevices, createTenant, ownershipOf, raiseEpochs } from '../../schema/sql/index.ts';
import { createEnqueuer, type Enqueuer } from '../mailbox/index.ts';
import { startWhole, type WholeNode, type WholeOptions } from '../node/whole.testing.ts';
import { type ScriptedTransport, scriptedTransport } from '../node/world.testing.ts';
import { createProxy, type FaultProxy } from './chaos/proxy.ts';

/** Whole nodes on real servers while a store is away, forgets, or goes back in time: nothing lost, nothing doubled, order kept. */
describe('stores that fail', () => {
  const DEVICES = 20;
  let redis: TestRedis;
  let database: TestDatabase;
  let proxy: FaultProxy;
  /** a gateway's, and the test's own, which waits as long as the machine takes */
  let sender: Redis;
  let client: Redis;
  let enqueuer: Enqueuer;
  let transport: ScriptedTransport;
  let tenantId = '';
  let ids: string[] = [];
  let nodes: WholeNode[] = [];
  let sent = 0;
  let folder = '';

  const until = (check: () => unknown, timeout = 60_000): Promise<unknown> => vi.waitFor(check, { timeout, interval: 30 });

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'flotilla-'));
    [redis, database] = await Promise.all([startRedis(), createDatabase()]);
    proxy = await createProxy({ clock: systemClock, dice: seededDice(1) });
    proxy.target(Number(new URL(database.url).port));
    sender = connectRedis(redis.url, { role: 'mailbox', name: 'test-gateway' });
    client = connectRedis(redis.url, { role: 'general', name: 'test', commandTimeoutMs: 30_000 });
    await Promise.all([redisReady(sender), redisReady(client)]);
    const telemetry = createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0, write: () => {} });
    enqueuer = createEnqueuer({ redis: sender, telemetry }, { window: 50 });
    transport = scriptedTransport();
    sent = 0;
    tenantId = uuidV7(systemClock.wall());
    await createTenant(database.sql, { id: tenantId, name: tenantId });
    await devices({});
  });
  afterEach(async () => {
    proxy.disturb({ kind: 'none' });
    await Promise.all(nodes.map((node) => node.close()));
    nodes = [];
    for (const one of [sender, client]) one.disconnect();
    await proxy.close();
    await database.drop();
    await redis.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function devices(more: { readonly paceMs?: number }): Promise<void> {
    ids = Array.from({ length: DEVICES }, () => uuidV7(systemClock.wall()));
    const pace = { paceMinMs: more.paceMs ?? 0, paceMaxMs: more.paceMs ?? 0 };
    await createDevices(
      database.sql,
      ids.map((id) => ({ id, tenantId, name: id, transport: 'simulator' as const, ...pace })),
    );
  }
  async function start(id: string, given: Partial<WholeOptions> = {}): Promise<WholeNode> {
    const databaseUrl = new URL(database.url);
    databaseUrl.port = String(proxy.port);
    const node = await startWhole(id, {
      redisUrl: redis.url,
      databaseUrl: databaseUrl.href,
      transport,
      ...given,
    });
    nodes.push(node);
    return node;
  }
  /** one message to each device, as a gateway does it; Redis may be away */
  async function send(rounds = 1): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      const items = ids.map((deviceId) => ({
        id: uuidV7(systemClock.wall()),
        tenantId,
        deviceId,
        lane: 'high' as const,
        recipient: '+15550000001',
        body: String(sent),
        idempotencyKey: null,
        contentHash: new Uint8Array(32),
        scheduledAt: null,
        traceparent: null,
      }));
      sent++;
      const outcomes = await accept(database.sql, items);
      const entries = outcomes.flatMap((outcome, index) =>
        outcome.kind === 'accepted' && outcome.seq !== null
          ? [{ deviceId: ids[index] ?? '', lane: 'high' as const, seq: outcome.seq, messageId: outcome.id, traceparent: null }]
          : [],
      );
      await enqueuer.enqueue(entries).catch(() => undefined);
    }
  }
  const open = async (): Promise<number> =>
    (await database.sql.unsafe<{ n: number }[]>("select count(*)::int as n from messages where state <> 'SENT'"))[0]?.n ?? -1;
  /** everything SENT; the phones saw each message (repeats only of the same id), in order, under rising epochs */
  async function judge(): Promise<void> {
    await until(async () => expect(await open()).toBe(0));
    for (const deviceId of ids) {
      const seen = transport.arrivals.filter((arrival) => arrival.deviceId === deviceId);
      const first = seen.filter((arrival, i) => seen.findIndex((other) => other.id === arrival.id) === i);
      expect(first.map((arrival) => arrival.body)).toEqual(Array.from({ length: sent }, (_, n) => String(n)));
      expect(seen.map((arrival) => arrival.epoch)).toEqual(seen.map((arrival) => arrival.epoch).sort((a, b) => a - b));
    }
  }
  const owned = (): number => nodes.reduce((sum, node) => sum + node.host.actors.size, 0);
  const running = (count = DEVICES): Promise<unknown> => until(() => expect(owned()).toBe(count));

  it('Redis starts again empty, in the middle of the work', async () => {
    await Promise.all([start('node-a'), start('node-b')]);
    await running();
    await send(5);
    const restarting = redis.restart();
    await send(5);
    await restarting;
    await send(5);
    await judge();
  });

  it('Redis starts again from an old dump: fences and mailboxes of the past give nobody leave', async () => {
    await redis.restart(folder);
    await until(async () => expect(await client.ping()).toBe('PONG'));
    await Promise.all([start('node-a'), start('node-b')]);
    await running();
    await send(3);
    await judge();
    await client.save();
    // epochs rise past the dump: a move, another owner
    await nodes[0]?.ownership.drain(1000);
    await running();
    await send(3);
    await judge();
    const before = await ownershipOf(database.sql, { deviceIds: ids });
    const restarting = redis.restart(folder);
    await send(2);
    await restarting;
    await until(async () => expect(await client.ping()).toBe('PONG'));
    await send(2);
    await judge();
    // whoever was acting on the dump's lower fences was stopped: epochs only rise, and the fences stand at them again
    const after = new Map((await ownershipOf(database.sql, { deviceIds: ids })).map((row) => [row.deviceId, row.epoch]));
    for (const row of before) expect(after.get(row.deviceId) ?? 0).toBeGreaterThanOrEqual(row.epoch);
    await until(async () => {
      for (const id of ids) expect(Number(await client.get(deviceKeys(id).fence))).toBe(after.get(id));
    });
  });

  it('a replica that had fallen behind is promoted: its fences, leases and mailboxes of the past give nobody leave', async () => {
    const replica = await startRedis();
    const behind = connectRedis(replica.url, { role: 'general', name: 'test-replica' });
    try {
      await redisReady(behind);
      await behind.replicaof('127.0.0.1', redis.port);
      await Promise.all([start('node-a'), start('node-b')]);
      await running();
      await send(3);
      await judge();
      await until(async () => {
        expect(await behind.info('replication')).toContain('master_link_status:up');
        for (const id of ids) expect(await behind.get(deviceKeys(id).fence)).toBe(await client.get(deviceKeys(id).fence));
      });
      // the link to it breaks; epochs rise and messages go on where it does not see them
      await behind.replicaof('NO', 'ONE');
      await nodes[0]?.ownership.drain(1000);
      await running();
      await send(3);
      await judge();
      const before = await ownershipOf(database.sql, { deviceIds: ids });
      expect(Number(await behind.get(deviceKeys(ids[0] ?? '').fence))).toBeGreaterThan(0);
      await send(2);
      await redis.stop();
      await send(1);
      await behind.config('SET', 'port', String(redis.port));
      await until(async () => expect(await client.ping()).toBe('PONG'));
      await send(2);
      await judge();
      const after = new Map((await ownershipOf(database.sql, { deviceIds: ids })).map((row) => [row.deviceId, row.epoch]));
      for (const row of before) expect(after.get(row.deviceId) ?? 0).toBeGreaterThanOrEqual(row.epoch);
      await until(async () => {
        for (const id of ids) expect(Number(await client.get(deviceKeys(id).fence))).toBe(after.get(id));
      });
    } finally {
      behind.disconnect();
      await replica.stop();
    }
  });

  it('FLUSHALL three times in a row, messages coming all the time', async () => {
    await Promise.all([start('node-a'), start('node-b')]);
    await running();
    for (let round = 0; round < 3; round++) {
      await send(4);
      await redis.flush();
      await send(4);
      await systemClock.sleep(150);
    }
    await judge();
  });

  it.each([
    ['does not answer', { kind: 'hold', way: 'both' } as const],
    ['refuses connections', { kind: 'reset' } as const],
  ])('Postgres %s for 4 s: actors hold still, nothing is lost, and all goes on', async (_name, disturbance) => {
    // no lease ends for the slowness of the machine
    await start('node-a', { ttlMs: 60_000, renewMs: 500 });
    await running();
    await send(3);
    await judge();
    proxy.disturb(disturbance);
    await send(5);
    await systemClock.sleep(4000);
    const during = transport.arrivals.length;
    await systemClock.sleep(200);
    expect(transport.arrivals.length).toBe(during);
    // leases are Redis' business: nobody lost his devices
    expect(owned()).toBe(DEVICES);
    proxy.disturb({ kind: 'none' });
    await judge();
  });

  it.each([1, -1])('a node whose clock is %i h off keeps pace, order and ownership as if it were right', async (hours) => {
    const wrong: Clock = { ...systemClock, wall: () => systemClock.wall() + hours * 3_600_000 };
    await database.sql.unsafe('update devices set pace_min_ms = 900, pace_max_ms = 900');
    const right = await start('node-a');
    await running();
    await start('node-b', { clock: wrong });
    await send(1);
    await until(async () => expect(await open()).toBe(0));
    // its successor hears from the ledger how long the pace still asks it to wait
    await right.ownership.drain(1000);
    await running();
    let refusals = 0;
    transport.script = (message) =>
      message.body === '1' && refusals++ < 10
        ? { kind: 'rejected', retry: true, code: 'BUSY', detail: 'busy' }
        : { kind: 'sent', at: systemClock.wall() };
    await send(3);
    await judge();
  });

  it('Postgres restored from a backup: with epochs raised every device has an owner again, without it the fences refuse', async () => {
    const node = await start('node-a');
    await running();
    await send(2);
    await judge();
    await node.close();
    nodes = [];
    // the backup was made when epochs were lower
    await database.sql.unsafe('update ownership set epoch = 0, node = null');
    for (const id of ids) await client.set(deviceKeys(id).fence, '1000');
    const stuck = await start('node-b');
    await systemClock.sleep(800);
    expect(stuck.host.actors.size).toBe(0);
    await stuck.close();
    nodes = [];
    expect(await raiseEpochs(database.sql)).toBe(DEVICES);
    await start('node-c');
    await running();
    await send(2);
    await until(async () => expect(await open()).toBe(0));
  });
});
