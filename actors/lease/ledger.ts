import type { Clock } from '../../ops/lifecycle/index.ts';
import { allDevices, bumpEpochs, changedDevices, ownershipOf, type SqlRunner, upsertNode } from '../../schema/sql/index.ts';
import type { OwnershipLedger } from './types.ts';

/** Ownership's view of Postgres over schema/sql. */
export function createOwnershipLedger(sql: SqlRunner, clock: Pick<Clock, 'wall'>): OwnershipLedger {
  return {
    devices: async () => (await allDevices(sql)).map((device) => device.id),
    changed: async (sinceMs) =>
      (await changedDevices(sql, sinceMs)).map((device) => ({ deviceId: device.id, gone: device.deleted, changedAt: device.changedAt })),
    owners: (deviceIds) => ownershipOf(sql, { deviceIds }),
    bump: (pairs, node) => bumpEpochs(sql, pairs, node),
    saveNode: (row) => upsertNode(sql, { ...row, seenAt: clock.wall() }),
  };
}
