import { expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import type { DeviceRecord } from '../../schema/domain/index.ts';
import { buildSchema } from '../../schema/graphql/index.ts';
import { createExecutor } from './executor.ts';
import { TENANT, testDevice, testServices, testTelemetry, testViewer } from './testing.ts';

/** The story: a page of devices in a state that none is in read forty thousand whole rows, in forty statements. */
const idOf = (n: number): string => `018f0000-0000-7000-8000-${String(n).padStart(12, '0')}`;
const rowOf = (n: number) =>
  testDevice({ id: idOf(n), name: `Phone ${n}`, paused: n % 1000 === 7, transport: n % 1000 === 9 ? 'link' : 'simulator' });

const schema = buildSchema();

function world(count: number) {
  const rows = Array.from({ length: count }, (_, n) => rowOf(n));
  const places = new Map(rows.map(({ id }, at) => [id, at]));
  const looks: number[] = [];
  let whole = 0;
  const services = testServices(() => Promise.reject(new Error('not part of this test')));
  const record = (n: number): DeviceRecord => ({
    ...{ id: idOf(n), name: '', state: n % 5000 === 11 ? 'OFFLINE' : 'ONLINE', reason: null, node: null },
    ...{ epoch: 1, version: 1, transport: 'simulator', at: 0 },
  });
  const executor = createExecutor({
    schema,
    clock: systemClock,
    telemetry: testTelemetry([]),
    services: {
      ...services,
      live: { ...services.live, devices: () => (id) => record(places.get(id) ?? 0) },
      ledger: {
        ...services.ledger,
        devicesByIds: async (_tenant, ids) => {
          whole += ids.length;
          return ids.flatMap((id) => rows[places.get(id) ?? -1] ?? []);
        },
        deviceMarks: async (_tenant, { after, transport, look }) => {
          looks.push(look);
          const from = after === null ? 0 : (places.get(after) ?? 0) + 1;
          const seen = rows.slice(from, from + look);
          const marks = seen.filter((row) => transport === null || row.transport === transport);
          return { marks, until: seen.length === look ? (seen.at(-1)?.id ?? null) : null };
        },
      },
    },
  });
  const page = async (filter: string, after: string | null) => {
    const viewer = testViewer({ tenantId: TENANT });
    const query = `query ($after: String) { devices(${filter}, first: 3, after: $after) { edges { node { id } } pageInfo { hasNextPage endCursor } } }`;
    const operation = executor.validateOperation({ query, operationName: undefined, variables: { after } }, viewer);
    if (!('document' in operation)) throw new Error(JSON.stringify(operation));
    const { data, errors } = await executor.run(operation, { after }, executor.contextFor(viewer));
    expect(errors).toBeUndefined();
    const { edges, pageInfo } = (
      data as { devices: { edges: { node: { id: string } }[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } } }
    ).devices;
    return { ids: edges.map(({ node }) => node.id.replace('Device:', '')), ...pageInfo };
  };
  const walk = async (filter: string): Promise<string[]> => {
    const found: string[] = [];
    for (let after: string | null = null; ; ) {
      const { ids, hasNextPage, endCursor } = await page(filter, after);
      found.push(...ids);
      if (!hasNextPage) return found;
      expect(endCursor).not.toBeNull();
      after = endCursor;
    }
  };
  return { page, walk, looks, wholeRows: () => whole };
}
const numbers = (count: number, every: number, at: number): string[] =>
  Array.from({ length: count }, (_, n) => n).flatMap((n) => (n % every === at ? [idOf(n)] : []));

it.each([
  ['state: [OFFLINE]', numbers(30_000, 5000, 11)],
  ['state: [PAUSED]', numbers(30_000, 1000, 7)],
  ['transport: LINK', numbers(30_000, 1000, 9)],
  ['name: "PHONE 5999"', [idOf(5999)]],
  ['state: [LOGGED_OUT]', []],
])('%s: pages have every device that fits, once', async (filter, expected) => {
  const { walk, wholeRows } = world(30_000);
  expect(await walk(filter)).toEqual(expected);
  // only what is shown is read whole
  expect(wholeRows()).toBe(expected.length);
});

it('looks at so many devices for one page, and says where the next one goes on', async () => {
  const { page, looks } = world(30_000);
  const first = await page('state: [LOGGED_OUT]', null);
  expect({ ...first, looks }).toEqual({ ids: [], hasNextPage: true, endCursor: idOf(10_999), looks: [1_000, 10_000] });
});
