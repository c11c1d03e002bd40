import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { partitionOf } from '../../schema/domain/index.ts';
import {
  bound,
  type Candidate,
  createDirectory,
  createWaiting,
  mayClaim,
  movesFor,
  nextRamp,
  plan,
  RAMP_CAP,
  RAMP_LEAST,
  RAMP_START,
  type Ramp,
  ranked,
  rankOf,
  startRamp,
} from './index.ts';

const node = (id: string, capacity = 100_000, version = '1.0.0'): Candidate => ({ id, capacity, version });
const device = (i: number): string => `device-${i}`;
const devices = (count: number): string[] => Array.from({ length: count }, (_, i) => device(i));
const loads = (targets: ReadonlyMap<string, string>): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const target of targets.values()) counts.set(target, (counts.get(target) ?? 0) + 1);
  return counts;
};

describe('plan', () => {
  it('is the same whatever the order of nodes and devices, and keeps every node within its bound', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.record({ id: fc.stringMatching(/^[a-z]{1,8}$/), capacity: fc.integer({ min: 50, max: 5000 }) }), {
          minLength: 1,
          maxLength: 8,
          selector: (one) => one.id,
        }),
        fc.integer({ min: 0, max: 300 }),
        fc.infiniteStream(fc.nat()),
        (made, count, numbers) => {
          const nodes = made.map((one) => node(one.id, one.capacity));
          const ids = devices(count);
          const shuffled = <T>(items: readonly T[]): T[] =>
            items
              .map((item) => ({ item, at: numbers.next().value }))
              .sort((a, b) => a.at - b.at)
              .map((entry) => entry.item);
          const targets = plan(ids, nodes);
          expect(plan(shuffled(ids), shuffled(nodes))).toEqual(targets);
          for (const one of nodes) expect(loads(targets).get(one.id) ?? 0).toBeLessThanOrEqual(bound(count, nodes, one));
          const capacity = nodes.reduce((sum, one) => sum + one.capacity, 0);
          if (count <= capacity) expect(targets.size).toBe(count);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('spreads 300 devices over 2 nodes within ten per cent, and by weight over unequal ones', () => {
    const even = loads(plan(devices(300), [node('node-1'), node('node-2')]));
    for (const load of even.values()) expect(Math.abs(load - 150)).toBeLessThanOrEqual(15);
    const uneven = loads(plan(devices(3000), [node('big', 20_000), node('small', 10_000)]));
    expect(Math.abs((uneven.get('big') ?? 0) - 2000)).toBeLessThanOrEqual(150);
  });

  it('moves little more than its share when a node comes', () => {
    const three = [node('node-1'), node('node-2'), node('node-3')];
    const before = plan(devices(3000), three);
    const after = plan(devices(3000), [...three, node('node-4')]);
    const moved = devices(3000).filter((id) => before.get(id) !== after.get(id));
    // 3000 / 4 = 750 go to the newcomer; the bounds shift a few more
    expect(moved.length).toBeLessThan(1100);
  });

  it('puts pinned devices where they are wanted, as far as there is room, and keeps to the bounds for the rest', () => {
    const nodes = [node('a', 40), node('b', 100)];
    const ids = devices(100);
    const pins = new Map(ids.slice(0, 60).map((id) => [id, 'a']));
    const targets = plan(ids, nodes, pins);
    expect(plan([...ids].reverse(), nodes, pins)).toEqual(targets);
    const onA = [...targets].filter(([, target]) => target === 'a').map(([id]) => id);
    expect(onA).toHaveLength(40);
    expect(onA.every((id) => pins.has(id))).toBe(true);
    expect(targets.size).toBe(100);
    // a pin to a node that does not live is no pin
    expect(plan(ids, nodes, new Map(ids.map((id) => [id, 'gone'])))).toEqual(plan(ids, nodes));
  });

  it('leaves what no node has room for without a target, and says nothing without nodes', () => {
    expect(plan(devices(10), [node('only', 4)]).size).toBe(4);
    expect(plan(devices(10), []).size).toBe(0);
  });

  it('fills the newest version first, so that a rolling deploy moves a device once', () => {
    const nodes = [node('old', 1000, '1.9.0'), node('new', 1000, '1.10.0')];
    expect(ranked('any', nodes)[0]?.id).toBe('new');
    expect(loads(plan(devices(100), nodes)).get('new')).toBe(bound(100, nodes, nodes[1] ?? node('new')));
  });

  it('takes one of two versions that are equal by number for the newest, whoever is listed first', () => {
    const nodes = [node('a', 1000, '1.0'), node('b', 1000, '1.00')];
    const first = (order: readonly Candidate[]) => devices(20).map((id) => ranked(id, order)[0]?.id);
    expect(first([...nodes].reverse())).toEqual(first(nodes));
    expect(new Set(first(nodes))).toEqual(new Set(['b']));
  });
});

describe('rankOf', () => {
  it('gives every candidate a rank of its own, the target first', () => {
    const nodes = [node('a'), node('b'), node('c'), node('d')];
    const ranks = nodes.map((one) => rankOf('device', one.id, 'c', nodes));
    expect(ranks[2]).toBe(0);
    expect([...ranks].sort()).toEqual([0, 1, 2, 3]);
    expect(rankOf('device', 'gone', 'c', nodes)).toBe(Number.POSITIVE_INFINITY);
    expect(nodes.map((one) => rankOf('device', one.id, undefined, nodes)).sort()).toEqual([0, 1, 2, 3]);
  });
});

describe('waiting', () => {
  it('lets rank 0 try at once and rank k after 1.1 k to 1.4 k scan intervals, however often is looked; a device that got a lease starts over', () => {
    let now = 0;
    const waiting = createWaiting({ ...systemClock, monotonic: () => now }, seededDice(3), 500);
    const absent = [
      { deviceId: 'second', rank: 1 },
      { deviceId: 'third', rank: 2 },
      { deviceId: 'first', rank: 0 },
      { deviceId: 'never', rank: Number.POSITIVE_INFINITY },
    ];
    expect(waiting.due(absent).map((entry) => entry.deviceId)).toEqual(['first']);
    const tried = new Map<string, number>();
    for (now = 10; now <= 2000; now += 10) {
      for (const { deviceId } of waiting.due(absent)) if (!tried.has(deviceId)) tried.set(deviceId, now);
      expect(waiting.pending).toBe(!tried.has('third'));
    }
    expect(tried.get('second')).toBeGreaterThanOrEqual(550);
    expect(tried.get('second')).toBeLessThanOrEqual(710);
    expect(tried.get('third')).toBeGreaterThanOrEqual(1100);
    expect(tried.get('third')).toBeLessThanOrEqual(1410);
    expect(tried.has('never')).toBe(false);
    waiting.due([]);
    expect(waiting.pending).toBe(false);
    expect(waiting.due(absent).map((entry) => entry.deviceId)).toEqual(['first']);
  });
});

describe('ramp', () => {
  it('doubles while used up, stops at the cap, and comes down again', () => {
    let ramp: Ramp = startRamp;
    expect(ramp.budget).toBe(RAMP_START);
    const won = (asked: number) => ({ asked, granted: asked, took: 0.5 });
    for (let i = 0; i < 10; i++) ramp = nextRamp(ramp, won(ramp.budget), 0);
    expect(ramp.budget).toBe(RAMP_CAP);
    expect(nextRamp(ramp, won(RAMP_CAP - 1), 0).budget).toBe(RAMP_CAP);
    // a dead node's leases end a few at a time
    expect(nextRamp(ramp, won(1), 0).budget).toBe(RAMP_CAP);
    expect(nextRamp(ramp, won(0), 0).budget).toBe(RAMP_CAP / 2);
    for (let i = 0; i < 10; i++) ramp = nextRamp(ramp, won(0), 0);
    expect(ramp.budget).toBe(RAMP_START);
  });
  it('is halved while renewals are late or few claims are won, and comes back by itself', () => {
    const full = { asked: RAMP_CAP, granted: RAMP_CAP, took: 1 };
    const cap: Ramp = { budget: RAMP_CAP };
    expect(nextRamp(cap, full, 0.24).budget).toBe(RAMP_CAP);
    expect(nextRamp(cap, full, 0.25).budget).toBe(RAMP_CAP / 2);
    expect(nextRamp(cap, { asked: RAMP_CAP, granted: RAMP_CAP / 2 - 1, took: 0 }, 0).budget).toBe(RAMP_CAP / 2);
    expect(nextRamp(cap, { ...full, took: 1.1 }, 0).budget).toBe(RAMP_CAP / 2);
    let ramp = cap;
    for (let i = 0; i < 10; i++) ramp = nextRamp(ramp, full, 1);
    expect(ramp.budget).toBe(RAMP_LEAST);
    expect(nextRamp(ramp, { asked: RAMP_LEAST, granted: RAMP_LEAST, took: 0 }, 0).budget).toBe(2 * RAMP_LEAST);
    expect([0, 0.49, 0.5, 3].map(mayClaim)).toEqual([true, true, false, false]);
  });
});

describe('moves for balance', () => {
  const nodes = [
    { ...node('a'), devices: 100 },
    { ...node('b'), devices: 0 },
  ];
  const ids = devices(100);
  const targets = plan(ids, nodes);
  const ask = (changes: Partial<Parameters<typeof movesFor>[0]>) =>
    movesFor({ nodeId: 'a', owned: 100, total: 100, nodes, movable: ids, targets, budget: 1000, ...changes });

  it('gives away what is above its share, to the targets, within the budget', () => {
    const moves = ask({});
    expect(100 - moves.size).toBe(bound(100, nodes, node('a')));
    for (const [id, target] of moves) expect(target).toBe(targets.get(id));
    expect(ask({ budget: 7 }).size).toBe(7);
  });

  it('does not move a device because of one that came in a hurry', () => {
    const many = devices(3000);
    const three = ['a', 'b', 'c'].map((id) => ({ ...node(id), devices: 900 }));
    const most = bound(3000, three, node('a'));
    const above = (by: number): number =>
      movesFor({ nodeId: 'a', owned: most + by, total: 3000, nodes: three, movable: many, targets: plan(many, three), budget: 1000 }).size;
    expect(above(1)).toBe(0);
    expect(above(100)).toBe(100);
  });

  it('keeps still within its share, with two versions running, alone, or when the target is full', () => {
    expect(ask({ owned: 53 }).size).toBe(0);
    expect(
      ask({
        nodes: [
          { ...node('a'), devices: 100 },
          { ...node('b', 100_000, '2.0.0'), devices: 0 },
        ],
      }).size,
    ).toBe(0);
    expect(ask({ nodes: nodes.slice(0, 1) }).size).toBe(0);
    expect(
      ask({
        nodes: [
          { ...node('a'), devices: 100 },
          { ...node('b'), devices: 90 },
        ],
      }).size,
    ).toBe(0);
  });
});

describe('directory', () => {
  it('loads, follows changes with an overlap, and counts a version only for real changes', async () => {
    const asked: number[] = [];
    let changes: { deviceId: string; pin: string | null; gone: boolean; changedAt: number }[] = [];
    const directory = createDirectory(
      {
        devices: async () => ['a', 'b'].map((deviceId) => ({ deviceId, pin: null })),
        changed: async (since) => {
          asked.push(since);
          return changes;
        },
      },
      { wall: () => 1_000_000, monotonic: () => 0 },
    );
    await directory.load();
    expect([...directory.ids()].sort()).toEqual(['a', 'b']);
    const version = directory.version;
    changes = [
      { deviceId: 'a', pin: null, gone: false, changedAt: 1_000_500 },
      { deviceId: 'b', pin: 'node-1', gone: true, changedAt: 1_000_900 },
      { deviceId: 'c', pin: 'node-2', gone: false, changedAt: 1_000_700 },
    ];
    await directory.refresh();
    await directory.refresh();
    expect([...directory.ids()].sort()).toEqual(['a', 'c']);
    expect(directory.size).toBe(2);
    expect(directory.version).toBe(version + 3);
    expect([...directory.pins]).toEqual([['c', 'node-2']]);
    expect(directory.inPartition(partitionOf('c')).has('c')).toBe(true);
    expect(directory.has('b')).toBe(false);
    expect(asked[0]).toBeLessThan(1_000_000 - 10_000);
    expect(asked[1]).toBe(1_000_900 - 5000);
  });
});
