import type { Sql } from '../../ops/connect/index.ts';
import { FLOWS_CHANNEL, type LeadFields, leadFault, uuidV7 } from '../../schema/domain/index.ts';
import type { AuditPort } from '../../schema/graphql/index.ts';
import { importLeads, loadTenants, signalHook } from '../../schema/sql/index.ts';
import { createPhoneReader, leadOfObject, type PhoneReader } from '../leads/index.ts';
import { type HttpAnswer, HttpError, type HttpHandler, type Server } from '../server/index.ts';
import { createHttpViewer, type Guard, type HttpViewerDeps } from '../system/index.ts';

/**
 * What other systems call when something happened to somebody: POST /api/hooks/<name>. The lead is written down as an import would, then comes into the
 * sequences that listen to the hook. Owns nothing. To call again is safe: a lead is in a sequence once (its rule of re-entry says when again).
 */
export interface HookRoutesDeps extends HttpViewerDeps {
  readonly sql: Sql;
  readonly guard: Guard;
  readonly audit: AuditPort;
  /** Redis, for the flows' bell */
  readonly bells: { publish(channel: string, text: string): Promise<unknown> };
}

export const HOOKS_PATH = '/api/hooks';
const BODY_BYTES = 1024 * 1024;
const LEADS_LIMIT = 100;

const json = (status: number, body: unknown): HttpAnswer => ({
  status,
  headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' },
  body: JSON.stringify(body),
});

/** @throws HttpError 400 with the field */
function leadsOf(text: string, phones: PhoneReader): readonly LeadFields[] {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    throw new HttpError(400, 'expected JSON: {"phone": "+491701234567", ...} or {"leads": [{...}]}');
  }
  const list: unknown = typeof said === 'object' && said !== null && 'leads' in said ? said.leads : null;
  if (list !== null && !Array.isArray(list)) throw new HttpError(400, `leads: expected a list of 1 to ${LEADS_LIMIT}`);
  const all: readonly unknown[] = list ?? [said];
  if (all.length < 1 || all.length > LEADS_LIMIT) throw new HttpError(400, `leads: expected a list of 1 to ${LEADS_LIMIT}`);
  const found = new Map<string, LeadFields>();
  all.forEach((one, index) => {
    const at = list !== null ? `leads.${index}.` : '';
    const raw = leadOfObject(one);
    if ('message' in raw) throw new HttpError(400, `${at}${raw.field}: ${raw.message}`);
    const read = phones(raw.phone);
    if ('fault' in read) throw new HttpError(400, `${at}phone: ${read.fault}`);
    const lead = { ...raw, phone: read.phone, tags: [...new Set(raw.tags)] };
    const fault = leadFault(lead);
    if (fault !== null) throw new HttpError(400, `${at}${fault.field}: ${fault.message}`);
    found.set(lead.phone, lead);
  });
  return [...found.values()];
}

export function addHookRoutes(server: Pick<Server, 'http'>, deps: HookRoutesDeps): void {
  const { sql, guard, clock } = deps;
  const viewerOf = createHttpViewer(deps);
  const call: HttpHandler = async (request) => {
    const viewer = await viewerOf(request, 'sender');
    const { tenantId } = viewer;
    const name = request.path.slice(HOOKS_PATH.length + 1);
    if (!/^[a-z0-9][a-z0-9_-]{0,63}$/.test(name))
      throw new HttpError(404, 'expected the name of a hook in the address: small letters, digits, - and _, at most 64');
    if (!(await guard(() => signalHook(sql, tenantId, name, []))).known)
      throw new HttpError(404, `no started sequence of this tenant listens to the hook ${name}`);
    const [tenant] = await guard(() => loadTenants(sql, [tenantId]));
    const leads = leadsOf((await request.body()).toString('utf8'), createPhoneReader(tenant?.defaultRegion ?? null));
    const { made } = await guard(() =>
      importLeads(
        sql,
        leads.map((lead) => ({ ...lead, tenantId, id: uuidV7(clock.wall()) })),
      ),
    );
    const phones = leads.map((lead) => lead.phone);
    const { enrolled } = await guard(() => signalHook(sql, tenantId, name, phones));
    // lost: nodes look every few seconds
    if (enrolled > 0) {
      deps.bells
        .publish(FLOWS_CHANNEL, tenantId)
        .catch((error: unknown) => deps.telemetry.log.debug('bell.failed', { error: String(error) }));
    }
    await deps.audit({ viewer, action: 'callHook', subject: name, detail: { leads: leads.length, made, enrolled } });
    return json(200, { leads: leads.length, made, enrolled });
  };
  server.http('POST', `${HOOKS_PATH}/*`, call, { bodyLimitBytes: BODY_BYTES });
}
