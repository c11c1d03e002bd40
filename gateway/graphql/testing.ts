import { systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry, type Telemetry } from '../../ops/telemetry/index.ts';
import { buildSchema, type GraphqlServices, type Viewer } from '../../schema/graphql/index.ts';
import type { AcceptItem, AcceptOutcome, DeviceRow, TenantRow } from '../../schema/sql/index.ts';
import type { HttpRequest } from '../server/index.ts';
import { createExecutor, type Executor } from './executor.ts';

/** Stand-ins for unit tests: nothing here is used by the product. */

export const TENANT = '018f0000-0000-7000-8000-000000000001';
export const DEVICE = '018f0000-0000-7000-8000-0000000000d1';

export function testTelemetry(lines: string[] = []): Telemetry {
  return createTelemetry({ service: 'test', instance: 'test', level: 'debug', samplePercent: 0, write: (line) => void lines.push(line) });
}

export function testViewer(overrides: Partial<Viewer> = {}): Viewer {
  return { tenantId: TENANT, keyId: TENANT, keyName: 'test', scopes: new Set(['admin']), installation: true, ...overrides };
}

export function testDevice(overrides: Partial<DeviceRow> = {}): DeviceRow {
  return {
    id: DEVICE,
    tenantId: TENANT,
    partition: 0,
    name: 'one',
    phone: null,
    transport: 'simulator',
    paired: true,
    paused: false,
    pauseReason: null,
    quarantined: false,
    quarantineReason: null,
    paceMinMs: 0,
    paceMaxMs: 0,
    dailyCap: null,
    settings: {},
    createdAt: 0,
    changedAt: 0,
    deleted: false,
    ...overrides,
  };
}

/** A tenant without webhooks. */
export const noWebhooks = (): GraphqlServices['webhooks'] => ({
  urlFault: () => null,
  list: async () => [],
  create: async () => 'TOO_MANY',
  update: async () => null,
  remove: async () => false,
  test: async () => null,
  deliveries: async () => ({ rows: [], more: false }),
  replay: async () => 0,
});

export const testTenant: TenantRow = {
  id: TENANT,
  name: 'default',
  timeZone: 'UTC',
  maxBacklog: 1000,
  defaultRegion: null,
  consentRequired: false,
  stopWords: [],
  startWords: [],
  recipientCap: null,
  flowsPerMinute: null,
  createdAt: 0,
};

/** Nobody has a word of any device, and there is no stream. */
export function noLive(): GraphqlServices['live'] {
  const no = (): never => {
    throw new Error('no live streams in this test');
  };
  return {
    device: () => undefined,
    devices: () => () => undefined,
    states: () => new Map(),
    fleet: no,
    deviceLive: no,
    messageEvents: no,
    pairing: no,
    flowProgress: no,
  };
}

/** Services of one tenant with one device. `accept` decides what sending answers. */
export function testServices(accept: (item: AcceptItem) => Promise<AcceptOutcome>): GraphqlServices {
  const no = (): never => {
    throw new Error('not part of this test');
  };
  const tenant = testTenant;
  return {
    ledger: {
      devicesByIds: async (tenantId, ids) => (tenantId === TENANT && ids.includes(DEVICE) ? [testDevice()] : []),
      messagesByIds: async () => [],
      sendability: async () => [],
      devicePage: async () => ({ rows: [testDevice()], more: false }),
      deviceMarks: async () => ({ marks: [{ id: DEVICE, paused: false, quarantined: false, name: testDevice().name }], until: null }),
      messagePage: async () => ({ rows: [], more: false }),
      deadLetterPage: async () => ({ rows: [], more: false }),
      upload: async () => null,
      receivedPage: async () => ({ rows: [], more: false }),
    },
    fleet: {
      totals: async () => ({ devices: 1, backlog: 0, sentPerMinute: 0, failedPerMinute: 0 }),
      history: async () => [],
      nodes: async () => [],
    },
    accept: { send: accept },
    nodes: { drain: no, undrain: no },
    devices: {
      create: no,
      update: no,
      move: no,
      setPaused: async (_tenant, id) => (id === DEVICE ? testDevice() : null),
      release: async () => null,
      setLinkToken: async () => null,
      pair: async () => null,
    },
    deviceEnds: { unlink: no, remove: no },
    flows: {
      templateFault: no,
      byId: async () => null,
      page: async () => ({ rows: [], more: false }),
      progress: async () => [],
      variantProgress: async () => [],
      create: no,
      setState: no,
      enrol: no,
      unenrol: no,
      leads: async () => ({ rows: [], more: false }),
      importLeads: no,
      preview: no,
      render: no,
      phoneReader: () => null,
      leadImports: async () => ({ rows: [], more: false }),
      cancelLeadImport: async () => false,
    },
    messages: {
      cancel: async () => null,
      redrive: async () => [],
      suppress: async () => ({ added: true }),
      unsuppress: async () => 0,
      erase: async () => ({ leads: 0, inbound: 0, messages: 0, whole: true }),
    },
    redrives: { groups: no, count: no, start: no, cancel: async () => false, page: async () => ({ rows: [], more: false }) },
    webhooks: noWebhooks(),
    reports: { steps: async () => [], causes: async () => [], depths: async () => [] },
    access: {
      createTenant: no,
      setDefaultRegion: async () => false,
      setRules: async () => false,
      createApiKey: no,
      revokeApiKey: async () => false,
    },
    accessReads: { tenant: async () => tenant, tenantPage: no, apiKeyPage: no, auditPage: no },
    live: noLive(),
    audit: async () => {},
    now: () => systemClock.wall(),
  };
}

export function testExecutor(accept: (item: AcceptItem) => Promise<AcceptOutcome>, lines: string[] = []): Executor {
  return createExecutor({ schema: buildSchema(), services: testServices(accept), clock: systemClock, telemetry: testTelemetry(lines) });
}

export function testRequest(overrides: Partial<Omit<HttpRequest, 'body'>> & { readonly text?: string } = {}): HttpRequest {
  const { text, ...rest } = overrides;
  return {
    method: 'POST',
    path: '/graphql',
    query: '',
    headers: { 'content-type': 'application/json', authorization: 'Bearer test-key-0123456789' },
    remote: '127.0.0.1',
    signal: new AbortController().signal,
    body: async () => Buffer.from(text ?? ''),
    async *chunks() {
      yield Buffer.from(text ?? '');
    },
    ...rest,
  };
}
