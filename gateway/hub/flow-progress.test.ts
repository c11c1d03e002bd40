import { describe, expect, it } from 'vitest';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { FlowNow } from '../../schema/graphql/index.ts';
import type { FlowRow } from '../../schema/sql/index.ts';
import { createFlowProgress } from './flow-progress.ts';

const now = (waiting: number, sent = 0): FlowNow => ({
  flow: { id: 'c', no: 1, state: 'RUNNING' } as FlowRow,
  places: [
    { flowNo: 1, place: 'WAITING', leads: waiting },
    { flowNo: 1, place: 'DONE', leads: 10 - waiting },
  ],
  steps: [{ sent }],
});

/** Feeds on a clock that the test turns; `answer` is what the next counts find, `tookMs` how long they take. */
function world() {
  let at = 0;
  let timers: { readonly due: number; readonly run: () => void }[] = [];
  const after = (ms: number, run: () => void): (() => void) => {
    const timer = { due: at + ms, run };
    timers.push(timer);
    return () => {
      timers = timers.filter((one) => one !== timer);
    };
  };
  const clock = { monotonic: () => at, wall: () => at, after } as unknown as Clock;
  const state = { answer: now(10) as FlowNow | null | Error, tookMs: 0, asked: [] as string[], warned: 0 };
  const warn = (): void => {
    state.warned += 1;
  };
  const feeds = createFlowProgress({
    read: async (tenantId, id) => {
      state.asked.push(`${tenantId}/${id}`);
      if (state.tookMs > 0) await new Promise<void>((resolve) => void after(state.tookMs, resolve));
      if (state.answer instanceof Error) throw state.answer;
      return state.answer;
    },
    clock,
    telemetry: { log: { warn } } as never,
  });
  const turn = async (ms: number): Promise<void> => {
    const settle = async (): Promise<void> => {
      for (let n = 0; n < 20; n++) await Promise.resolve();
    };
    await settle();
    for (const end = at + ms; ; ) {
      const next = timers.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0];
      if (next === undefined) {
        at = end;
        return;
      }
      timers = timers.filter((timer) => timer !== next);
      at = Math.max(at, next.due);
      next.run();
      await settle();
    }
  };
  return { state, feeds, turn, timers: () => timers.length };
}

describe('the progress of a campaign', () => {
  it('is told when it changed, at most once a second, and not when it did not (I2)', async () => {
    const { state: w, feeds, turn } = world();
    const feed = feeds.feed('t', 'c');
    const told: number[] = [];
    const stop = feed.watch(() => told.push(feed.top().seq));
    await turn(0);
    await feed.ready();
    expect(told).toEqual([1]);
    expect(feed.snapshot()).toMatchObject({ seq: 1, asOf: 0, places: [{ place: 'DONE' }, { place: 'WAITING', leads: 10 }] });
    await turn(10_000);
    expect(told).toEqual([1]);
    // the same in another order is no change
    w.answer = { ...now(10), places: [...now(10).places].reverse() };
    await turn(2000);
    expect(told).toEqual([1]);
    for (let waiting = 9; waiting > 4; waiting--) {
      w.answer = now(waiting);
      await turn(200);
    }
    expect(told).toEqual([1, 2]);
    // only the speed changed
    w.answer = now(5, 3);
    await turn(2000);
    expect(told).toHaveLength(3);
    const { epoch } = feed.top();
    expect(feed.range({ epoch, seq: 3 }, 0)).toEqual({ kind: 'updates', updates: [] });
    expect(feed.range({ epoch, seq: 1 }, 0)).toMatchObject({ kind: 'updates', updates: [{ seq: 3, steps: [{ sent: 3 }] }] });
    expect(feed.range({ epoch: 'another', seq: 3 }, 0)).toEqual({ kind: 'gap' });
    stop();
  });

  it('is counted once for all who watch it, and not at all when nobody does (I1, I3)', async () => {
    const { state: w, feeds, turn, timers } = world();
    const feed = feeds.feed('t', 'c');
    const stops = [feed.watch(() => {}), feed.watch(() => {}), feeds.feed('t', 'c').watch(() => {})];
    await turn(0);
    expect(w.asked).toEqual(['t/c']);
    await turn(3000);
    expect(w.asked).toHaveLength(4);
    // what belongs to another tenant is another campaign
    const other = feeds.feed('other', 'c');
    const stop = other.watch(() => {});
    await turn(0);
    expect(w.asked.at(-1)).toBe('other/c');
    expect(other.top().epoch).not.toBe(feed.top().epoch);
    stop();
    for (const end of stops) end();
    const before = w.asked.length;
    await turn(60_000);
    expect(w.asked).toHaveLength(before);
    expect(timers()).toBe(0);
    // somebody comes again, while a count is under way another leaves and comes
    w.tookMs = 500;
    const again = feeds.feed('t', 'c');
    again.watch(() => {})();
    again.watch(() => {});
    await turn(600);
    expect(w.asked).toHaveLength(before + 1);
    feeds.close();
  });

  it.each([
    ['a twentieth of the time', 500, 10],
    ['15 s after the last one at the latest', 5000, 5],
  ])('is counted less often where counting takes long: %s (I1)', async (_name, tookMs, counts) => {
    const { state: w, feeds, turn } = world();
    w.tookMs = tookMs;
    const stop = feeds.feed('t', 'c').watch(() => {});
    await turn(99_000);
    expect(w.asked).toHaveLength(counts);
    stop();
    feeds.close();
  });

  it('goes on when the ledger is away for a moment, and where the campaign is not there nothing is told', async () => {
    const { state: w, feeds, turn } = world();
    w.answer = new Error('away');
    const feed = feeds.feed('t', 'c');
    let ready = false;
    void feed.ready().then(() => {
      ready = true;
    });
    const stop = feed.watch(() => {});
    await turn(3000);
    expect([ready, feed.snapshot(), w.warned]).toEqual([false, undefined, 4]);
    w.answer = now(3);
    await turn(1000);
    expect([ready, feed.snapshot()?.seq]).toEqual([true, 1]);
    w.answer = null;
    await turn(5000);
    expect(feed.top().seq).toBe(1);
    stop();
    feeds.close();
  });
});
