import { describe, expect, it } from 'vitest';
import { etaOf, sentPerMinute, speedRange } from './speed.ts';

const MINUTE = 60_000;
const now = 100 * MINUTE + 30_000;
const steps = (...sent: number[]): { sent: number }[] => sent.map((n) => ({ sent: n }));

describe('the speed of a flow', () => {
  it('is taken from five whole minutes and the one that has begun, as far as reports reach', () => {
    expect(speedRange(now)).toEqual({ fromMs: 95 * MINUTE, untilMs: 101 * MINUTE });
    expect(speedRange(100 * MINUTE + 5000)).toEqual({ fromMs: 94 * MINUTE, untilMs: 100 * MINUTE });
  });

  it('is by the minute, since the start where that was later, and of a flow that has just begun no more than was sent', () => {
    // 95:00 to 100:20
    expect(sentPerMinute({ startedAt: 0 }, steps(100, 100, 100, 100, 100, 32), now)).toBeCloseTo(532 / (16 / 3));
    expect(sentPerMinute({ startedAt: now - 2 * MINUTE - 10_000 }, steps(100, 100), now)).toBeCloseTo(100);
    expect(sentPerMinute({ startedAt: now - 1000 }, steps(7), now)).toBe(7);
    expect(sentPerMinute({ startedAt: null }, [], now)).toBe(0);
  });

  it('says when the last lead is through, where that can be said', () => {
    const places = [
      { flowNo: 1, place: 'WAITING', leads: 90 },
      { flowNo: 1, place: 'SENDING', leads: 10 },
      { flowNo: 1, place: 'DONE', leads: 1000 },
    ];
    const running = { state: 'RUNNING', enrolling: false } as const;
    expect(etaOf(running, places, 50, now)).toBe(now + 2 * MINUTE);
    expect(etaOf(running, [], 50, now)).toBe(now);
    expect(etaOf(running, places, 0, now)).toBe(null);
    expect(etaOf({ ...running, enrolling: true }, places, 50, now)).toBe(null);
    for (const state of ['DRAFT', 'SCHEDULED', 'PAUSED', 'CANCELLED', 'DONE'] as const)
      expect(etaOf({ state, enrolling: false }, places, 50, now)).toBe(null);
  });
});
