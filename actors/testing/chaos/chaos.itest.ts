import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { allFaults } from './faults/index.ts';
import { playGround } from './matrix.ts';
import { wrongs } from './matrix-report.ts';

/** Two faults of the matrix, small: that the runs themselves work, and that the product stands them. */
describe('a short chaos run', () => {
  it.each(['kill', 'flushall'])(
    '%s: nothing lost, nothing doubled, order kept',
    async (name) => {
      const found = allFaults().find((one) => one.name === name);
      if (found === undefined) throw new Error(`no fault ${name}`);
      // what must hold in any case: times are for a run that has the machine to itself
      const fault = { ...found, bounds: {} };
      const stack = await playGround(systemClock, fault.ground, [{ fault, strikes: 1 }], {
        distDir: undefined,
        devices: 40,
        perSecond: 80,
        seed: 7,
        keep: false,
        say: () => {},
      });
      if (stack.folder !== undefined) rmSync(stack.folder, { recursive: true, force: true });
      const [played] = stack.played;
      expect(stack.broken).toBeUndefined();
      if (played === undefined) throw new Error('nothing was played');
      expect(wrongs(played), JSON.stringify(played)).toEqual([]);
      expect(stack.across).toEqual({});
      expect(played.runs).toBe(1);
      expect(played.verdict.accepted).toBeGreaterThan(100);
      if (name === 'kill') expect(played.takeover).toMatchObject({ strikes: 1, missing: 0, devices: expect.any(Number) });
      if (name === 'kill') expect(played.takeover.times.length).toBeGreaterThan(0);
    },
    300_000,
  );
});
