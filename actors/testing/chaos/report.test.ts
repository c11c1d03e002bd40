import { describe, expect, it } from 'vitest';
import { createJudge, FAULT_FIGURES, type Verdict } from '../checker/index.ts';
import { complaints, report, type Settings } from './report.ts';
import type { SmokeResult } from './smoke.ts';

const verdict: Verdict = { ...createJudge().verdict(), accepted: 100, arrived: 100, repeats: 7 };
const right: SmokeResult = {
  verdict,
  inFlightAtFaults: 7,
  killed: { devices: 10, missing: 0, medianMs: 5000, p99Ms: 5000, maxMs: 7500 },
  stopped: { devices: 10, missing: 0, medianMs: 5000, p99Ms: 5000, maxMs: 9000 },
  gatewayDied: true,
  apiRetries: 3,
  drained: true,
  tookMs: 40_000,
  folder: undefined,
};
const settings: Settings = { messages: 100, devices: 10, runs: 1, seed: 1, plant: undefined, json: undefined, keep: false };

describe('the outcome of chaos runs', () => {
  it('is ok for a right run, and its line holds a figure for every target', () => {
    const outcome = report(settings, [right]);
    expect(outcome.ok).toBe(true);
    for (const name of Object.keys(outcome.targets)) expect(outcome.figures).toHaveProperty(name);
  });

  const wrongs: readonly [string, SmokeResult][] = [
    ...FAULT_FIGURES.map((figure): [string, SmokeResult] => [figure, { ...right, verdict: { ...verdict, [figure]: 1 } }]),
    ['repeats', { ...right, inFlightAtFaults: 6 }],
    ['takeoverMs', { ...right, killed: { ...right.killed, maxMs: 7501 } }],
    ['takeoverMs', { ...right, killed: { ...right.killed, missing: 1 } }],
    ['takeoverMs', { ...right, killed: { devices: 0, missing: 0, medianMs: null, p99Ms: null, maxMs: null } }],
    ['gatewayDied', { ...right, gatewayDied: false }],
    ['drained', { ...right, drained: false }],
  ];
  it.each(wrongs)('is not ok with a wrong %s in one of two runs', (name, wrong) => {
    expect(complaints(wrong)).toEqual([name]);
    expect(report({ ...settings, runs: 2 }, [right, wrong]).ok).toBe(false);
  });

  it('is not ok when runs or accepted messages are missing', () => {
    expect(report({ ...settings, runs: 2 }, [right]).ok).toBe(false);
    expect(report({ ...settings, messages: 101 }, [right]).ok).toBe(false);
  });

  it('with a plant is ok only when every run saw two owners at work', () => {
    const planted = { ...settings, runs: 2, plant: 'no-fence' };
    const seen: SmokeResult = { ...right, verdict: { ...verdict, epochFalls: 3 }, drained: false };
    const lostOnly: SmokeResult = { ...right, verdict: { ...verdict, lost: 3 }, drained: false };
    expect(report(planted, [seen, seen])).toMatchObject({ ok: true, figures: { found: 2 } });
    expect(report(planted, [seen, right]).ok).toBe(false);
    expect(report(planted, [seen, lostOnly]).ok).toBe(false);
  });
});
