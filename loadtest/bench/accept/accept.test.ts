import { describe, expect, it } from 'vitest';
import { judged, sizesOf } from './index.ts';

const measured = (startP99: number, more: { faults?: number; othersPercent?: number } = {}) => ({
  startP50: startP99 / 4,
  startP99,
  startMax: startP99 * 2,
  acceptedP99: 1,
  phoneP99: startP99 + 1,
  faults: 0,
  othersPercent: 3,
  ...more,
});
const rounds = (ours: Parameters<typeof measured>) => [
  { ours: measured(...ours), bull: measured(4) },
  { ours: measured(...ours), bull: measured(5) },
  { ours: measured(...ours), bull: measured(2) },
];

describe('what the start of work is judged by', () => {
  it('takes the median of the ratios of each round', () => {
    const { ok, figures } = judged(rounds([4]));
    expect(figures).toMatchObject({ 'ours: start ms p99': 4, 'BullMQ: start ms p99': 4, 'p99 to BullMQ': 1, wrongRuns: 0 });
    expect(ok).toBe(true);
  });

  it.each([
    ['a later start', [5, {}] as const],
    ['a message lost, doubled or out of order', [1, { faults: 1 }] as const],
    ['a machine that others work on', [1, { othersPercent: 30 }] as const],
  ])('is not ok with %s', (_what, ours) => {
    expect(judged(rounds([...ours])).ok).toBe(false);
  });

  it('knows its sizes', () => {
    expect(sizesOf(['rounds', '2'])).toEqual({ messages: 2000, devices: 3000, rounds: 2 });
    expect(() => sizesOf(['rounds', 'many'])).toThrow('--rounds: expected a whole number from 1, got "many"');
  });
});
