import { allDevices, bumpEpochs, changedDevices, ownershipOf, pinOf, type SqlRunner, upsertNode } from '../../schema/sql/index.ts';
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
