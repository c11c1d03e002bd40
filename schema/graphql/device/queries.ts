import type { DeviceState, TransportKind } from '../../domain/index.ts';
import type { DeviceMark } from '../../sql/index.ts';
import type { DeviceRow } from '../../sql/types.ts';
import type { Kit } from '../builder.ts';
import type { DeviceLookup, DevicePageQuery, GraphqlContext, Page } from '../context.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { argumentError, argumentId } from '../validate.ts';
import { calledState } from './type.ts';

/** Devices looked at by one read when filtering: few at first, since most filters fit many; the reads together are the most that one page may cost. */
const LOOKS = [1_000, 10_000];

interface DeviceFilter {
  readonly states: ReadonlySet<DeviceState> | null;
  /** lower case */
  readonly name: string | null;
  readonly transport: TransportKind | null;
}

/** Looks at thousands: nothing is asked for that can be known without. */
function matches({ id, name, paused, quarantined }: DeviceMark, filter: DeviceFilter, live: DeviceLookup | null): boolean {
  if (filter.name !== null && !name.toLowerCase().includes(filter.name)) return false;
  if (filter.states === null || live === null) return true;
  const row = { paused, quarantined, deleted: false, pauseReason: null, quarantineReason: null };
  return filter.states.has(calledState(row, live(id)).state);
}

/** Ids of devices that fit, one more than wanted if there are as many; `until`: the last one looked at, null when there are no more. */
async function fitting(
  context: GraphqlContext,
  query: DevicePageQuery,
  filter: DeviceFilter,
): Promise<{ readonly ids: readonly string[]; readonly until: string | null }> {
  const ids: string[] = [];
  const live = filter.states === null ? null : await context.live.devices(context.viewer.tenantId);
  let { after } = query;
  for (const look of LOOKS) {
    const asked = { after, transport: filter.transport, name: filter.name, look };
    const { marks, until } = await context.ledger.deviceMarks(context.viewer.tenantId, asked);
    for (const mark of marks) {
      if (!matches(mark, filter, live)) continue;
      ids.push(mark.id);
      if (ids.length > query.limit) return { ids, until: mark.id };
    }
    if (until === null) return { ids, until };
    after = until;
  }
  return { ids, until: after };
}

/**
 * A page of devices that pass a filter. States live with the owners, not in the ledger, so devices are looked through by key, with little of each, until the
 * page is full. A filter that matches next to nothing may answer a short page with `more`: its last cursor goes on.
 */
async function filteredPage(context: GraphqlContext, query: DevicePageQuery, filter: DeviceFilter): Promise<Page<DeviceRow>> {
  const { ids, until } = await fitting(context, query, filter);
  const wanted = ids.slice(0, query.limit);
  const found = wanted.length === 0 ? [] : await context.ledger.devicesByIds(context.viewer.tenantId, wanted);
  // one that was deleted since is left out
  const rows = found.filter((row) => !row.deleted).sort((a, b) => (a.id < b.id ? -1 : 1));
  return { rows, more: until !== null, resumeAfter: ids.length > query.limit ? (wanted.at(-1) ?? null) : until };
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
          return connectionOf(await filteredPage(context, query, filter), (row) => row.id, args);
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
