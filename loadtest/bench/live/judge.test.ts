import { describe, expect, it } from 'vitest';
import { judgeEvent, judgeFleet } from './judge.ts';

const e = (seq: number, epoch = 'e') => ({ epoch, seq });

describe('events', () => {
  it.each([
    [null, e(7), 'right', 7],
    [e(7), e(8), 'right', 8],
    [e(7), e(9), 'gap', 9],
    [e(7), e(8, 'other'), 'gap', 8],
    [e(7), e(7), 'duplicate', 7],
    [e(7), e(3), 'duplicate', 7],
  ] as const)('%j then %j: %s', (before, given, verdict, seq) => {
    expect(judgeEvent(before, given)).toMatchObject({ verdict, at: { seq } });
  });
});

describe('the fleet', () => {
  it.each([
    [null, e(7), 'right'],
    [null, { ...e(7), from: 6 }, 'gap'],
    [e(7), { ...e(9), from: 7 }, 'right'],
    [e(7), { ...e(7), from: 7 }, 'right'],
    [e(7), { ...e(9), from: 8 }, 'gap'],
    [e(7), { ...e(9), from: 6 }, 'duplicate'],
    [e(7), { ...e(9, 'other'), from: 7 }, 'gap'],
    [e(7), e(9), 'right'],
    [e(7), e(6), 'duplicate'],
    [e(7), e(1, 'other'), 'right'],
  ] as const)('%j then %j: %s', (before, given, verdict) => {
    expect(judgeFleet(before, given).verdict).toBe(verdict);
  });
});
