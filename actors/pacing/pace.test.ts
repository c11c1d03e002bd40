import { describe, expect, it } from 'vitest';
import { seededDice } from '../../ops/lifecycle/index.ts';
import { drawPaceMs } from './pace.ts';

describe('drawPaceMs', () => {
  it('draws evenly between the two, both included', () => {
    const dice = seededDice(1);
    const draws = Array.from({ length: 6000 }, () => drawPaceMs({ minMs: 5, maxMs: 10 }, 'on', dice));
    for (let ms = 5; ms <= 10; ms++) expect(draws.filter((draw) => draw === ms).length).toBeGreaterThan(800);
    expect(new Set(draws).size).toBe(6);
  });
  it('is 0 when pacing is off', () => {
    expect(drawPaceMs({ minMs: 5000, maxMs: 15_000 }, 'off', seededDice(1))).toBe(0);
  });
});
