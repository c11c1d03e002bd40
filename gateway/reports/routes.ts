import type { Sql } from '../../ops/connect/index.ts';
import { type AuditPort, encodeId, type ReportRange, reportRange } from '../../schema/graphql/index.ts';
import {
  countFleet,
  flowProgress,
  flowsPage,
  listNodes,
  queueDepths,
  type ReportAsk,
  type ReportCause,
  type ReportGrain,
  type ReportKind,
  type ReportStep,
  reportCauses,
  reportSteps,
  variantSubject,
} from '../../schema/sql/index.ts';
import { HttpError, type HttpHandler, type Server } from '../server/index.ts';
import { createHttpViewer, type Guard, type HttpViewerDeps } from '../system/index.ts';
import { type About, REPORT_HEAD, reportLine } from './csv.ts';

/**
 * Reports as CSV files over HTTP, streamed page by page from rollups: nothing but a page of steps is in memory, and the names of what they are about.
 * Scope VIEWER; every statement is confined to the viewer's tenant.
 */
export interface ReportRoutesDeps extends HttpViewerDeps {
  readonly sql: Sql;
  readonly guard: Guard;
  readonly audit: AuditPort;
}

export const REPORTS_PATH = '/api/reports';
const PAGE = 500;
/** causes of one page: 40 for each step */
const CAUSES = 20_000;
const FLOWS = 500;

const FILES: Readonly<Record<string, ReportKind>> = { fleet: 'FLEET', devices: 'DEVICE', campaigns: 'FLOW', nodes: 'NODE' };
const GRAINS: Readonly<Record<string, ReportGrain>> = { minute: 60, hour: 3600, day: 86_400 };
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/;

function rangeOf(query: string, now: number): ReportRange {
  const said = new URLSearchParams(query);
  for (const name of said.keys())
    if (!['grain', 'since', 'until'].includes(name)) throw new HttpError(400, `${name.slice(0, 40)}: expected grain, since or until`);
  const grain = GRAINS[said.get('grain') ?? 'hour'];
  if (grain === undefined) throw new HttpError(400, 'grain: expected minute, hour or day');
  const moment = (name: string): number | null => {
    const text = said.get(name);
    if (text === null) return null;
    const at = MOMENT.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(at)) throw new HttpError(400, `${name}: expected a moment such as 2030-01-31T09:30:00Z`);
    return at;
  };
  const range = reportRange(grain, moment('since'), moment('until'), now);
  if ('expected' in range) throw new HttpError(400, `${range.name}: ${range.expected}`);
  return range;
}

/** What the subjects of a kind are, as they are now. */
async function aboutOf(sql: Sql, tenantId: string, kind: ReportKind): Promise<ReadonlyMap<string, About>> {
  const known = new Map<string, About>();
  if (kind === 'FLEET') {
    const count = await countFleet(sql, tenantId);
    known.set('', { id: '', name: 'fleet', status: '', depth: count?.backlog ?? null });
  } else if (kind === 'FLOW') {
    for (let before: number | null = null; ; ) {
      const page: Awaited<ReturnType<typeof flowsPage>> = await flowsPage(sql, tenantId, null, { before, limit: FLOWS });
      const live = page.filter(({ state }) => state === 'RUNNING' || state === 'PAUSED').map(({ no }) => no);
      const depths = new Map(
        (live.length === 0 ? [] : await flowProgress(sql, live)).flatMap((row) =>
          row.place === 'SENDING' ? [[row.flowNo, row.leads] as const] : [],
        ),
      );
      for (const { no, id, kind: what, name, state, variants } of page) {
        const about = { id: encodeId(what === 'CAMPAIGN' ? 'Campaign' : 'Sequence', id), name, status: state };
        known.set(String(no), { ...about, depth: depths.get(no) ?? 0 });
        for (const [index, variant] of variants.entries())
          known.set(variantSubject(no, index + 1), { ...about, depth: null, variant: variant.name });
      }
      before = page.at(-1)?.no ?? null;
      if (page.length < FLOWS) break;
    }
  } else {
    const depths = await queueDepths(sql, tenantId);
    if (kind === 'DEVICE') {
      for (const { no, id, name, node, depth } of depths)
        known.set(String(no), { id: encodeId('Device', id), name, status: node ?? '', depth });
    } else {
      for (const { id, state } of await listNodes(sql)) known.set(id, { id, name: id, status: state, depth: 0 });
      for (const { node, depth } of depths) {
        const one = node === null ? undefined : known.get(node);
        if (one !== undefined) known.set(one.id, { ...one, depth: (one.depth ?? 0) + depth });
      }
    }
  }
  return known;
}

/** The causes of a page, by subject and step. */
async function causesOf(
  sql: Sql,
  tenantId: string,
  ask: ReportAsk,
  page: readonly ReportStep[],
): Promise<ReadonlyMap<string, readonly ReportCause[]>> {
  const starts = page.map(({ startMs }) => startMs);
  const rows = await reportCauses(
    sql,
    tenantId,
    {
      kind: ask.kind,
      grain: ask.grain,
      subjects: [...new Set(page.map(({ subject }) => subject))],
      fromMs: Math.min(...starts),
      untilMs: Math.max(...starts) + 1,
    },
    { bySteps: true, limit: CAUSES },
  );
  const known = new Map<string, ReportCause[]>();
  for (const row of rows) {
    const key = keyOf(row);
    const list = known.get(key);
    if (list === undefined) known.set(key, [row]);
    else list.push(row);
  }
  return known;
}
const keyOf = ({ subject, startMs }: { readonly subject: string; readonly startMs: number | null }): string => `${subject} ${startMs}`;

async function* linesOf(
  { sql }: ReportRoutesDeps,
  tenantId: string,
  ask: ReportAsk,
  about: ReadonlyMap<string, About>,
): AsyncGenerator<string> {
  yield `${REPORT_HEAD.join(',')}\r\n`;
  for (let after: ReportStep | null = null; ; ) {
    const page: readonly ReportStep[] = await reportSteps(sql, tenantId, ask, { after, limit: PAGE });
    const last = page.at(-1);
    if (last === undefined) return;
    const causes = await causesOf(sql, tenantId, ask, page);
    const lines = page.map((step) => {
      // what is gone (a deleted device) keeps its figures under its number
      const one = about.get(step.subject) ?? { id: step.subject, name: '', status: 'GONE', depth: null };
      return `${reportLine(one, step, ask.grain, causes.get(keyOf(step)) ?? [])}\r\n`;
    });
    yield lines.join('');
    after = last;
  }
}

export function addReportRoutes(server: Pick<Server, 'http'>, deps: ReportRoutesDeps): void {
  const { sql, guard, clock } = deps;
  const identify = createHttpViewer(deps);
  const download: HttpHandler = async (request) => {
    const viewer = await identify(request, 'viewer');
    const name = /^\/api\/reports\/([a-z]+)\.csv$/.exec(request.path)?.[1] ?? '';
    const kind = FILES[name];
    if (kind === undefined)
      throw new HttpError(
        404,
        `expected one of ${Object.keys(FILES)
          .map((file) => `${file}.csv`)
          .join(', ')}`,
      );
    const ask: ReportAsk = { kind, subject: null, ...rangeOf(request.query, clock.wall()) };
    const about = await guard(() => aboutOf(sql, viewer.tenantId, kind));
    await deps.audit({ viewer, action: 'downloadReport', subject: null, detail: { report: name } });
    return {
      status: 200,
      headers: {
        'content-type': 'text/csv; charset=utf-8',
        'content-disposition': `attachment; filename="${name}.csv"`,
        'cache-control': 'no-store',
      },
      body: linesOf(deps, viewer.tenantId, ask, about),
      cut: request.signal,
    };
  };
  server.http('GET', `${REPORTS_PATH}/*`, download);
}
