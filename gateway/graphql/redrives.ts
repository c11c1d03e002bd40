import type { Sql } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { assert, uuidV7 } from '../../schema/domain/index.ts';
import type { RedrivePort } from '../../schema/graphql/index.ts';
import * as ledger from '../../schema/sql/index.ts';
import type { Guard } from '../system/index.ts';

export interface RedrivePortDeps {
  readonly sql: Sql;
  readonly guard: Guard;
  readonly clock: Clock;
}

/** Wires redrives to the ledger. Nodes look for running ones every second (actors/redrive). */
export function createRedrivePort({ sql, guard, clock }: RedrivePortDeps): RedrivePort {
  return {
    groups: (tenantId, filter) => guard(() => ledger.deadLetterGroups(sql, tenantId, filter)),
    count: (tenantId, order) => guard(() => ledger.countRedrivable(sql, tenantId, order)),
    start: (order) =>
      guard(async () => {
        const id = uuidV7(clock.wall());
        if (!(await ledger.startRedrive(sql, { ...order, id }))) return 'TOO_MANY';
        const [row] = await ledger.redrivesPage(sql, order.tenantId, { before: null, limit: 1, ids: [id] });
        assert(row !== undefined, 'startRedrive: what was ordered is there');
        return row;
      }),
    cancel: (tenantId, id) => guard(() => ledger.cancelRedrive(sql, tenantId, id)),
    page: (tenantId, query) =>
      guard(async () => {
        const rows = await ledger.redrivesPage(sql, tenantId, { ...query, limit: query.limit + 1 });
        return { rows: rows.slice(0, query.limit), more: rows.length > query.limit };
      }),
  };
}
