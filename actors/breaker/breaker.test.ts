import { describe, expect, it } from 'vitest';
import { admit, BREAKER, type BreakerState, CLOSED, recordAnswer } from './device-breaker.ts';
import { createFleetBreaker } from './fleet-breaker.ts';

const dice = { next: () => 0.5 };
const feed = (answers: string, from: BreakerState = CLOSED, now = 0): BreakerState =>
  [...answers].reduce((state, answer) => recordAnswer(state, answer === '.', now, dice), from);

describe('the breaker of one device', () => {
  it('stays closed below ten answers and at exactly one half', () => {
    expect(feed('xxxxxxxxx').phase).toBe('closed');
    expect(feed('.x.x.x.x.x').phase).toBe('closed');
    expect(feed('.x.x.x.x.xx').phase).toBe('open');
  });
  it('forgets what lies before the window', () => {
    expect(feed(`${'x'.repeat(5)}${'.'.repeat(20)}${'x'.repeat(10)}`).phase).toBe('closed');
    expect(feed(`${'.'.repeat(20)}${'x'.repeat(11)}`).phase).toBe('open');
  });
  it('lets one probe through after its pause, and its answer decides', () => {
    const open = feed('xxxxxxxxxx', CLOSED, 1000);
    expect(open).toMatchObject({ phase: 'open', until: 1000 + BREAKER.pauseMs });
    expect(admit(open, open.until - 1).admitted).toBe(false);
    const probing = admit(open, open.until);
    expect(probing).toMatchObject({ admitted: true, state: { phase: 'half-open' } });
    expect(recordAnswer(probing.state, true, 40_000, dice)).toEqual(CLOSED);
    // a failed probe: the pause doubles
    expect(recordAnswer(probing.state, false, 40_000, dice)).toMatchObject({
      phase: 'open',
      until: 40_000 + 2 * BREAKER.pauseMs,
      openings: 2,
    });
  });
});

describe('the breaker of the fleet', () => {
  const options = { windowMs: 1000, leastDevices: 4, rate: 0.5, pauseMs: 100 };
  it('opens when most of enough devices failed last, and one probe closes it', () => {
    let opened = 0;
    const fleet = createFleetBreaker(() => opened++, options);
    for (const id of ['a', 'b', 'c']) fleet.record(id, false, 0);
    expect(fleet.open).toBe(false);
    fleet.record('d', false, 0);
    expect([fleet.open, opened]).toEqual([true, 1]);
    expect(fleet.waitMs('a', 50)).toBe(50);
    expect(fleet.waitMs('a', 100)).toBe(0);
    expect(fleet.waitMs('b', 100)).toBeGreaterThan(0);
    fleet.record('b', true, 110);
    expect(fleet.open).toBe(true);
    fleet.record('a', true, 120);
    expect([fleet.open, fleet.waitMs('b', 121)]).toEqual([false, 0]);
  });
  it('stays closed when the same few devices fail, when they recover, and over a long time', () => {
    const fleet = createFleetBreaker(() => {}, options);
    for (let i = 0; i < 50; i++) fleet.record('a', false, i);
    for (const id of ['b', 'c', 'd']) fleet.record(id, true, 60);
    expect(fleet.open).toBe(false);
    for (const [index, id] of ['e', 'f', 'g', 'h'].entries()) fleet.record(id, false, 5000 + index * 1100);
    expect(fleet.open).toBe(false);
  });
  it('a failed probe opens it again, and a probe that never answers gives its place up', () => {
    const fleet = createFleetBreaker(() => {}, options);
    for (const id of ['a', 'b', 'c', 'd']) fleet.record(id, false, 0);
    expect(fleet.waitMs('a', 100)).toBe(0);
    fleet.record('a', false, 110);
    expect(fleet.waitMs('b', 150)).toBe(60);
    expect(fleet.waitMs('b', 210)).toBe(0);
    expect(fleet.waitMs('c', 311)).toBe(0);
  });
});
