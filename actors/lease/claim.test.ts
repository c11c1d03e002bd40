import { expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { createClaims } from './claim.ts';
import type { Core } from './core.ts';
import { impatient } from './ledger.ts';
import type { OwnershipLedger } from './types.ts';

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

/**
 * The answer to a compare-and-bump got lost. Its devices stayed under way for the 15 s after which the statement failed; their leases ended long
 * before, another node took them, wanted to give two of them back and was not heard: nobody had those for seconds (found by simulation).
 */
it('gives up a claim that the ledger does not answer while its leases last', async () => {
  const silent: Partial<OwnershipLedger> = {
    owners: async (ids) => ids.map((deviceId) => ({ deviceId, epoch: 0, node: null, crashes: 0 })),
    bump: () => new Promise(() => {}),
  };
  const released: string[] = [];
  const core = {
    deps: {
      clock: systemClock,
      telemetry: { log: { warn() {} } },
      ledger: impatient(silent as OwnershipLedger, systemClock, 50),
    },
    options: { nodeId: 'node-a', renewMs: 2000 },
    renewalsLate: () => 0,
    phase: 'running',
    busy: new Set(),
    holdings: { owned: new Map() },
    locks: {
      acquire: async (ids: readonly string[]) => ids.map((deviceId) => ({ deviceId, token: 'token', deadline: 0, wallDeadline: 0 })),
      release: async (leases: readonly { readonly deviceId: string }[]) => void released.push(...leases.map((lease) => lease.deviceId)),
    },
  } as unknown as Core;
  const id = uuidV7(1_700_000_000_000);
  expect(await createClaims(core).claim([id], () => false)).toMatchObject({ asked: 1, granted: 0 });
  expect(released).toEqual([id]);
  expect(core.busy.size).toBe(0);
});

/** Redis went back in time: the leases that it has forgotten are free to take, and their owners still act (masters.ts). */
it('gives back what another owner is named for when its lock masters cannot be believed, and keeps the rest', async () => {
  const [foreign, own, nobodys] = [uuidV7(1_700_000_000_000), uuidV7(1_700_000_000_000), uuidV7(1_700_000_000_000)];
  const named = new Map<string, string | null>([
    [foreign, 'node-b'],
    [own, 'node-a'],
    [nobodys, null],
  ]);
  const released: string[] = [];
  const bumped: string[] = [];
  const core = {
    deps: {
      clock: systemClock,
      telemetry: { count() {}, log: { warn() {} } },
      redis: { pipeline: () => ({ get() {}, exec: async () => [] }) },
      ledger: {
        owners: async (ids: readonly string[]) => ids.map((deviceId) => ({ deviceId, epoch: 4, node: named.get(deviceId) ?? null })),
        bump: async (pairs: readonly { readonly deviceId: string }[]) => {
          bumped.push(...pairs.map((pair) => pair.deviceId));
          return [];
        },
      },
    },
    options: { nodeId: 'node-a', renewMs: 2000 },
    renewalsLate: () => 0,
    phase: 'running',
    busy: new Set(),
    holdings: { owned: new Map(), heldBefore: () => true },
    masters: { look: async () => new Set(), sure: () => false },
    locks: {
      acquire: async (ids: readonly string[]) => ids.map((deviceId) => ({ deviceId, token: deviceId, voters: new Set([0]) })),
      release: async (leases: readonly { readonly deviceId: string }[]) => void released.push(...leases.map((lease) => lease.deviceId)),
    },
  } as unknown as Core;
  await createClaims(core).claim([foreign, own, nobodys], () => false);
  expect(bumped).toEqual([own, nobodys]);
  expect(released[0]).toBe(foreign);
});
