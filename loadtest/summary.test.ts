import { describe, expect, it } from 'vitest';
import { PROFILES } from './profiles.ts';
import { figuresOf, type K6Summary } from './summary.ts';

const profile = PROFILES['smoke'] as NonNullable<(typeof PROFILES)[string]>;
const summary = (lag: number, held: boolean): K6Summary => ({
  metrics: {
    messages_accepted: { values: { count: 1500 } },
    messages_arrived: { values: { count: 1500 }, thresholds: { 'count>=1425': { ok: held } } },
    acks_confirmed: { values: { count: 1500 } },
    accept_ms: { values: { med: 3.21, 'p(99)': 20.04, max: 31 } },
    generator_lag_ms: { values: { med: 0, 'p(99)': lag, max: lag } },
  },
});

describe('figures of a load', () => {
  it('are ok when every threshold held', () => {
    const report = figuresOf(summary(4, true), profile);
    expect(report.ok).toBe(true);
    expect(report.figures).toMatchObject({
      messages_arrived: 1500,
      accept_ms_p50: 3.2,
      accept_ms_p99: 20,
      messages_repeated: 0,
      void: false,
    });
  });
  it('are not when a threshold was missed, and say so in the row', () => {
    const report = figuresOf(summary(4, false), profile);
    expect(report.ok).toBe(false);
    expect(report.rows).toContainEqual(['messages_arrived', '1500', 'count>=1425', 'NO']);
  });
  it('are not when an accepted message did not arrive', () => {
    const { metrics } = summary(4, true);
    const report = figuresOf({ metrics: { ...metrics, messages_accepted: { values: { count: 1501 } } } }, profile);
    expect(report).toMatchObject({ ok: false, figures: { messages_lost: 1 } });
  });
  it('are not when an ack was never confirmed', () => {
    const { metrics } = summary(4, true);
    const report = figuresOf({ metrics: { ...metrics, acks_confirmed: { values: { count: 1499 } } } }, profile);
    expect(report).toMatchObject({ ok: false, figures: { acks_unconfirmed: 1 } });
  });
  it('are void when sends were left out', () => {
    const { metrics } = summary(4, true);
    expect(figuresOf({ metrics: { ...metrics, dropped_iterations: { values: { count: 16 } } } }, profile)).toMatchObject({
      ok: false,
      figures: { void: true },
    });
  });
  it('are void when the generator was late', () => {
    expect(figuresOf(summary(250, true), profile)).toMatchObject({ ok: false, figures: { void: true } });
  });
});
