import { expect, it } from 'vitest';
import { type Clock, seededDice } from '../../ops/lifecycle/index.ts';
import { createAdmission } from './admission.ts';
import { createDeadlines } from './deadlines.ts';
import { createDeviceRates } from './rates.ts';

/** A clock that is turned by hand; `sleep` is one of its timers. */
function handClock(): Clock & { pass(ms: number): Promise<void>; timers(): number } {
  let now = 0;
  let timers: { at: number; task: () => void }[] = [];
  const after = (ms: number, task: () => void): (() => void) => {
    const timer = { at: now + ms, task };
    timers.push(timer);
    return () => {
      timers = timers.filter((one) => one !== timer);
    };
  };
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  };
  return {
    wall: () => now,
    monotonic: () => now,
    after,
    sleep: (ms) => new Promise((resolve) => after(ms, resolve)),
    timers: () => timers.length,
    async pass(ms) {
      const until = now + ms;
      await settle();
      for (;;) {
        const next = timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        timers = timers.filter((timer) => timer !== next);
        now = Math.max(now, next.at);
        next.task();
        await settle();
      }
      now = until;
    },
  };
}
const quiet = { count: () => {} };

it('P1: hellos are asked for in the order they came, at the rate given, in batches', async () => {
  const clock = handClock();
  const batches: number[][] = [];
  const answered: number[] = [];
  const admission = createAdmission<number, string>(
    {
      look: async (asks) => {
        batches.push([...asks]);
        return asks.map((ask) => `${ask}`);
      },
      clock,
      dice: seededDice(1),
      telemetry: quiet,
    },
    { perSecond: 100, batch: 10 },
  );
  for (let at = 0; at < 200; at++) expect(admission.enter(at, (answer) => void answered.push(Number(answer)))).toBe(0);
  await clock.pass(0);
  // a quarter of a second's worth at once
  expect(answered.length).toBe(25);
  await clock.pass(1000);
  expect(answered.length).toBeGreaterThan(110);
  expect(answered.length).toBeLessThanOrEqual(126);
  await clock.pass(1000);
  expect(answered).toEqual(Array.from({ length: 200 }, (_, at) => at));
  expect(Math.max(...batches.map((batch) => batch.length))).toBe(10);
  expect(clock.timers()).toBe(0);
});

it('P2: above five seconds of work newcomers are told different times; a failed look is told to those it was for', async () => {
  const clock = handClock();
  let broken = true;
  const failures: unknown[] = [];
  const admission = createAdmission<number, string>(
    {
      look: async (asks) => {
        if (broken) throw new Error('away');
        return asks.map(() => null);
      },
      clock,
      dice: seededDice(2),
      telemetry: quiet,
    },
    { perSecond: 10 },
  );
  for (let at = 0; at < 50; at++) expect(admission.enter(at, (_, failure) => void failures.push(failure))).toBe(0);
  const waits = Array.from({ length: 20 }, () => admission.enter(99, () => {}));
  for (const wait of waits) expect(wait).toBeGreaterThan(2000);
  expect(new Set(waits).size).toBeGreaterThan(15);
  await clock.pass(0);
  expect(failures.map(String)).toEqual(['Error: away', 'Error: away']);
  broken = false;
  await clock.pass(10_000);
  expect(failures).toHaveLength(50);
  expect(failures.slice(2).every((failure) => failure === undefined)).toBe(true);
  expect(admission.full()).toBe(0);
});

it('a device has its frames and connects counted whatever socket it uses, and the least used is forgotten', () => {
  let now = 0;
  const rates = createDeviceRates({ monotonic: () => now }, { framesPerSecond: 1, most: 2 });
  for (let at = 0; at < 10; at++) expect(rates.of('a').frame()).toBe(true);
  expect(rates.of('a').frame()).toBe(false);
  expect(rates.of('b').frame()).toBe(true);
  now = 1000;
  expect(rates.of('a').frame()).toBe(true);
  expect(rates.of('a').frame()).toBe(false);
  for (let at = 0; at < 10; at++) expect(rates.of('a').connect()).toBe(0);
  expect(rates.of('a').connect()).toBe(2000);
  now = 3000;
  expect(rates.of('a').connect()).toBe(0);
  rates.of('c');
  // `b` was the least used
  expect(rates.of('a').connect()).toBeGreaterThan(0);
});

it('deadlines: one timer, members expire in order, those removed never', async () => {
  const clock = handClock();
  const expired: string[] = [];
  const deadlines = createDeadlines<string>(clock, 1000, (member) => void expired.push(member));
  deadlines.add('a');
  deadlines.add('b');
  await clock.pass(500);
  deadlines.add('c');
  expect(clock.timers()).toBe(1);
  deadlines.remove('b');
  await clock.pass(600);
  expect(expired).toEqual(['a']);
  await clock.pass(1000);
  expect(expired).toEqual(['a', 'c']);
  expect(clock.timers()).toBe(0);
});
