import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { FAULTS } from './faults/index.ts';
import { playFault } from './matrix.ts';
import { wrongs } from './matrix-report.ts';

/** Two faults of the matrix, small: that the runs themselves work, and that the product stands them. */
describe('a short chaos run', () => {
  it.each(['kill', 'flushall'])(
    '%s: nothing lost, nothing doubled, order kept',
    async (name) => {
      const fault = FAULTS.find((one) => one.name === name);
      if (fault === undefined) throw new Error(`no fault ${name}`);
      const played = await playFault(systemClock, fault, {
        distDir: undefined,
        devices: 40,
        perSecond: 80,
        seed: 7,
        strikes: 1,
        keep: false,
        say: () => {},
      });
      if (played.folder !== undefined) rmSync(played.folder, { recursive: true, force: true });
      expect(wrongs(played), JSON.stringify(played)).toEqual([]);
      expect(played.runs).toBe(1);
      expect(played.verdict.accepted).toBeGreaterThan(500);
      if (name === 'kill') expect(played.takeovers[0]?.devices).toBeGreaterThan(0);
    },
    120_000,
  );
});
