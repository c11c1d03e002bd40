import { describe, expect, it } from 'vitest';
import { judged, wantedOf } from './index.ts';
import type { Played } from './play.ts';

const played = (perSecond: number, more: Partial<Played> = {}): Played => ({
  arrived: 100,
  lost: 0,
  doubled: 0,
  disordered: 0,
  unexpected: 0,
  perSecond,
  ledgerSent: null,
  cpuUs: {},
  othersPercent: 5,
  ...more,
});
const run = (ours: Partial<Played> = {}, peer: Partial<Played> = {}) =>
  judged(
    new Map([
      ['ours', [played(12_000, { ledgerSent: 100, ...ours }), played(20_000, { ledgerSent: 100 }), played(11_000, { ledgerSent: 100 })]],
      ['BullMQ', [played(6000, peer), played(5000), played(5500)]],
    ]),
    100,
  );

describe('what a drain is judged by', () => {
  it('takes the median of the ratios of each round', () => {
    const { ok, figures } = run();
    expect(figures).toMatchObject({ 'ours: msg/s': 12_000, toBullmq: 2, wrongRuns: 0, othersPercent: 5 });
    expect(ok).toBe(true);
  });

  it.each([
    ['a lost message of ours', { lost: 1, arrived: 99 }, {}, 1],
    ['a doubled message of a peer', {}, { doubled: 1 }, 1],
    ['an arrival that the ledger does not call sent', { ledgerSent: 99 }, {}, 1],
    ['a machine that others work on', {}, { othersPercent: 21 }, 0],
    ['too low a rate', { perSecond: 9000 }, {}, 0],
  ])('is not ok with %s', (what, ours, peer, wrong) => {
    const slow = what === 'too low a rate';
    const { ok, figures } = slow ? judged(new Map([['ours', [played(9000, { ledgerSent: 100 })]]]), 100) : run(ours, peer);
    expect(figures['wrongRuns']).toBe(wrong);
    expect(ok).toBe(false);
  });
});

describe('the words of the drain', () => {
  it('knows sizes and arms, and always plays ours', () => {
    expect(wantedOf(['pg-boss', 'messages', '100', 'devices', '10'])).toEqual({
      messages: 100,
      devices: 10,
      rounds: 3,
      arms: ['ours', 'pg-boss'],
    });
  });

  it.each([
    [['redis'], 'redis: expected ours'],
    [['messages', 'many'], '--messages: expected a whole number from 1, got "many"'],
    [['rounds'], '--rounds: expected a whole number from 1, got ""'],
    [['messages', '5'], 'at least one for each of the 3000 devices'],
  ])('refuses %j', (parts, message) => {
    expect(() => wantedOf(parts)).toThrow(message);
  });
});
