import { describe, expect, it } from 'vitest';
import { createLockWatch } from './lock-watch.ts';
import { createRedisServer } from './redis-server.ts';
import { createScheduler } from './scheduler.ts';

const KEY = 'fl:{t1}:d:one:lease';
const TOKEN = 'a'.repeat(32);

/** One process and its masters; what it asks is said here by hand. */
function watched(masterCount: number) {
  const scheduler = createScheduler(undefined);
  const masters = Array.from({ length: masterCount }, (_, i) => createRedisServer(`m${i + 1}`, { wall: scheduler.wall, published() {} }));
  const violations: string[] = [];
  const party = scheduler.party('node-1#1');
  const watch = createLockWatch({
    scheduler,
    party,
    masters,
    timeoutMs: 600,
    claimMs: 10_000,
    violation: (invariant, what) => void violations.push(`${invariant} ${what}`),
  });
  const master = (at: number) => masters[at] ?? expect.fail('no such master');
  return {
    scheduler,
    party,
    violations,
    /** the try reaches the master at once; answers yes when the result is called */
    take(at: number): () => void {
      const answered = watch.asked(master(at), 'EVALSHA', ['sha', '1', KEY, TOKEN, '2400']);
      master(at).run('SET', [KEY, TOKEN]);
      return () => answered?.(1);
    },
    ask: (at: number, words: readonly string[]) => void watch.asked(master(at), 'EVALSHA', words),
    release(at: number, lost = false): void {
      watch.asked(master(at), 'EVALSHA', ['sha', '1', KEY, TOKEN]);
      if (!lost) master(at).run('DEL', [KEY]);
    },
  };
}

describe('the watch on lock masters', () => {
  it('has nothing to say of a try that is won, nor of one that is given back everywhere', () => {
    const won = watched(3);
    for (const at of [0, 1]) won.take(at)();
    won.take(2);
    won.scheduler.runUntil(5000);
    expect(won.violations).toEqual([]);
    const given = watched(3);
    for (const at of [0, 1, 2]) given.take(at);
    for (const at of [0, 1, 2]) given.release(at);
    given.scheduler.runUntil(5000);
    expect(given.violations).toEqual([]);
  });

  it('misses the release of a try that took too long', () => {
    const { take, scheduler, violations } = watched(3);
    take(0)();
    for (const at of [1, 2]) take(at);
    scheduler.runUntil(619);
    expect(violations).toEqual([]);
    scheduler.runUntil(621);
    expect(violations).toHaveLength(3);
    expect(violations[0]).toContain(`m1 was not told to release ${KEY}`);
  });

  it('misses the second release where a yes came after the first, unless the first was obeyed', () => {
    for (const lost of [true, false]) {
      const { take, release, scheduler, violations } = watched(1);
      const yes = take(0);
      release(0, lost);
      yes();
      scheduler.runUntil(5000);
      expect(violations).toHaveLength(lost ? 1 : 0);
    }
  });

  it('misses a master that was left out of a release', () => {
    const { release, scheduler, violations } = watched(3);
    for (const at of [0, 2]) release(at);
    scheduler.runUntil(5000);
    expect(violations).toEqual([`I10 node-1#1 released a lease at m1 and m2 was not told to release ${KEY}`]);
  });

  it('misses a lease that was won and then forgotten, and hears of it in renewals, handovers and releases', () => {
    const words = [
      undefined,
      ['sha', '1', 'fl:{t1}:generation', '', '2400', '1', 'other', 'b'.repeat(32), '3', 'one', TOKEN, '3'],
      ['sha', '1', KEY, TOKEN, 'b'.repeat(32)],
      ['sha', '1', KEY, TOKEN],
    ];
    for (const later of words) {
      const { take, ask, scheduler, violations } = watched(1);
      take(0)();
      scheduler.runUntil(2000);
      if (later !== undefined) ask(0, later);
      scheduler.runUntil(20_000);
      expect(violations).toEqual(later === undefined ? [`I10 node-1#1 took a lease and forgot it: ${KEY}`] : []);
    }
  });

  it('does not judge a process that stood still', () => {
    const { take, party, scheduler, violations } = watched(3);
    take(0);
    scheduler.freeze(party);
    scheduler.at(3000, scheduler.world, 'world', 'continue', () => scheduler.thaw(party));
    scheduler.runUntil(5000);
    expect(violations).toEqual([]);
  });
});
