import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../ops/lifecycle/index.ts';
import { createReachOutGuard, type ReachOut } from './reach-out.ts';

function world(say: { isWarm?: () => Promise<boolean>; ask?: () => Promise<ReachOut>; keep?: () => Promise<void> }) {
  const later: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    monotonic: () => 0,
    wall: () => 1000,
    after: (_ms, task) => {
      later.push(task);
      return () => later.splice(later.indexOf(task), 1);
    },
  };
  const kept: unknown[] = [];
  const asked: number[] = [];
  const guard = createReachOutGuard({
    clock,
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    fallbackMs: 60_000,
    before: { until: null, why: null },
    isWarm: say.isWarm ?? (async () => false),
    ask: async () => {
      asked.push(1);
      return (say.ask ?? (async () => ({ locked: false, until: null })))();
    },
    keep: async (pause) => {
      await say.keep?.();
      kept.push(pause);
    },
    changed: () => {},
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const refused = async (to: string): Promise<void> => {
    guard.refused(to);
    await settle();
  };
  return { guard, kept, asked, later, settle, refused };
}
const away = async (): Promise<never> => {
  throw new Error('the ledger does not answer');
};

/** A 463 while Postgres was down led to a line in the log only: nobody asked WhatsApp, and new chats went on. */
describe('a refusal of which nobody can say whether its recipient is a stranger', () => {
  it('pauses new chats, and WhatsApp is asked all the same (R5)', async () => {
    const { guard, kept, asked, refused } = world({ isWarm: away });
    await refused('+1');
    expect(guard.paused).toBe('REACHOUT_LOCKED');
    expect([kept, asked]).toEqual([[{ until: 61_000, why: 'REACHOUT_LOCKED' }], [1]]);
    guard.told({ locked: false, until: null });
    expect(guard.paused).toBeNull();
  });

  it('one refusal of a known stranger pauses nothing by itself, as before (R3)', async () => {
    const { guard, asked, refused } = world({});
    await refused('+1');
    expect([guard.paused, asked.length]).toEqual([null, 1]);
    await refused('+2');
    expect(guard.paused).toBe('REACHOUT_LOCKED');
  });

  it('the pause is written down once the ledger answers again, and not any more after it has ended (R4)', async () => {
    let down = true;
    const { guard, kept, later, settle, refused } = world({ isWarm: away, keep: () => (down ? away() : Promise.resolve()) });
    await refused('+1');
    expect([kept, guard.paused]).toEqual([[], 'REACHOUT_LOCKED']);
    down = false;
    later.at(-1)?.();
    await settle();
    expect(kept).toEqual([{ until: 61_000, why: 'REACHOUT_LOCKED' }]);
    guard.stop();
    expect(later).toEqual([]);
  });
});
