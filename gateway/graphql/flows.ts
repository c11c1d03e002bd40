import { renderText, TemplateError, templateVariables } from '../../actors/campaigns/index.ts';
import type { Sql } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { FLOWS_CHANNEL, uuidV7 } from '../../schema/domain/index.ts';
import type { FlowPort } from '../../schema/graphql/index.ts';
import * as ledger from '../../schema/sql/index.ts';
import { createPhoneReader, isRegion } from '../leads/index.ts';
import type { Guard } from '../system/index.ts';

export interface FlowPortDeps {
  readonly sql: Sql;
  readonly guard: Guard;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'log'>;
  /** Redis, for the flows' bell */
  readonly bells: { publish(channel: string, text: string): Promise<unknown> };
}

function templateFault(template: string): string | null {
  try {
    templateVariables(template);
    return null;
  } catch (error) {
    if (error instanceof TemplateError) return error.message;
    throw error;
  }
}

/** Wires campaigns, sequences and leads to the ledger. Nodes are rung after each commit; a lost bell is made up for within 5 s. */
export function createFlowPort({ sql, guard, clock, telemetry, bells }: FlowPortDeps): FlowPort {
  const ring = (tenantId: string): void => {
    bells.publish(FLOWS_CHANNEL, tenantId).catch((error: unknown) => telemetry.log.debug('bell.failed', { error: String(error) }));
  };
  const byId: FlowPort['byId'] = async (tenantId, kind, id) =>
    (await ledger.flowsPage(sql, tenantId, kind, { before: null, limit: 1, ids: [id] }))[0] ?? null;
  return {
    templateFault,
    byId: (tenantId, kind, id) => guard(() => byId(tenantId, kind, id)),
    page: (tenantId, kind, { before, limit }) =>
      guard(async () => {
        const rows = await ledger.flowsPage(sql, tenantId, kind, { before, limit: limit + 1 });
        return { rows: rows.slice(0, limit), more: rows.length > limit };
      }),
    progress: (flowNos) => guard(() => ledger.flowProgress(sql, flowNos)),
    variantProgress: (flowNo) => guard(() => ledger.variantProgress(sql, flowNo)),
    create: (flow) =>
      guard(async () => {
        const id = uuidV7(clock.wall());
        const { tenantId, kind, deviceIds, nextFlowId } = flow;
        if (deviceIds !== null) {
          const wanted = new Set(deviceIds);
          if ((await ledger.tenantDevices(sql, tenantId, [...wanted])).length < wanted.size) return 'DEVICE_NOT_FOUND';
        }
        if (nextFlowId !== null && (await byId(tenantId, 'SEQUENCE', nextFlowId)) === null) return 'SEQUENCE_NOT_FOUND';
        if (nextFlowId !== null && (await ledger.flowLeadsTo(sql, tenantId, nextFlowId, flow.name))) return 'SEQUENCE_LOOPS';
        if ((await ledger.createFlow(sql, { ...flow, id })) === null) return 'NAME_TAKEN';
        return (await byId(tenantId, kind, id)) ?? 'NAME_TAKEN';
      }),
    setState: (tenantId, flowId, wanted) =>
      guard(async () => {
        const outcome = await ledger.setFlowState(sql, tenantId, flowId, wanted);
        if (outcome?.changed === true) ring(tenantId);
        return outcome;
      }),
    enrol: (tenantId, flowId, leadIds) =>
      guard(async () => {
        const enrolled = await ledger.enrolLeads(sql, tenantId, flowId, leadIds);
        if (enrolled > 0) ring(tenantId);
        return enrolled;
      }),
    unenrol: (tenantId, flowId, leadIds) => guard(() => ledger.unenrolLeads(sql, tenantId, flowId, leadIds)),
    leads: (tenantId, { after, limit, tag }) =>
      guard(async () => {
        const rows = await ledger.leadsPage(sql, tenantId, { after, limit: limit + 1, tag });
        return { rows: rows.slice(0, limit), more: rows.length > limit };
      }),
    importLeads: (tenantId, leads) =>
      guard(() =>
        ledger.importLeads(
          sql,
          leads.map((lead) => ({ ...lead, tenantId, id: uuidV7(clock.wall()) })),
        ),
      ),
    preview: (tenantId, flowId, most) => guard(() => ledger.previewFlow(sql, tenantId, flowId, most)),
    render: renderText,
    phoneReader: (region) => (isRegion(region.toUpperCase()) ? createPhoneReader(region.toUpperCase()) : null),
    leadImports: (tenantId, query) =>
      guard(async () => {
        const rows = await ledger.leadImportsPage(sql, tenantId, { ...query, limit: query.limit + 1 });
        return { rows: rows.slice(0, query.limit), more: rows.length > query.limit };
      }),
    cancelLeadImport: (tenantId, id) => guard(() => ledger.cancelLeadImport(sql, tenantId, id)),
  };
}
