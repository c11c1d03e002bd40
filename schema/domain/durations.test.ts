import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addDurations, DURATION_CLASSES, durationClass, durationLimit, durationQuantile } from './index.ts';

describe('durations in classes', () => {
  it('every duration is in the one class whose ends hold it', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), (ms) => {
        const index = durationClass(ms);
        expect(index).toBeGreaterThanOrEqual(0);
        expect(index).toBeLessThan(DURATION_CLASSES);
        if (index < DURATION_CLASSES - 1) expect(ms).toBeLessThanOrEqual(durationLimit(index) * (1 + 1e-6));
        if (index > 0) expect(ms).toBeGreaterThan(durationLimit(index - 1) * (1 - 1e-6));
      }),
    );
  });

  it('quantiles lie in the class of the truth', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 2, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 }), (values) => {
        const counts: number[] = Array(DURATION_CLASSES).fill(0);
        for (const ms of values) counts[durationClass(ms)] = (counts[durationClass(ms)] ?? 0) + 1;
        const sorted = [...values].sort((a, b) => a - b);
        for (const q of [0.5, 0.95, 0.99, 1]) {
          const truth = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
          const said = durationQuantile(counts, q) ?? 0;
          expect(said).toBeGreaterThanOrEqual(truth / Math.SQRT2 - 1e-6);
          expect(said).toBeLessThanOrEqual(truth * Math.SQRT2 + 1e-6);
        }
      }),
    );
  });

  it('sums and says nothing of nothing', () => {
    expect(addDurations([1, 2], [0, 1, 4])).toEqual([1, 3, 4]);
    expect(durationQuantile([], 0.5)).toBeNull();
    expect(durationQuantile([0, 0], 0.5)).toBeNull();
  });
});
