import { describe, expect, it } from 'vitest';
import { type Clock, seededDice } from '../../../../ops/lifecycle/index.ts';
import { createLineSplitter } from '../wire.ts';
import { createFaults } from './faults.ts';
import { createSeen } from './seen.ts';
import { createWheel } from './wheel.ts';

describe('what a phone has seen', () => {
  it('knows every repeat among many and mistakes none', () => {
    const seen = createSeen();
    const pairs = Array.from({ length: 50_000 }, (_, n) => [`device-${n % 300}`, `wire-${n}`] as const);
    expect(pairs.every(([device, wire]) => seen.add(device, wire))).toBe(true);
    expect(pairs.some(([device, wire]) => seen.add(device, wire))).toBe(false);
    expect(seen.add('device-1', 'wire-0')).toBe(true);
  });
  it('forgets the oldest beyond its limit only', () => {
    const seen = createSeen(1000);
    for (let n = 0; n < 1400; n++) seen.add('d', `w${n}`);
    expect(seen.size).toBeLessThanOrEqual(1000);
    expect(seen.add('d', 'w0')).toBe(true);
    expect(seen.add('d', 'w1300')).toBe(false);
  });
});

describe('faults', () => {
  it('strike the asked device as often as asked, by rate when asked', () => {
    const faults = createFaults(seededDice(5));
    faults.ask({ kind: 'reject', device: 'a', count: 2 });
    expect(faults.onSend('b')).toBeUndefined();
    expect([faults.onSend('a'), faults.onSend('a'), faults.onSend('a')].map((fault) => fault?.kind)).toEqual([
      'reject',
      'reject',
      undefined,
    ]);
    faults.ask({ kind: 'lost-ack', rate: 0.25 });
    const struck = Array.from({ length: 4000 }, () => faults.onSend('c')).filter((fault) => fault !== undefined).length;
    expect(struck).toBeGreaterThan(850);
    expect(struck).toBeLessThan(1150);
    expect(faults.onOpen('c')).toBe(false);
    faults.clear();
    expect(faults.onSend('c')).toBeUndefined();
  });
});

describe('the wheel', () => {
  it('runs tasks in order, none early, with one timer', () => {
    let now = 0;
    const timers: { at: number; task: () => void }[] = [];
    const clock = {
      monotonic: () => now,
      after(ms: number, task: () => void) {
        const timer = { at: now + ms, task };
        timers.push(timer);
        return () => void timers.splice(timers.indexOf(timer), 1);
      },
    } as unknown as Clock;
    const ran: string[] = [];
    const wheel = createWheel(clock, { stepMs: 2, afterStep: () => {} });
    wheel.later(9, () => ran.push(`b${now}`));
    wheel.later(3, () => ran.push(`a${now}`));
    wheel.later(0, () => ran.push(`now${now}`));
    expect(timers.length).toBe(1);
    for (now = 1; now < 20; now++)
      for (const timer of timers.filter((entry) => entry.at <= now)) {
        timers.splice(timers.indexOf(timer), 1);
        timer.task();
      }
    expect(ran[0]).toBe('now0');
    expect(ran.map((entry) => entry[0]).join('')).toBe('nab');
    expect(Number(ran[1]?.slice(1))).toBeGreaterThanOrEqual(3);
    expect(Number(ran[2]?.slice(1))).toBeGreaterThanOrEqual(9);
    expect(timers.length).toBe(0);
  });
});

describe('lines', () => {
  it('are put together from any pieces, and an endless one breaks the connection', () => {
    const lines: string[] = [];
    let broken = 0;
    const split = createLineSplitter(
      (line) => lines.push(line),
      () => {
        broken += 1;
      },
    );
    for (const piece of ['a', 'b\nc', '\n\n', 'd\ne']) split(piece);
    expect(lines).toEqual(['ab', 'c', 'd']);
    split('x'.repeat(1_000_001));
    expect(broken).toBe(1);
  });
});
