import type { Clock } from '../../ops/lifecycle/index.ts';
import { allDevices, bumpEpochs, changedDevices, ownershipOf, pinOf, type SqlRunner, upsertNode } from '../../schema/sql/index.ts';
import { inTime } from './pool.ts';
import type { OwnershipLedger } from './types.ts';

/** Ownership's view of Postgres over schema/sql. */
export function createOwnershipLedger(sql: SqlRunner): OwnershipLedger {
  return {
    devices: async () => (await allDevices(sql)).map(({ id, pin }) => ({ deviceId: id, pin })),
    changed: async (sinceMs) =>
      (await changedDevices(sql, sinceMs)).map(({ id, deleted, settings, changedAt }) => ({
        deviceId: id,
        gone: deleted,
        pin: pinOf(settings),
        changedAt,
      })),
    owners: (deviceIds) => ownershipOf(sql, { deviceIds }),
    bump: (pairs, node) => bumpEpochs(sql, pairs, node),
    saveNode: (row) => upsertNode(sql, row),
  };
}

/**
 * The ledger as claims ask it: what has no answer by the time the leases have ended fails. A statement whose answer is lost would otherwise keep its
 * devices under way, and the scan that asked, for as long as the connection takes to notice; whoever is handed such a device meanwhile gets nowhere.
 * A bump that comes through later is one without a grant, as any that loses its answer.
 */
export function impatient(ledger: OwnershipLedger, clock: Clock, ttlMs: number): OwnershipLedger {
  return {
    ...ledger,
    owners: (deviceIds) => inTime(clock, ledger.owners(deviceIds), ttlMs),
    bump: (pairs, node) => inTime(clock, ledger.bump(pairs, node), ttlMs),
  };
}
