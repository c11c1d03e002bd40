import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { seededDice, systemClock } from '../../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../../ops/testing/index.ts';
import type { PairingEvent, ReceivedMedia } from '../../../schema/domain/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { createPostgresStore, createSessionStore, parseKeyRing, type SessionStore } from '../../sessions/index.ts';
import type { Connection, OutboundMessage, Transport, TransportDevice, TransportEvents } from '../port.ts';
import { createWhatsappTransport } from './index.ts';
import { startWhatsappServer, type WhatsappServer } from './testing/index.ts';
import type { WhatsappTransportOptions } from './transport.ts';

/** The whole transport with real Baileys against our own server, for the tests on the wire: a server and a transport for each test. */
export const PHONE = '+491700000001';
export const FRIEND = '+491700000002';

export interface Watched {
  readonly device: TransportDevice;
  readonly states: string[];
  readonly receipts: string[];
  readonly inbound: string[];
  /** files that came with them */
  readonly files: ReceivedMedia[];
  readonly connection: Connection;
}

export interface Wire {
  readonly database: TestDatabase;
  readonly server: WhatsappServer;
  /** replaced by a test that restarts everything */
  transport: Transport;
  readonly published: readonly PairingEvent[];
  /** what was written to Redis last, by key */
  readonly words: Map<string, string>;
  /** what storing an inbound message is, of all devices; default: nothing. A test may put its own here */
  store(device: TransportDevice, message: Parameters<TransportEvents['inbound']>[0]): Promise<void>;
  /** says something on a channel of Redis, to every transport */
  tell(channel: string, text: string): void;
  /** all that was logged, as text */
  readonly logged: readonly string[];
  newStore(): SessionStore;
  newTransport(options?: WhatsappTransportOptions, sessions?: SessionStore): Transport;
  newDevice(given?: Partial<TransportDevice>): Promise<TransportDevice>;
  connect(device: TransportDevice, on?: Transport): Watched;
  askToPair(device: TransportDevice, more?: object, settings?: Readonly<Record<string, number>>): Promise<void>;
  qrs(): readonly string[];
  online(watched: Watched): Promise<void>;
  /** a device that was linked with this phone and is online */
  paired(phone?: string, given?: Partial<TransportDevice>): Promise<Watched>;
}

export async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const end = systemClock.monotonic() + 45_000;
  while (!(await check())) {
    if (systemClock.monotonic() > end) throw new Error(`waited too long for: ${what}`);
    await systemClock.sleep(10);
  }
}

export const outbound = (body = 'hello', to = FRIEND): OutboundMessage => ({ id: uuidV7(systemClock.wall()), attempt: 1, to, body });

/** of the sessions and proxies of these tests */
export const SESSION_KEYS = `a:${Buffer.alloc(32, 1).toString('base64')}`;

/** Call at the top of a test file. `mediaHosts`, `proxyHosts`: exempt from the ban on private addresses. */
export function useWire(mediaHosts: readonly string[] = [], proxyHosts: readonly string[] = []): Wire {
  let database: TestDatabase;
  let server: WhatsappServer;
  let published: PairingEvent[] = [];
  let logged: string[] = [];
  let handlers: [string, (text: string) => void][] = [];
  const words = new Map<string, string>();
  const note = (...all: unknown[]): void => void logged.push(inspect(all, { depth: 8 }));

  const newStore = (): SessionStore => createSessionStore({ sealed: createPostgresStore(database.sql), ring: parseKeyRing(SESSION_KEYS) });
  const qrs = (): readonly string[] => published.flatMap((event) => (event.kind === 'qr' ? [event.text] : []));
  const online = (watched: Watched): Promise<void> => until('ONLINE', () => watched.states.at(-1) === 'ONLINE');

  const wire: Wire = {
    get database() {
      return database;
    },
    get server() {
      return server;
    },
    get published() {
      return published;
    },
    words,
    store: async () => {},
    tell(channel, text) {
      for (const [name, handler] of handlers) if (name === channel) handler(text);
    },
    get logged() {
      return logged;
    },
    transport: undefined as never,
    newStore,
    newTransport(options = {}, sessions = newStore()) {
      const redis = {
        // doorbells are no pairing events
        publish: async (_channel: unknown, text: unknown) =>
          String(text).startsWith('{') ? published.push((JSON.parse(String(text)) as { event: never }).event) : 0,
        set: async (key: string, text: string) => void words.set(key, text),
      };
      return createWhatsappTransport(
        {
          sql: database.sql,
          redis: redis as never,
          subscribe: async (channel, handler) => void handlers.push([channel, handler]),
          sessions,
          clock: systemClock,
          dice: seededDice(1),
          telemetry: { log: { debug: note, info: note, warn: note, error: note } },
          config: {
            WHATSAPP_URL: server.url,
            WHATSAPP_FORBID_REAL: true,
            LEASE_TTL_MS: 6000,
            MEDIA_PRIVATE_HOSTS: mediaHosts,
            SESSION_KEYS,
            WHATSAPP_PROXY_PRIVATE_HOSTS: proxyHosts,
          },
        },
        { ...options, timing: { backoffBaseMs: 50, backoffCapMs: 200, conflictMs: 50, ...options.timing } },
      );
    },
    async newDevice(given = {}) {
      const id = uuidV7(systemClock.wall());
      const { sql } = database;
      await sql`insert into tenants (id, name) values (${id}, ${id})`;
      await sql`insert into devices (id, tenant_id, partition, name, transport) values (${id}, ${id}, 1, 'phone', 'whatsapp')`;
      await sql`insert into ownership (device_id, partition, epoch, node) values (${id}, 1, 1, 'node-1')`;
      return { id, tenantId: id, epoch: 1, node: 'node-1', phone: null, settings: {}, canAct: () => true, ...given };
    },
    connect(device, on = wire.transport) {
      const states: string[] = [];
      const receipts: string[] = [];
      const inbound: string[] = [];
      const files: ReceivedMedia[] = [];
      const events: TransportEvents = {
        state: ({ state, reason }) => void states.push(reason === null ? state : `${state} ${reason}`),
        receipt: ({ messageId, state }) => void receipts.push(`${messageId} ${state}`),
        inbound: async (message) => {
          await wire.store(device, message);
          const { from, body, media } = message;
          if (media != null) files.push(media);
          inbound.push(`${from} ${body}`);
        },
      };
      return { device, states, receipts, inbound, files, connection: on.connect(device, events, new AbortController().signal) };
    },
    async askToPair(device, more = {}, settings = {}) {
      const pairing = { requestedAt: Math.floor(systemClock.wall()), ...more };
      await database.sql`update devices set settings = ${database.sql.json({ ...settings, pairing })} where id = ${device.id}`;
    },
    qrs,
    online,
    async paired(phone = PHONE, given = {}) {
      const watched = wire.connect(await wire.newDevice(given));
      const shown = qrs().length;
      await wire.askToPair(watched.device);
      await until('a QR code', () => qrs().length > shown);
      await server.scan(phone, qrs().at(-1) ?? '');
      await online(watched);
      return watched;
    },
  };

  beforeAll(async () => {
    database = await createDatabase();
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    published = [];
    logged = [];
    handlers = [];
    words.clear();
    wire.store = async () => {};
    server = await startWhatsappServer();
    wire.transport = wire.newTransport();
  });
  afterEach(async () => {
    await wire.transport.close();
    await server.close();
  });
  return wire;
}
