import type { Sql } from '../../ops/connect/index.ts';
import type { GraphqlServices } from '../../schema/graphql/index.ts';
import { queueDepths, reportCauses, reportSteps } from '../../schema/sql/index.ts';
import type { Guard } from '../system/index.ts';

/** Wires the reports of the API to their statements. */
export function createReportReads({ sql, guard }: { readonly sql: Sql; readonly guard: Guard }): GraphqlServices['reports'] {
  return {
    steps: (tenantId, ask, limit) => guard(() => reportSteps(sql, tenantId, ask, { after: null, limit })),
    causes: (tenantId, { subject, ...ask }, limit) =>
      guard(() => reportCauses(sql, tenantId, { ...ask, subjects: subject === null ? null : [subject] }, { bySteps: false, limit })),
    depths: (tenantId, only) => guard(() => queueDepths(sql, tenantId, only)),
  };
}
