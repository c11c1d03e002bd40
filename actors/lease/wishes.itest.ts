import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { createDatabase, startRedis, type TestDatabase, type TestRedis } from '../../ops/testing/index.ts';
import { nodeChannel } from '../../schema/domain/index.ts';
import { drainNode, listNodes, undrainNode } from '../../schema/sql/index.ts';
import { eventually, GIVE_UP_MS, makeDevices, overlaps, startNode, type TestNode } from './fleet.testing.ts';

/** What operators want of nodes and devices (drainNode, moveDevice): truth in Postgres, a message as a hint. */
describe('wishes', () => {
  let redis: TestRedis;
  let database: TestDatabase;
  let nodes: TestNode[] = [];

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis.stop();
  });
  beforeEach(async () => {
    await redis.flush();
    database = await createDatabase();
  });
  afterEach(async () => {
    await Promise.all(nodes.map((node) => node.close()));
    nodes = [];
    await database.drop();
  });

  const start = async (id: string, settings: Parameters<typeof startNode>[3] = {}): Promise<TestNode> => {
    const node = await startNode(id, redis, database, settings);
    nodes.push(node);
    await node.ownership.start();
    return node;
  };
  const owned = (): number => nodes.reduce((sum, node) => sum + node.ownership.owned.size, 0);
  const pin = (deviceId: string, node: string | null) =>
    database.sql.unsafe(
      "update devices set settings = settings || jsonb_build_object('node', $2::text), changed_at = clock_timestamp() where id = $1",
      [deviceId, node],
    );
  const ring = (to: string, message: object) => nodes[0]?.redis.publish(nodeChannel(to), JSON.stringify([message]));
  const reported = (count: number): Promise<number> =>
    eventuallyAsync(async () => (await listNodes(database.sql)).filter((node) => node.state === 'ACTIVE').length === count);

  it('a drained node hands everything over, takes nothing more, lives on, and begins afresh after a restart', async () => {
    await makeDevices(database, 60);
    const [a, b] = await Promise.all([start('node-a'), start('node-b', { tuning: { dwellMs: 200, pauseMs: 200 } })]);
    await eventually('all owned', () => owned() === 60);
    await reported(2);
    expect(await drainNode(database.sql, 'node-a')).toBe('wished');
    await ring('node-a', { kind: 'node.drain' });
    await eventually('handed over', () => a.ownership.owned.size === 0 && b.ownership.owned.size === 60);
    expect(overlaps(nodes)).toEqual([]);
    expect(b.grants.filter((grant) => grant.device.reason === 'crash')).toEqual([]);
    await makeDevices(database, 10);
    await eventually('new ones go to the other', () => b.ownership.owned.size === 70);
    expect(a.ownership.owned.size).toBe(0);
    expect(a.fatal).toEqual([]);
    await eventuallyAsync(async () => (await listNodes(database.sql)).find((node) => node.id === 'node-a')?.state === 'DRAINING');
    await a.close();
    nodes = [b];
    const again = await start('node-a', { tuning: { dwellMs: 200, pauseMs: 200 } });
    await eventually('takes devices again', () => again.ownership.owned.size > 0);
  });

  it('a drained node takes devices again when the wish is taken back, without a restart, with or without a message', async () => {
    await makeDevices(database, 40);
    const quick = { tuning: { dwellMs: 100, pauseMs: 100 } };
    const [a, b] = await Promise.all([start('node-a', quick), start('node-b', quick)]);
    await eventually('all owned', () => owned() === 40);
    await reported(2);
    for (const told of [true, false]) {
      await drainNode(database.sql, 'node-a');
      await ring('node-a', { kind: 'node.drain' });
      await eventually('empty', () => a.ownership.owned.size === 0 && b.ownership.owned.size === 40);
      expect(await undrainNode(database.sql, 'node-a')).toBe(true);
      if (told) await ring('node-a', { kind: 'node.drain' });
      await eventually('takes its share again', () => a.ownership.owned.size >= 15 && owned() === 40);
      await reported(2);
    }
    expect(overlaps(nodes)).toEqual([]);
    expect(await undrainNode(database.sql, 'node-x')).toBe(false);
    // a node that ends does not come back, whatever is wanted
    await drainNode(database.sql, 'node-a');
    await ring('node-a', { kind: 'node.drain' });
    await eventually('empty once more', () => a.ownership.owned.size === 0 && b.ownership.owned.size === 40);
    const ending = a.ownership.drain(5000);
    await undrainNode(database.sql, 'node-a');
    await ending;
    expect((await listNodes(database.sql)).find((node) => node.id === 'node-a')?.state).toBe('GONE');
    expect(b.ownership.owned.size).toBe(40);
  });

  it('a lost message is repaired by the next report', async () => {
    await makeDevices(database, 10);
    const [a, b] = await Promise.all([start('node-a'), start('node-b')]);
    await eventually('all owned', () => owned() === 10);
    await reported(2);
    await drainNode(database.sql, 'node-a');
    await eventually('drained without a message', () => a.ownership.owned.size === 0 && b.ownership.owned.size === 10);
  });

  it('the last node keeps its devices, whoever asks, also when the wish is already there; of two wishes at once one stands', async () => {
    await makeDevices(database, 10);
    const a = await start('node-a');
    await eventually('all owned', () => owned() === 10);
    await reported(1);
    expect(await drainNode(database.sql, 'node-a')).toBe('last');
    expect(await drainNode(database.sql, 'node-x')).toBe('not-found');
    await database.sql.unsafe("update nodes set drain = true where id = 'node-a'");
    await ring('node-a', { kind: 'node.drain' });
    await systemClock.sleep(800);
    expect(a.ownership.owned.size).toBe(10);
    const b = await start('node-b');
    await eventually('does as told once another is there', () => b.ownership.owned.size === 10);
    await database.sql.unsafe("update nodes set drain = false, state = 'ACTIVE', seen_at = clock_timestamp()");
    const both = await Promise.all([drainNode(database.sql, 'node-a'), drainNode(database.sql, 'node-b')]);
    expect(both.sort()).toEqual(['last', 'wished']);
  });

  it('a moved device goes to its node and stays there; a lost message is repaired', async () => {
    const ids = await makeDevices(database, 20);
    // only what is wished moves; node-b comes when node-a has all
    const settings = { tuning: { pauseMs: 200, dwellMs: 600_000 } };
    const a = await start('node-a', settings);
    await eventually('all owned', () => owned() === 20);
    const b = await start('node-b', settings);
    await reported(2);
    const [first = '', second = ''] = ids;
    const epoch = a.ownership.owned.get(first)?.epoch ?? 0;
    await pin(first, 'node-b');
    await ring('node-a', { kind: 'device.move', deviceId: first });
    await eventually('moved', () => b.ownership.owned.has(first));
    expect(b.ownership.owned.get(first)).toMatchObject({ epoch: epoch + 1, reason: 'graceful' });
    await pin(second, 'node-b');
    await eventually('moved without a message', () => b.ownership.owned.has(second));
    await systemClock.sleep(1500);
    expect(b.ownership.owned.has(first) && b.ownership.owned.has(second)).toBe(true);
    // its node dies: it runs elsewhere, and goes back when the node is back
    b.freeze();
    await eventually('taken over', () => a.ownership.owned.size === 20);
    expect(overlaps(nodes)).toEqual([]);
  });

  it('no node takes more than its capacity, by claims, handovers or moves', async () => {
    const ids = await makeDevices(database, 30);
    const a = await start('node-a', { capacity: 20, tuning: { pauseMs: 100, dwellMs: 100 } });
    await eventually('full', () => a.ownership.owned.size === 20);
    await systemClock.sleep(600);
    expect(a.ownership.owned.size).toBe(20);
    const b = await start('node-b', { capacity: 12, tuning: { pauseMs: 100, dwellMs: 100 } });
    await eventually('all owned', () => owned() === 30);
    for (const id of ids) await pin(id, 'node-b');
    for (const id of ids) await ring('node-a', { kind: 'device.move', deviceId: id });
    let most = 0;
    for (let i = 0; i < 60; i++) {
      most = Math.max(most, b.ownership.owned.size);
      await systemClock.sleep(50);
    }
    expect(most).toBeLessThanOrEqual(12);
    await eventually('as many as fit', () => b.ownership.owned.size === 12 && a.ownership.owned.size === 18);
    // a drain of 18 devices finds 0 places: they wait for a node, none is forced in
    a.ownership.drain(1000).catch(() => undefined);
    await systemClock.sleep(1500);
    expect(b.ownership.owned.size).toBe(12);
  });

  async function eventuallyAsync(holds: () => Promise<boolean>): Promise<number> {
    const begin = systemClock.monotonic();
    while (!(await holds())) {
      if (systemClock.monotonic() - begin > GIVE_UP_MS) throw new Error(`not within ${GIVE_UP_MS} ms`);
      await systemClock.sleep(50);
    }
    return systemClock.monotonic() - begin;
  }
});
