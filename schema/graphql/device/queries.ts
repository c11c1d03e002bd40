import type { DeviceState, TransportKind } from '../../domain/index.ts';
import type { DeviceRow } from '../../sql/types.ts';
import type { Kit } from '../builder.ts';
import type { DevicePageQuery, GraphqlContext, Page } from '../context.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { argumentError, argumentId } from '../validate.ts';
import { calledState, ofLive } from './type.ts';

/** Rows looked at per read when filtering by state, and the most reads one request may cost. */
const SCAN_CHUNK = 1000;
const SCAN_READS = 40;

interface DeviceFilter {
  readonly states: ReadonlySet<DeviceState> | null;
  /** lower case */
  readonly name: string | null;
  readonly transport: TransportKind | null;
}

function matches(row: DeviceRow, filter: DeviceFilter, context: GraphqlContext): boolean | Promise<boolean> {
  if (filter.transport !== null && row.transport !== filter.transport) return false;
  if (filter.name !== null && !row.name.toLowerCase().includes(filter.name)) return false;
  const { states } = filter;
  return states === null || ofLive(row, context, (live) => states.has(calledState(row, live).state));
}

/**
 * A page of devices that pass a filter. States live with the owners, not in the ledger, so pages are read by key and filtered until the
 * page is full. A filter that matches next to nothing may answer a short page with `more`: its last cursor goes on.
 */
async function filteredPage(
  context: GraphqlContext,
  query: DevicePageQuery,
  filter: DeviceFilter,
): Promise<Page<DeviceRow> & { readonly resumeAfter: string | null }> {
  const rows: DeviceRow[] = [];
  let after = query.after;
  for (let read = 0; read < SCAN_READS; read++) {
    const page = await context.ledger.devicePage(context.viewer.tenantId, { after, limit: SCAN_CHUNK });
    for (const row of page.rows) {
      const matched = matches(row, filter, context);
      if (!(matched instanceof Promise ? await matched : matched)) continue;
      if (rows.length === query.limit) return { rows, more: true, resumeAfter: rows.at(-1)?.id ?? after };
      rows.push(row);
    }
    after = page.rows.at(-1)?.id ?? after;
    if (!page.more) return { rows, more: false, resumeAfter: rows.at(-1)?.id ?? null };
  }
  return { rows, more: true, resumeAfter: after };
}

export function addDeviceQueries(kit: Kit): void {
  const { builder } = kit;
  builder.queryField('device', (t) =>
    t.field({
      type: 'Device',
      nullable: true,
      description: 'One device. Null when there is none or it belongs to someone else.',
      authScopes: { scope: 'viewer' },
      args: { id: t.arg.id({ required: true, description: '`Device:uuid`, or the bare uuid' }) },
      resolve: (_root, args, context) => context.loaders.device(argumentId('Device', 'id', args.id)),
    }),
  );
  builder.queryField('devices', (t) =>
    t.connection(
      {
        type: 'Device',
        description: 'The devices of the tenant, oldest first.',
        authScopes: { scope: 'viewer' },
        complexity: (args) => listCost(args),
        args: {
          state: t.arg({ type: [kit.DeviceState], required: false, description: 'only devices in one of these states' }),
          name: t.arg.string({ required: false, description: 'only devices whose name contains this, whatever the case' }),
          transport: t.arg({ type: kit.Transport, required: false, description: 'only devices on this transport' }),
        },
        resolve: async (_root, args, context) => {
          const query: DevicePageQuery = {
            after: args.after === null || args.after === undefined ? null : argumentId('Device', 'after', args.after),
            limit: limitOf(args),
          };
          const filter: DeviceFilter = {
            states: args.state === null || args.state === undefined ? null : new Set(args.state),
            name: nameFilter(args.name),
            transport: args.transport ?? null,
          };
          if (filter.states === null && filter.name === null && filter.transport === null) {
            return connectionOf(await context.ledger.devicePage(context.viewer.tenantId, query), (row) => row.id, args);
          }
          const page = await filteredPage(context, query, filter);
          const connection = connectionOf(page, (row) => row.id, args);
          return { ...connection, pageInfo: { ...connection.pageInfo, endCursor: page.resumeAfter } };
        },
      },
      { name: 'DeviceConnection', description: 'A page of the list.' },
      { name: 'DeviceEdge', description: 'One place in the list.' },
    ),
  );
}

function nameFilter(name: string | null | undefined): string | null {
  if (name === null || name === undefined || name === '') return null;
  if (name.length > 80 || /\p{Cc}/u.test(name)) throw argumentError('INVALID_INPUT', 'name', 'expected at most 80 printable characters');
  return name.toLowerCase();
}
