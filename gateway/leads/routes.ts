import type { Sql } from '../../ops/connect/index.ts';
import { isUuid, leadFault, uuidV7 } from '../../schema/domain/index.ts';
import type { AuditPort, Viewer } from '../../schema/graphql/index.ts';
import { beginLeadImport, leadImportFaults, leadImportsPage, leadsPage, loadTenants } from '../../schema/sql/index.ts';
import { type HttpAnswer, HttpError, type HttpHandler, type HttpRequest, type Server } from '../server/index.ts';
import { createHttpViewer, type Guard, type HttpViewerDeps } from '../system/index.ts';
import { cellOf, exportLeads } from './export.ts';
import { runImport } from './import.ts';
import { createPhoneReader } from './phone.ts';
import { importRequestOf } from './request.ts';

/**
 * Files of leads over HTTP: upload, report, export. Owns the number of imports under way here; everything else is in the ledger.
 * Scope OPERATOR for all of it: these are people. Every answer but a file is JSON.
 */
export interface LeadRoutesDeps extends HttpViewerDeps {
  readonly sql: Sql;
  readonly guard: Guard;
  readonly audit: AuditPort;
}

export const LEADS_PATH = '/api/leads';
/** a longer file is refused with 413: some 20 million leads */
export const IMPORT_BYTES = 4 * 1024 ** 3;
/** imports at a time in one gateway */
const AT_ONCE = 2;
const PAGE = 1000;
const FAULTS_SHOWN = 20;

const json = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): HttpAnswer => ({
  status,
  headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', ...headers },
  body: JSON.stringify(body),
});
const file = (type: string, name: string, body: AsyncIterable<string>, signal: AbortSignal): HttpAnswer => ({
  status: 200,
  headers: {
    'content-type': `${type}; charset=utf-8`,
    'content-disposition': `attachment; filename="${name}"`,
    'cache-control': 'no-store',
  },
  body,
  cut: signal,
});

export function addLeadRoutes(server: Pick<Server, 'http'>, deps: LeadRoutesDeps): void {
  const { sql, guard, clock, telemetry } = deps;
  const asks = createHttpViewer(deps);
  let running = 0;

  const viewerOf = (request: HttpRequest): Promise<Viewer> => asks(request, 'operator');

  const upload: HttpHandler = async (request) => {
    const viewer = await viewerOf(request);
    const asked = importRequestOf(request, clock.wall());
    const fault = leadFault({ phone: '', name: null, attributes: {}, ...asked.defaults });
    if (fault !== null) throw new HttpError(400, `${fault.field}: ${fault.message}`);
    if (running >= AT_ONCE) {
      telemetry.count('limit.rejected', 1, { limit: 'imports' });
      throw new HttpError(429, `${AT_ONCE} imports are under way here: wait for one to end`, { 'retry-after': '5' });
    }
    running += 1;
    try {
      const id = asked.id ?? uuidV7(clock.wall());
      const [tenant] = await guard(() => loadTenants(sql, [viewer.tenantId]));
      const region = asked.region === undefined ? (tenant?.defaultRegion ?? null) : asked.region;
      const length = Number(request.headers['content-length'] ?? Number.NaN);
      const totalBytes = Number.isSafeInteger(length) ? length : null;
      if (!(await guard(() => beginLeadImport(sql, { id, tenantId: viewer.tenantId, format: asked.format, totalBytes }))))
        throw new HttpError(409, 'id: there is an import of this id already');
      const task = { ...asked, id, tenantId: viewer.tenantId, phones: createPhoneReader(region, asked.check) };
      const summary = await runImport({ sql, clock, telemetry }, task, request.chunks());
      const { state, rows, made, changed, faulty } = summary;
      await deps.audit({ viewer, action: 'uploadLeads', subject: id, detail: { state, rows, made, changed, faulty } });
      const faults = await guard(() => leadImportFaults(sql, viewer.tenantId, id, { after: 0, limit: FAULTS_SHOWN }));
      const report = `${LEADS_PATH}/imports/${id}/faults.csv`;
      return json(state === 'DONE' ? 200 : state === 'CANCELLED' ? 409 : 422, { id, ...summary, faults, report });
    } finally {
      running -= 1;
    }
  };

  const report: HttpHandler = async (request) => {
    const viewer = await viewerOf(request);
    const found = /^\/api\/leads\/imports\/([0-9a-f-]{36})(\/faults\.csv)?$/.exec(request.path);
    const id = found?.[1] ?? '';
    const [row] = isUuid(id) ? await guard(() => leadImportsPage(sql, viewer.tenantId, { before: null, limit: 1, ids: [id] })) : [];
    if (row === undefined) throw new HttpError(404, 'no import with this id in this tenant');
    if (found?.[2] === undefined) return json(200, row);
    const lines = async function* (): AsyncGenerator<string> {
      yield 'row,column,expected\r\n';
      for (let after = 0; ; ) {
        const faults = await leadImportFaults(sql, viewer.tenantId, id, { after, limit: PAGE });
        if (faults.length > 0) yield faults.map((one) => `${one.row},${cellOf(one.field)},${cellOf(one.message)}\r\n`).join('');
        const last = faults.at(-1);
        if (last === undefined) return;
        after = last.row;
      }
    };
    return file('text/csv', `faults-${id}.csv`, lines(), request.signal);
  };

  const download: HttpHandler = async (request) => {
    const viewer = await viewerOf(request);
    const said = new URLSearchParams(request.query);
    const format = said.get('format') ?? 'csv';
    if (format !== 'csv' && format !== 'ndjson') throw new HttpError(400, 'format: expected csv or ndjson');
    const tag = said.get('tag');
    const rows = exportLeads(format, (after) => leadsPage(sql, viewer.tenantId, { after, limit: PAGE, tag }));
    await deps.audit({ viewer, action: 'exportLeads', subject: null, detail: { format } });
    return file(format === 'csv' ? 'text/csv' : 'application/x-ndjson', `leads.${format}`, rows, request.signal);
  };

  server.http('POST', `${LEADS_PATH}/import`, upload, { bodyLimitBytes: IMPORT_BYTES, streamed: true });
  server.http('GET', `${LEADS_PATH}/imports/*`, report);
  server.http('GET', `${LEADS_PATH}/export`, download);
}
