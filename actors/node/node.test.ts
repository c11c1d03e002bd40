import { describe, expect, it } from 'vitest';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { durationQuantile, uuidV7 } from '../../schema/domain/index.ts';
import { createBatcher } from './batcher.ts';
import { createNodeBus } from './bus.ts';
import { createGate } from './gate.ts';
import { poisoned } from './ledger.ts';
import { createSubscriptions } from './subscriptions.ts';
import { createTraffic } from './traffic.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };
const dice = { next: () => 0.5 };
/** a clock whose timers run when told */
function handClock(): Clock & { run(): void; wallMs: number; timers: (() => void)[] } {
  const clock = {
    wallMs: 0,
    timers: [] as (() => void)[],
    wall: () => clock.wallMs,
    monotonic: () => clock.wallMs,
    after(_ms: number, task: () => void) {
      clock.timers.push(task);
      return () => {
        clock.timers = clock.timers.filter((one) => one !== task);
      };
    },
    sleep: async () => {},
    run() {
      const due = clock.timers;
      clock.timers = [];
      for (const task of due) task();
    },
  };
  return clock;
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('batcher', () => {
  it('I4: an item after a rest goes at once, the next ones together when the rest is over, a whole batch does not wait', async () => {
    const clock = handClock();
    const batches: number[][] = [];
    const batcher = createBatcher<number, number>({
      max: 3,
      rest: { clock, ms: 10 },
      run: async (items) => {
        batches.push([...items]);
        return items;
      },
    });
    await batcher.add(1);
    expect(batches).toEqual([[1]]);
    const waiting = [2, 3].map((item) => batcher.add(item));
    await turn();
    await turn();
    expect(batches).toEqual([[1]]);
    clock.wallMs = 10;
    clock.run();
    await Promise.all(waiting);
    expect(batches).toEqual([[1], [2, 3]]);
    await Promise.all([4, 5, 6].map((item) => batcher.add(item)));
    expect(batches).toEqual([[1], [2, 3], [4, 5, 6]]);
    expect(clock.timers).toEqual([]);
    clock.wallMs = 100;
    expect(await batcher.add(7)).toBe(7);
  });

  it('I5: what is urgent goes first and alone, beside a batch that is under way, and nothing else begins meanwhile', async () => {
    const batches: number[][] = [];
    const releases: (() => void)[] = [];
    const batcher = createBatcher<number, number>({
      max: 3,
      run: async (items) => {
        batches.push([...items]);
        await new Promise<void>((resolve) => releases.push(resolve));
        return items;
      },
    });
    const add = (...items: number[]) => items.map((item) => batcher.add(item, item < 0 ? 'urgent' : 'usual'));
    const all = [...add(1, 2, -1, 3, -2, -3, -4, 4)];
    await turn();
    expect(batches).toEqual([[-1, -2, -3]]);
    releases.shift()?.();
    await turn();
    await turn();
    expect(batches.slice(1)).toEqual([[-4]]);
    releases.shift()?.();
    await turn();
    await turn();
    expect(batches.slice(2)).toEqual([[1, 2, 3]]);
    all.push(...add(-5));
    await turn();
    await turn();
    expect(batches.slice(3)).toEqual([[-5]]);
    // the usual batch has ended, the urgent one is under way
    releases.shift()?.();
    await turn();
    await turn();
    expect(batches).toHaveLength(4);
    releases.shift()?.();
    await turn();
    await turn();
    expect(batches.slice(4)).toEqual([[4]]);
    releases.shift()?.();
    await Promise.all(all);
    expect(batcher.size).toBe(0);
  });

  it('I6: what is late waits until nothing urgent has come for a while, but not for ever, and usual items go before it', async () => {
    const clock = handClock();
    const batches: number[][] = [];
    const batcher = createBatcher<number, number>({
      max: 3,
      late: { clock, ms: 10 },
      run: async (items) => {
        batches.push([...items]);
        return items;
      },
    });
    const at = async (wallMs: number): Promise<number[][]> => {
      clock.wallMs = wallMs;
      clock.run();
      for (let n = 0; n < 8; n++) await turn();
      return batches.splice(0);
    };
    const late = (item: number) => void batcher.add(item, 'late');
    // nothing urgent: it goes as anything does
    late(100);
    expect(await at(0)).toEqual([[100]]);
    void batcher.add(-1, 'urgent');
    late(101);
    void batcher.add(1);
    expect(await at(9)).toEqual([[-1], [1]]);
    expect(clock.timers).toHaveLength(1);
    void batcher.add(2);
    late(102);
    late(103);
    expect(await at(10)).toEqual([[2, 101, 102], [103]]);
    late(104);
    for (let now = 15; now < 210; now += 5) {
      void batcher.add(-now, 'urgent');
      expect(await at(now)).toEqual([[-now]]);
    }
    void batcher.add(-210, 'urgent');
    expect(await at(210)).toEqual([[-210], [104]]);
    expect(batcher.size).toBe(0);
    expect(clock.timers).toEqual([]);
  });

  it('gathers a tick, keeps order and lets the next batch grow while one is under way', async () => {
    const batches: number[][] = [];
    let release = (): void => {};
    const batcher = createBatcher<number, number>({
      max: 3,
      run: async (items) => {
        batches.push([...items]);
        await new Promise<void>((resolve) => (release = resolve));
        return items.map((item) => item * 10);
      },
    });
    const answers = Promise.all([1, 2, 3, 4, 5].map((item) => batcher.add(item)));
    await turn();
    expect(batches).toEqual([[1, 2, 3]]);
    const late = batcher.add(6);
    release();
    await turn();
    await turn();
    expect(batches).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    release();
    expect(await answers).toEqual([10, 20, 30, 40, 50]);
    expect(await late).toBe(60);
  });
  it('finds the item that spoils its batch, and only that one fails', async () => {
    const batcher = createBatcher<number, number>({
      max: 10,
      poison: poisoned,
      run: async (items) => {
        if (items.includes(3)) throw Object.assign(new Error('bad'), { code: '22001' });
        return [...items];
      },
    });
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map((item) => batcher.add(item)));
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  });
  it('fails everyone when the store does not answer', async () => {
    const batcher = createBatcher<number, number>({ max: 10, poison: poisoned, run: () => Promise.reject(new Error('gone')) });
    const outcomes = await Promise.allSettled([1, 2].map((item) => batcher.add(item)));
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected']);
  });
});

describe('gate', () => {
  it('lets everyone wait for one probe', async () => {
    const clock = handClock();
    let probes = 0;
    const gate = createGate(
      { clock, dice, log },
      { name: 'store', probe: async () => (probes++ < 1 ? Promise.reject(new Error('no')) : true) },
    );
    gate.failed(new Error('down'));
    gate.failed(new Error('down again'));
    expect(clock.timers).toHaveLength(1);
    const waiting = Promise.all([gate.up(), gate.up()]);
    clock.run();
    await turn();
    expect(gate.open).toBe(false);
    clock.run();
    await waiting;
    expect([gate.open, probes]).toEqual([true, 2]);
  });
  it('turns everyone away when it closes for good', async () => {
    const gate = createGate({ clock: handClock(), dice, log }, { name: 'store', probe: async () => true });
    gate.failed(new Error('down'));
    const waiting = gate.up();
    gate.close();
    await expect(waiting).rejects.toThrow('going down');
    await expect(gate.up()).rejects.toThrow('going down');
  });
});

describe('bus', () => {
  it('publishes a tick as one text per channel and hands messages to the handler of their kind', async () => {
    const published: [string, string][] = [];
    let deliver = (_channel: string, _text: string): void => {};
    const subscriptions = createSubscriptions(
      {
        subscribe: async () => 1,
        on(event: string, handler: never) {
          if (event === 'message') deliver = handler;
        },
      },
      log,
    );
    const bus = await createNodeBus(
      { publisher: { publish: async (channel, text) => published.push([channel, text]) }, subscriptions, log },
      'n1',
    );
    const down = { kind: 'link.down', deviceId: 'd', socket: 's', reason: 'r' } as const;
    bus.publish('c', [down]);
    bus.publish('c', [down]);
    bus.publish('c', []);
    await turn();
    expect(published).toEqual([['c', JSON.stringify([down, down])]]);
    const heard: string[] = [];
    const off = bus.on('link.down', (message) => heard.push(message.socket));
    deliver('fl:node:n1:bus', JSON.stringify([down, { ...down, kind: 'link.up' }]));
    off();
    deliver('fl:node:n1:bus', JSON.stringify([down]));
    expect(heard).toEqual(['s']);
  });
});

describe('traffic', () => {
  it('counts per tenant and ten seconds, and takes back what could not be written', () => {
    const clock = handClock();
    const traffic = createTraffic(clock, 'n1');
    clock.wallMs = 12_345;
    const messageId = uuidV7(12_345 - 100);
    for (const state of ['SENT', 'SENT', 'DELIVERED', 'FAILED', 'DEAD', 'QUEUED'] as const) traffic.note('t', { messageId, state });
    const rows = traffic.take();
    expect(rows).toMatchObject([{ tenantId: 't', bucketMs: 10_000, node: 'n1', sent: 2, delivered: 1, failed: 2, processing: [] }]);
    expect(durationQuantile(rows[0]?.latency ?? [], 1)).toBeGreaterThanOrEqual(100);
    expect(durationQuantile(rows[0]?.latency ?? [], 0)).toBeLessThanOrEqual(100);
    expect(traffic.take()).toEqual([]);
    traffic.give(rows);
    traffic.note('t', { messageId, state: 'SENT', tookMs: 7 });
    const [sum] = traffic.take();
    expect(sum?.sent).toBe(3);
    expect(sum?.latency?.reduce((all, one) => all + one, 0)).toBe(3);
    expect(durationQuantile(sum?.processing ?? [], 1)).toBeCloseTo(8, 5);
  });

  it('keeps buckets apart, and adds up one that a clock stepped back begins again', () => {
    const clock = handClock();
    const traffic = createTraffic(clock, 'n1');
    const at = (wallMs: number) => {
      clock.wallMs = wallMs;
      traffic.note('t', { messageId: uuidV7(wallMs), state: 'SENT' });
    };
    for (const wallMs of [15_000, 19_999, 20_000, 12_000, 31_000]) at(wallMs);
    const counted = traffic.take().map(({ bucketMs, sent }) => [bucketMs, sent]);
    expect(counted.sort()).toEqual([
      [10_000, 3],
      [20_000, 1],
      [30_000, 1],
    ]);
  });
});
