import { describe, expect, it } from 'vitest';
import { createJudge, FAULT_FIGURES } from '../checker/index.ts';
import type { Played } from './matrix.ts';
import { HEAD, type MatrixOutcome, matrixResult, plantedResult, rowOf, sums, wrongs } from './matrix-report.ts';

const verdict = { ...createJudge().verdict(), accepted: 100, arrived: 100, repeats: 4 };
const right: Played = {
  fault: 'kill',
  case: '2',
  seed: 1,
  runs: 2,
  ttlMs: 6000,
  bounds: {
    takeoverExtraMs: 1500,
    fullRateMs: 10_000,
    latencyP99Ms: 9000,
    gapP99Ms: 800,
    answerMs: 1000,
    repeatsInFlight: true,
    figures: { deaths: 3 },
  },
  verdict,
  inFlight: 4,
  takeover: { strikes: 2, devices: 3, missing: 0, times: [7500, 5000, 6000] },
  gaps: [800, 20],
  backs: [10_000, 20],
  latencyP99Ms: 9000,
  latencyMaxMs: 9500,
  stallMs: 100,
  answers: [3, 1000, 5],
  givenUp: 0,
  retries: 0,
  fenced: 3,
  unowned: 0,
  drained: true,
  figures: { deaths: 3 },
  tookMs: 30_000,
};
const outcome = (played: readonly Played[], more: Partial<MatrixOutcome> = {}): MatrixOutcome => ({
  played,
  notRun: [],
  broken: [],
  across: [],
  stacks: 1,
  ...more,
});

describe('the outcome of the matrix', () => {
  it('is right at every bound, not above', () => {
    expect(wrongs(right)).toEqual([]);
    expect(matrixResult('kill', outcome([right]), {}).ok).toBe(true);
  });

  const cases: readonly [string, Played][] = [
    ...FAULT_FIGURES.map((figure): [string, Played] => [figure, { ...right, verdict: { ...verdict, [figure]: 1 } }]),
    ['accepted', { ...right, verdict: { ...verdict, accepted: 0 } }],
    ['repeats', { ...right, inFlight: 3 }],
    ['repeats', { ...right, inFlight: null }],
    ['takeoverMs', { ...right, takeover: { ...right.takeover, times: [1, 7501] } }],
    ['takeoverMs', { ...right, takeover: { ...right.takeover, missing: 1 } }],
    ['takeoverMs', { ...right, takeover: { strikes: 0, devices: 0, missing: 0, times: [] } }],
    ['fullRateMs', { ...right, backs: [1, null] }],
    ['latencyP99Ms', { ...right, latencyP99Ms: 9001 }],
    ['gapP99Ms', { ...right, gaps: [1, 801] }],
    ['answerMs', { ...right, answers: [1, 1001] }],
    ['deaths', { ...right, figures: {} }],
    ['unowned', { ...right, unowned: 1 }],
    ['drained', { ...right, drained: false }],
  ];
  it.each(cases)('is wrong with a wrong %s', (name, played) => {
    expect(wrongs(played)).toEqual([name]);
    expect(matrixResult('kill', outcome([right, played]), {}).ok).toBe(false);
  });

  it('is not ok when a run broke off or nothing was played, and says what was not run', () => {
    expect(matrixResult('kill', outcome([right], { broken: ['kill: x'] }), {}).ok).toBe(false);
    expect(matrixResult('kill', outcome([right], { across: ['plain: epochFalls 1'] }), {}).ok).toBe(false);
    const skipped = [{ fault: 'clock-step', why: 'no library' }];
    expect(matrixResult('clock-step', outcome([], { notRun: skipped }), {})).toMatchObject({ ok: false, figures: { notRun: 1, runs: 0 } });
    expect(sums([right, right], skipped)).toEqual([
      rowOf([right, right]),
      expect.arrayContaining(['clock-step', 0, 'NOT RUN: no library']),
    ]);
  });

  it('allows stale sends that the phone drops only where a fault says so, and one that is shown never', () => {
    const stale: Played = { ...right, verdict: { ...verdict, epochFalls: 2 }, bounds: { ...right.bounds, staleRepeats: 2 } };
    expect(wrongs(stale)).toEqual([]);
    expect(wrongs({ ...stale, verdict: { ...stale.verdict, epochFalls: 3 } })).toEqual(['epochFalls']);
    expect(wrongs({ ...stale, verdict: { ...stale.verdict, staleShown: 1 } })).toEqual(['epochFalls']);
  });

  it('takes a planted run for right when two owners show, and only then', () => {
    const stale: Played = { ...right, verdict: { ...verdict, epochFalls: 1 } };
    expect(plantedResult('pause', 'no-fence', outcome([right, stale]), {})).toMatchObject({ ok: true, figures: { seen: 1 } });
    expect(plantedResult('pause', 'no-fence', outcome([{ ...right, unowned: 3 }]), {}).ok).toBe(false);
  });

  it('pools the times of all runs', () => {
    const row = rowOf([right, { ...right, takeover: { strikes: 1, devices: 1, missing: 0, times: [9000] } }]);
    const cell = (name: (typeof HEAD)[number]) => row[HEAD.indexOf(name)];
    expect([cell('runs'), cell('takeover p50'), cell('p100'), cell('gap p100'), cell('full rate'), cell('answer p100')]).toEqual([
      4, 6000, 9000, 800, 10_000, 1000,
    ]);
  });

  it('has a cell for every column', () => {
    for (const row of sums([right], [{ fault: 'x', why: 'y' }])) expect(row).toHaveLength(HEAD.length);
  });
});
