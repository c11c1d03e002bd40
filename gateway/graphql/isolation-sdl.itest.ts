import { type GraphQLSchema, isInterfaceType } from 'graphql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { buildSchema, type GraphqlServices, type LiveFeed, type LivePosition, type Viewer } from '../../schema/graphql/index.ts';
import { type FlowRow, flowsPage } from '../../schema/sql/index.ts';
import { createExecutor, type Executor } from './executor.ts';
import { type Probe, probesOf } from './isolation.testing.ts';
import { isRejected } from './operation.ts';
import { testTelemetry } from './testing.ts';
import { type ApiStack, startApi } from './testing-stack.ts';

/**
 * Two tenants, and every query, mutation and subscription that the schema has: the one asks for all that the other has, by every id. Made from the
 * schema, so a field that is added is tested without a word here.
 */
const OURS = { text: 'ours', phone: '+491700000001' };
const THEIRS = { text: 'theirs secret', phone: '+491700000042' };
const LIMITS = {
  documentBytes: 1e6,
  tokens: 1e6,
  depth: 100,
  introspectionDepth: 1,
  aliases: 1e3,
  directives: 1,
  cost: 1e9,
};
/** these show nothing of what a tenant has: figures, the node registry, and what only the installation's own key may do */
const WITHOUT_MARKS = new Set(['nodes', 'tenants', 'createTenant', 'drainNode']);

let api: ApiStack;
let schema: GraphQLSchema;
let us: Viewer;
let them: Viewer;
let theirIds: string[];

const viewerOf = (tenantId: string, keyId: string): Viewer => ({
  tenantId,
  keyId,
  keyName: 'k',
  scopes: new Set(['admin']),
  installation: false,
});

/** Feeds that tell whatever they are asked about, whoever asks: the worst that the hub could be. */
function openLive(
  devices: () => { id: string; tenantId: string }[],
  messages: () => { id: string; tenantId: string; device: string }[],
  campaigns: () => readonly FlowRow[],
): GraphqlServices['live'] {
  const feed = <T extends LivePosition>(updates: readonly T[]): LiveFeed<T> => ({
    kind: 'state',
    ready: async () => {},
    top: () => ({ epoch: 'e', seq: 1 }),
    version: () => 0,
    snapshot: () => updates[0],
    range: () => ({ kind: 'updates', updates }),
    watch: () => () => {},
  });
  const at = systemClock.wall();
  const record = (id: string) =>
    ({ id, name: `live ${id}`, state: 'ONLINE', reason: null, node: 'node-1', epoch: 1, version: 1, transport: 'simulator', at }) as const;
  const totals = { devices: 1, backlog: 0, sentPerMinute: 0, failedPerMinute: 0, states: [] };
  return {
    device: (_tenant, id) => record(id),
    devices: () => record,
    states: () => new Map(),
    fleet: (tenantId) =>
      feed([
        {
          epoch: 'e',
          seq: 1,
          from: 0,
          kind: 'snapshot',
          asOf: at,
          records: devices()
            .filter((device) => device.tenantId === tenantId)
            .map((device) => record(device.id)),
          removed: [],
          simulated: true,
          totals,
        },
      ]),
    deviceLive: (_tenant, id) => feed([{ epoch: 'e', seq: 1, id, asOf: at, record: record(id) }]),
    pairing: (deviceId) => feed([{ epoch: 'e', seq: 1, deviceId, record: null }]),
    flowProgress: (_tenant, id) =>
      feed(
        campaigns()
          .filter((flow) => flow.id === id)
          .map((flow) => ({ epoch: 'e', seq: 1, asOf: at, flow, places: [], steps: [] })),
      ),
    messageEvents: (tenantId, { deviceId, messageId }) =>
      feed(
        messages()
          .filter(
            (message) =>
              message.id === messageId ||
              message.device === deviceId ||
              (messageId === null && deviceId === null && message.tenantId === tenantId),
          )
          .map((message) => ({
            epoch: 'e',
            seq: 1,
            event: { messageId: message.id, deviceId: message.device, state: 'SENT' as const, cause: null, attempts: 1, at },
          })),
      ),
  } as GraphqlServices['live'];
}

const executorOf = (services: GraphqlServices): Executor =>
  createExecutor({ schema, services, clock: systemClock, telemetry: testTelemetry() }, { limits: LIMITS });

/** What an operation answers, as text; of a subscription the first update. */
async function answerOf(executor: Executor, viewer: Viewer, probe: Probe, waitMs = 3_000): Promise<string> {
  const operation = executor.validateOperation(probe, viewer);
  if (isRejected(operation)) throw new Error(`${probe.field}: ${operation.errors[0]?.message} in ${probe.query}`);
  const context = executor.contextFor(viewer, { waitMs: 20_000 });
  if (probe.kind !== 'subscription') return JSON.stringify(await executor.run(operation, probe.variables, context));
  const stream = await executor.stream(operation, probe.variables, context);
  if (!(Symbol.asyncIterator in stream)) return JSON.stringify(stream);
  const iterator = stream[Symbol.asyncIterator]();
  const first = await Promise.race([iterator.next(), systemClock.sleep(waitMs).then(() => ({ value: null }))]);
  void iterator.return?.();
  return JSON.stringify(first.value);
}

/** Everything in the database that belongs to a tenant. */
async function stateOf(tenantId: string): Promise<string> {
  const { sql } = api.database;
  const tables = await sql.unsafe<{ name: string }[]>(
    `select c.table_name as name from information_schema.columns c join pg_class p on p.relname = c.table_name
     where c.column_name = 'tenant_id' and c.table_schema = 'public' and not p.relispartition order by 1`,
  );
  const rows = await Promise.all(
    tables.map(({ name }) =>
      sql.unsafe(`select '${name}' as t, to_jsonb(x) as row from ${name} x where tenant_id = $1 order by to_jsonb(x)::text`, [tenantId]),
    ),
  );
  const owned = await sql.unsafe(
    'select to_jsonb(o) as row from ownership o join devices d on d.id = o.device_id where d.tenant_id = $1 order by o.device_id',
    [tenantId],
  );
  return JSON.stringify([rows, owned]);
}

async function idsOf(tenantId: string): Promise<string[]> {
  const text = await stateOf(tenantId);
  return [...new Set(text.match(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g) ?? [])];
}

let open: GraphqlServices;

beforeAll(async () => {
  api = await startApi();
  schema = buildSchema();
  const { sql } = api.database;
  const tenants: string[] = [];
  const made: { viewer: Viewer; words: typeof OURS }[] = [];
  for (const words of [OURS, THEIRS]) {
    const tenant = await api.ask(`mutation { createTenant(input: {name: "${words.text}"}) { tenant { id } errors { code } } }`);
    const tenantId = (tenant.data.createTenant.tenant.id as string).replace('Tenant:', '');
    tenants.push(tenantId);
    made.push({ viewer: viewerOf(tenantId, uuidV7(systemClock.wall())), words });
  }
  const rows = async (): Promise<{
    devices: { id: string; tenantId: string }[];
    messages: { id: string; tenantId: string; device: string }[];
    campaigns: FlowRow[];
  }> => ({
    devices: (await sql.unsafe('select id, tenant_id from devices')).map((row) => ({ id: row['id'], tenantId: row['tenant_id'] })),
    messages: (await sql.unsafe('select id, tenant_id, device_id from messages')).map((row) => ({
      id: row['id'],
      tenantId: row['tenant_id'],
      device: row['device_id'],
    })),
    campaigns: (await Promise.all(tenants.map((tenantId) => flowsPage(sql, tenantId, 'CAMPAIGN', { before: null, limit: 100 })))).flat(),
  });
  let known = await rows();
  open = {
    ...api.services,
    live: openLive(
      () => known.devices,
      () => known.messages,
      () => known.campaigns,
    ),
  };
  const executor = executorOf(open);
  for (const { viewer, words } of made) {
    const run = async (field: RegExp, id: string | null): Promise<void> => {
      for (const probe of probesOf(schema, { ...words, id })) {
        if (probe.kind !== 'mutation' || !field.test(probe.field)) continue;
        const answer = await answerOf(executor, viewer, probe);
        if (/"code":"/.test(answer)) throw new Error(`${probe.field}: ${answer}`);
      }
    };
    await run(/^createDevice$|^createApiKey$|^importLeads$|^createCampaign$|^createSequence$/, null);
    const [device] = await sql.unsafe('select id from devices where tenant_id = $1', [viewer.tenantId]);
    await run(/^sendMessage$/, device?.['id']);
    await run(/^suppress$|^startRedrive$/, null);
    await sql.unsafe(
      `insert into dead_letters (message_id, tenant_id, device_id, state, cause, attempts) select id, tenant_id, device_id, 'DEAD', 'TEST', 1 from messages where tenant_id = $1`,
      [viewer.tenantId],
    );
    const webhook = uuidV7(systemClock.wall());
    await sql.unsafe(`insert into webhooks (id, tenant_id, url, events, secret) values ($1, $2, $3, '{message.sent}', 'sealed')`, [
      webhook,
      viewer.tenantId,
      `http://example.com/${words.text}`,
    ]);
    await sql.unsafe(
      `insert into webhook_deliveries (webhook_id, tenant_id, lane, type, message_id, at, state)
       select $1, tenant_id, 0, 'message.sent', id, now(), 'DEAD' from messages where tenant_id = $2`,
      [webhook, viewer.tenantId],
    );
    await sql.unsafe(
      `insert into inbound_messages (device_id, id, tenant_id, sender, body, media)
       select id, 'in', tenant_id, $2, $3, '{"kind":"image","type":"image/jpeg","path":"/v/x","key":"a"}' from devices where tenant_id = $1`,
      [viewer.tenantId, words.phone, words.text],
    );
    await sql.unsafe(`insert into lead_imports (id, tenant_id, format, error) values ($1, $2, 'CSV', $3)`, [
      uuidV7(systemClock.wall()),
      viewer.tenantId,
      words.text,
    ]);
  }
  known = await rows();
  [us, them] = [made[0]?.viewer as Viewer, made[1]?.viewer as Viewer];
  theirIds = (await idsOf(them.tenantId)).filter((id) => id !== us.tenantId && id !== us.keyId);
}, 240_000);
afterAll(() => api?.stop());

const nodeTypes = (): string[] => {
  const node = schema.getType('Node');
  return isInterfaceType(node) ? schema.getPossibleTypes(node).map((type) => type.name) : [];
};

/** Every operation with every id of theirs; `node` wants to be told the type. */
function attempts(): Probe[] {
  return theirIds.flatMap((id) =>
    probesOf(schema, { ...OURS, id }).flatMap((probe) =>
      probe.field === 'node' ? nodeTypes().map((type) => ({ ...probe, variables: { id: `${type}:${id}` } })) : [probe],
    ),
  );
}

/** What of theirs shows up in an answer, or changes, when we ask. */
async function leaks(services: GraphqlServices, kinds: readonly Probe['kind'][]): Promise<string[]> {
  const executor = executorOf(services);
  const found: string[] = [];
  const asked = new Set<string>();
  let before = await stateOf(them.tenantId);
  for (const probe of attempts()) {
    if (!kinds.includes(probe.kind)) continue;
    const key = JSON.stringify([probe.query, probe.field, probe.query.includes('$') ? probe.variables : null]);
    if (asked.has(key)) continue;
    asked.add(key);
    const answer = await answerOf(executor, us, probe);
    const seen = [THEIRS.text, THEIRS.phone, ...theirIds].filter((mark) => answer.includes(mark));
    if (seen.length > 0) found.push(`${probe.kind} ${probe.field} shows ${seen[0]}`);
    if (probe.kind !== 'mutation') continue;
    const after = await stateOf(them.tenantId);
    if (after !== before) found.push(`mutation ${probe.field} changes theirs`);
    before = after;
  }
  return [...new Set(found)];
}

describe('nothing of one tenant reaches another', () => {
  it('every field that can show something does show their own to them: the test would see it', async () => {
    expect(theirIds.length).toBeGreaterThanOrEqual(5);
    const executor = executorOf(open);
    const shown = new Set<string>();
    const isSilent = (probe: Probe): boolean =>
      probe.kind !== 'mutation' && !shown.has(`${probe.kind} ${probe.field}`) && !WITHOUT_MARKS.has(probe.field);
    const ask = async (id: string, kinds: readonly Probe['kind'][], waitMs: number): Promise<void> => {
      for (const probe of probesOf(schema, { ...THEIRS, id })) {
        if (!kinds.includes(probe.kind) || !isSilent(probe)) continue;
        const variables = probe.field === 'node' ? nodeTypes().map((type) => ({ id: `${type}:${id}` })) : [probe.variables];
        for (const one of variables) {
          const answer = await answerOf(executor, them, { ...probe, variables: one }, waitMs);
          if ([THEIRS.text, THEIRS.phone, ...theirIds].some((mark) => answer.includes(mark))) shown.add(`${probe.kind} ${probe.field}`);
        }
      }
    };
    for (const id of theirIds) await ask(id, ['query', 'subscription'], 3_000);
    // a slow machine may need longer for a first update
    for (const id of theirIds) await ask(id, ['subscription'], 25_000);
    const silent = probesOf(schema, { ...THEIRS, id: null })
      .filter(isSilent)
      .map((probe) => `${probe.kind} ${probe.field}`);
    expect(silent.filter((name) => name !== 'query fleet')).toEqual([]);
  }, 180_000);

  it('0 leaks over every query, mutation and subscription', async () => {
    expect(await leaks(open, ['query', 'subscription', 'mutation'])).toEqual([]);
  }, 300_000);

  it.each([
    [
      'a read that forgets the tenant',
      (services: GraphqlServices): GraphqlServices => ({
        ...services,
        ledger: {
          ...services.ledger,
          messagesByIds: (_tenant, ids) => services.ledger.messagesByIds(them.tenantId, ids),
          devicesByIds: (_tenant, ids) => services.ledger.devicesByIds(them.tenantId, ids),
        },
      }),
      ['query'] as const,
    ],
    [
      'a page of another tenant',
      (services: GraphqlServices): GraphqlServices => ({
        ...services,
        accessReads: {
          ...services.accessReads,
          auditPage: (_tenant, query) => services.accessReads.auditPage(them.tenantId, { ...query, subject: null }),
        },
      }),
      ['query'] as const,
    ],
    [
      'a command that forgets the tenant',
      (services: GraphqlServices): GraphqlServices => ({
        ...services,
        devices: { ...services.devices, setPaused: (_tenant, ...rest) => services.devices.setPaused(them.tenantId, ...rest) },
      }),
      ['mutation'] as const,
    ],
    [
      'a subscription that asks nobody whose device it is',
      (services: GraphqlServices): GraphqlServices => ({
        ...services,
        ledger: { ...services.ledger, devicesByIds: (_tenant, ids) => services.ledger.devicesByIds(them.tenantId, ids) },
      }),
      ['subscription'] as const,
    ],
    [
      'a subscription that asks nobody whose campaign it is',
      (services: GraphqlServices): GraphqlServices => ({
        ...services,
        flows: { ...services.flows, byId: (_tenant, kind, id) => services.flows.byId(them.tenantId, kind, id) },
      }),
      ['subscription'] as const,
    ],
  ])(
    'finds %s',
    async (_name, plant, kinds) => {
      expect((await leaks(plant(open), kinds)).length).toBeGreaterThan(0);
    },
    120_000,
  );
});
