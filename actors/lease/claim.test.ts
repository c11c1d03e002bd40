import { expect, it } from 'vitest';
import { uuidV7 } from '../../schema/domain/index.ts';
import { createClaims } from './claim.ts';
import type { Core } from './core.ts';

/**
 * Two rounds run at a time and each added its count to a sum it had read before it waited: 1,600 claims counted as 1,000, the ramp saw its
 * budget half used and stayed where it was, and 30,000 devices took 25 s instead of 8.
 */
it('counts the claims of rounds that run at the same time', async () => {
  let open = 0;
  let most = 0;
  const core = {
    deps: {
      clock: { monotonic: () => 0 },
      telemetry: { log: {} },
      ledger: {
        async owners(ids: readonly string[]) {
          open++;
          most = Math.max(most, open);
          // the later round answers first
          for (let turn = 0; turn < (open === 1 ? 20 : 5); turn++) await Promise.resolve();
          open--;
          return ids.map((deviceId) => ({ deviceId, epoch: 0, node: null }));
        },
      },
    },
    options: { nodeId: 'node-a', renewMs: 2000 },
    renewalsLate: () => 0,
    phase: 'running',
    busy: new Set(),
    holdings: { owned: new Map() },
    locks: { acquire: async () => [] },
  } as unknown as Core;
  const ids = Array.from({ length: 1600 }, () => uuidV7(1_700_000_000_000));
  expect(await createClaims(core).claim(ids, () => false)).toEqual({ asked: 1600, granted: 0, took: 0 });
  expect(most).toBe(2);
  expect(core.busy.size).toBe(0);
});
