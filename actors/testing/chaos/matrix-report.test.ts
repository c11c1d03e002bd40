import { describe, expect, it } from 'vitest';
import { createJudge, FAULT_FIGURES } from '../checker/index.ts';
import type { Played } from './matrix.ts';
import { HEAD, markdown, matrixResult, rowOf, sums, wrongs } from './matrix-report.ts';

const verdict = { ...createJudge().verdict(), accepted: 100, arrived: 100, repeats: 4 };
const right: Played = {
  fault: 'kill',
  seed: 1,
  runs: 2,
  ttlMs: 6000,
  bounds: { takeoverExtraMs: 1500, fullRateMs: 10_000, latencyP99Ms: 9000, answerMs: 1000, repeatsInFlight: true, figures: { deaths: 3 } },
  verdict,
  inFlight: 4,
  takeovers: [{ devices: 10, missing: 0, medianMs: 5000, maxMs: 7500 }],
  fullRateMs: 10_000,
  latencyP99Ms: 9000,
  stallMs: 100,
  answerMs: 1000,
  retries: 0,
  fenced: 3,
  unowned: 0,
  drained: true,
  figures: { deaths: 3 },
  tookMs: 30_000,
  folder: undefined,
};

describe('the outcome of the matrix', () => {
  it('is right at every bound, not above', () => {
    expect(wrongs(right)).toEqual([]);
    expect(matrixResult('kill', [right], [], [], {}).ok).toBe(true);
  });

  const cases: readonly [string, Played][] = [
    ...FAULT_FIGURES.map((figure): [string, Played] => [figure, { ...right, verdict: { ...verdict, [figure]: 1 } }]),
    ['accepted', { ...right, verdict: { ...verdict, accepted: 0 } }],
    ['repeats', { ...right, inFlight: 3 }],
    ['repeats', { ...right, inFlight: null }],
    ['takeoverMs', { ...right, takeovers: [{ devices: 10, missing: 0, medianMs: 1, maxMs: 7501 }] }],
    ['takeoverMs', { ...right, takeovers: [{ devices: 10, missing: 1, medianMs: 1, maxMs: 1 }] }],
    ['takeoverMs', { ...right, takeovers: [] }],
    ['fullRateMs', { ...right, fullRateMs: null }],
    ['latencyP99Ms', { ...right, latencyP99Ms: 9001 }],
    ['answerMs', { ...right, answerMs: 1001 }],
    ['deaths', { ...right, figures: {} }],
    ['unowned', { ...right, unowned: 1 }],
    ['drained', { ...right, drained: false }],
  ];
  it.each(cases)('is wrong with a wrong %s', (name, played) => {
    expect(wrongs(played)).toEqual([name]);
    expect(matrixResult('kill', [right, played], [], [], {}).ok).toBe(false);
  });

  it('is not ok when a run broke off or nothing was played, and says what was not run', () => {
    expect(matrixResult('kill', [right], [], ['kill: x'], {}).ok).toBe(false);
    const skipped = [{ fault: 'clock-step', why: 'no library' }];
    expect(matrixResult('clock-step', [], skipped, [], {})).toMatchObject({ ok: false, figures: { notRun: 1, runs: 0 } });
    expect(sums([right, right], skipped)).toEqual([
      rowOf([right, right]),
      expect.arrayContaining(['clock-step', 0, 'NOT RUN: no library']),
    ]);
  });

  it('has a cell for every column', () => {
    for (const row of sums([right], [{ fault: 'x', why: 'y' }])) expect(row).toHaveLength(HEAD.length);
    expect(markdown([rowOf([right])]).split('\n')).toHaveLength(3);
  });
});
