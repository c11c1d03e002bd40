import { describe, expect, it } from 'vitest';
import { seededDice } from '../../ops/lifecycle/index.ts';
import { backoffMs, decide } from './policy.ts';

const options = { budget: 6, baseMs: 1000, capMs: 60_000 };
const high = { next: () => 0.999999 };

describe('backoffMs', () => {
  it('doubles its ceiling up to the cap and never is zero', () => {
    expect([1, 2, 3, 7, 60].map((attempt) => backoffMs(attempt, options, high))).toEqual([999, 1999, 3999, 59_999, 59_999]);
    expect(backoffMs(1, options, { next: () => 0 })).toBe(1);
  });
  it('spreads over the whole range', () => {
    const dice = seededDice(3);
    const draws = Array.from({ length: 2000 }, () => backoffMs(4, options, dice));
    expect(Math.min(...draws)).toBeLessThan(200);
    expect(Math.max(...draws)).toBeGreaterThan(7800);
  });
});

describe('decide', () => {
  it('says what each answer means', () => {
    expect(decide({ kind: 'sent', at: 1 }, 1, options, high)).toMatchObject({ state: 'SENT', healthy: true });
    expect(decide({ kind: 'unknown', code: 'TIMEOUT' }, 1, options, high)).toMatchObject({
      state: 'UNKNOWN',
      cause: 'TIMEOUT',
      healthy: false,
    });
    // a gateway dies and a thousand devices lose their sockets at once: no fault of theirs, and no reason for the fleet breaker to hold them
    expect(decide({ kind: 'unknown', code: 'SOCKET_GONE' }, 1, options, high)).toMatchObject({ state: 'UNKNOWN', healthy: undefined });
    expect(decide({ kind: 'not-sent', code: 'OFFLINE' }, 1, options, high)).toMatchObject({ state: 'QUEUED', healthy: undefined });
    expect(decide({ kind: 'rejected', retry: false, code: 'NO', detail: '' }, 1, options, high)).toMatchObject({
      state: 'FAILED',
      cause: 'NO',
    });
    expect(decide({ kind: 'rejected', retry: true, code: 'BUSY', detail: '' }, 2, options, high)).toMatchObject({
      state: 'QUEUED',
      afterMs: 1999,
      holdMs: 0,
      healthy: false,
    });
  });
  it('obeys a provider that says slow down, for the whole device', () => {
    expect(decide({ kind: 'rejected', retry: true, code: '429', detail: '' }, 1, options, high)).toMatchObject({
      afterMs: 60_000,
      holdMs: 60_000,
    });
    const later = { kind: 'rejected', retry: true, code: 'RATE_LIMITED', detail: '', retryAfterMs: 90_000 } as const;
    expect(decide(later, 1, options, high)).toMatchObject({ afterMs: 90_000, holdMs: 90_000 });
    expect(decide({ ...later, code: 'WHATSAPP_429' }, 1, options, high)).toMatchObject({ afterMs: 90_000, holdMs: 90_000 });
    expect(decide({ kind: 'rejected', retry: false, code: '463', detail: '' }, 1, options, high)).toMatchObject({
      state: 'QUEUED',
      holdMs: 3_600_000,
    });
  });
  it('waits as long as the provider asks', () => {
    expect(decide({ kind: 'rejected', retry: true, code: 'BUSY', detail: '', retryAfterMs: 5000 }, 1, options, high).afterMs).toBe(5000);
  });
});
