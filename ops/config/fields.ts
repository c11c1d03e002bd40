import { z } from 'zod';

/**
 * Every setting of the product, read from the environment once, at start. One entry = one variable: its meaning, unit, default
 * and which processes read it. The table in docs/configuration.md is made from this list (`npm run snapshots`).
 */
export interface Field<T = unknown> {
  /** what the setting does, one line */
  readonly meaning: string;
  /** the parser; its error says what was expected */
  readonly parse: z.ZodType<T>;
  /** text of the default as it would stand in the environment; undefined = required or off */
  readonly fallback?: string;
  readonly unit?: string;
  readonly secret?: boolean;
}

const whole = (min: number, max: number): z.ZodType<number> =>
  z
    .string()
    .regex(/^-?\d+$/, `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `expected a whole number from ${min} to ${max}`);
const text = (expected: string): z.ZodType<string> => z.string().min(1, `expected ${expected}`);
const flag = z.enum(['true', 'false'], 'expected true or false').transform((value) => value === 'true');
const template = /\$\{\{|\$\{|\{\{|<[A-Za-z_ ]+>/;
const url = (schemes: readonly string[]): z.ZodType<string> =>
  z
    .string()
    .refine((value) => !template.test(value), `still holds an unfilled template such as \${{…}}: put the real address there`)
    .refine((value) => {
      try {
        return schemes.includes(new URL(value).protocol.replace(':', ''));
      } catch {
        return false;
      }
    }, `expected an address like ${schemes[0]}://host:port`);
const list = z.string().transform((value) =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part.length > 0),
);

function field<const F extends Field>(definition: F): F {
  return definition;
}

export const FIELDS = {
  DATABASE_URL: field({ meaning: 'Postgres, the truth', parse: url(['postgres', 'postgresql']), secret: true }),
  REDIS_URL: field({
    meaning: 'Redis for mailboxes, live state and, when LOCK_REDIS_URLS is empty, leases',
    parse: url(['redis', 'rediss']),
    secret: true,
  }),
  LOCK_REDIS_URLS: field({
    meaning: 'independent Redis masters for leases: 1, 3 or 5 addresses, commas between; empty = REDIS_URL',
    parse: list,
    fallback: '',
    secret: true,
  }),
  PORT: field({ meaning: 'port of the gateway', parse: whole(0, 65535), fallback: '4000' }),
  HOST: field({ meaning: 'address the gateway listens on', parse: text('an address'), fallback: '127.0.0.1' }),
  METRICS_PORT: field({ meaning: "port of a node's /live, /ready and /metrics; 0 = any free port", parse: whole(0, 65535), fallback: '0' }),
  METRICS_HOST: field({ meaning: "address of a node's /live, /ready and /metrics", parse: text('an address'), fallback: '127.0.0.1' }),
  DATA_DIR: field({ meaning: 'folder for embedded servers, the admin key and caches', parse: text('a folder'), fallback: '.data' }),
  NODE_ID: field({
    meaning: 'name of this process: unique among nodes (and among gateways)',
    parse: z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'expected lower-case letters, digits and dashes, at most 41'),
    fallback: '',
  }),
  ADMIN_API_KEY: field({
    meaning: 'the first admin key; unset: made once and kept in DATA_DIR/admin-key',
    parse: z.string().min(24, 'expected at least 24 characters'),
    secret: true,
  }),
  SESSION_KEYS: field({
    meaning:
      'key ring for sessions at rest: id:base64 of 32 bytes, newest first, commas between; unset: made once and kept in DATA_DIR/session-keys',
    parse: text('id:base64'),
    secret: true,
  }),
  SESSION_STORE: field({
    meaning:
      'where WhatsApp sessions are kept: postgres; redis (REDIS_URL: needs AOF and noeviction); file (DATA_DIR/sessions, all nodes on one machine)',
    parse: z.enum(['postgres', 'redis', 'file'], 'expected postgres, redis or file'),
    fallback: 'postgres',
  }),
  LEASE_TTL_MS: field({ meaning: 'life of a lease', parse: whole(600, 600000), fallback: '6000', unit: 'ms' }),
  LEASE_RENEW_MS: field({
    meaning: 'time between renewals; three of them must fit into LEASE_TTL_MS',
    parse: whole(200, 200000),
    fallback: '2000',
    unit: 'ms',
  }),
  LEASE_SCAN_MS: field({
    meaning: 'time between scans for devices without an owner',
    parse: whole(50, 60000),
    fallback: '500',
    unit: 'ms',
  }),
  LEASE_MARGIN_MS: field({
    meaning: 'an owner stops this long before its own deadline',
    parse: whole(50, 60000),
    fallback: '500',
    unit: 'ms',
  }),
  NODE_CAPACITY: field({ meaning: 'the most devices one node takes', parse: whole(1, 1000000), fallback: '20000' }),
  DRAIN_MS: field({ meaning: 'longest graceful shutdown', parse: whole(500, 600000), fallback: '8000', unit: 'ms' }),
  MAILBOX_WINDOW: field({ meaning: 'entries of one lane kept in Redis ahead of the ledger', parse: whole(1, 1000), fallback: '50' }),
  SWEEP_MS: field({ meaning: 'time between sweeps that repair lost doorbells', parse: whole(100, 60000), fallback: '2000', unit: 'ms' }),
  REFILL_SWEEP_MS: field({
    meaning: 'time between set-based refills of all owned mailboxes',
    parse: whole(500, 600000),
    fallback: '5000',
    unit: 'ms',
  }),
  SEND_TIMEOUT_MS: field({
    meaning: 'an attempt without an answer for this long is UNKNOWN',
    parse: whole(100, 600000),
    fallback: '10000',
    unit: 'ms',
  }),
  UNKNOWN_WAIT_MS: field({
    meaning: 'how long a whatsapp message in UNKNOWN waits for proof before it is DEAD (OUTCOME_UNKNOWN)',
    parse: whole(100, 3600000),
    fallback: '60000',
    unit: 'ms',
  }),
  RETRY_BUDGET: field({ meaning: 'attempts before a message is DEAD', parse: whole(1, 100), fallback: '6' }),
  RETRY_BASE_MS: field({ meaning: 'first step of the exponential backoff', parse: whole(1, 600000), fallback: '1000', unit: 'ms' }),
  RETRY_CAP_MS: field({ meaning: 'longest backoff', parse: whole(1, 3600000), fallback: '60000', unit: 'ms' }),
  ENROL_PER_SECOND: field({
    meaning: 'leads a second that a node looks at while it enrols them in flows',
    parse: whole(1, 1_000_000),
    fallback: '200000',
  }),
  PACING: field({
    meaning: 'off = devices send without waiting (load tests and chaos only)',
    parse: z.enum(['on', 'off'], 'expected on or off'),
    fallback: 'on',
  }),
  SIMULATOR_URL: field({ meaning: 'the phones process of the simulator transport', parse: url(['tcp']) }),
  WHATSAPP_URL: field({
    meaning: "WebSocket address of WhatsApp's servers or of a local stand-in; unset = WhatsApp's own",
    parse: url(['ws', 'wss']),
  }),
  WHATSAPP_MEDIA_URL: field({
    meaning: "address of the server from which received media are fetched, or of a local stand-in; unset = WhatsApp's own",
    parse: url(['http', 'https']),
  }),
  MEDIA_DOWNLOAD_BYTES: field({
    meaning: 'longest received file that the API hands out',
    parse: whole(1024, 2_147_483_647),
    fallback: '104857600',
    unit: 'bytes',
  }),
  WHATSAPP_VERSION: field({
    meaning: 'WhatsApp web version spoken by the whole fleet, a.b.c; unset = the one Baileys ships',
    parse: z.string().regex(/^\d+\.\d+\.\d+$/, 'expected a.b.c'),
  }),
  WHATSAPP_CONNECTS_NODE: field({
    meaning: 'WhatsApp devices of one node that connect at once (guess)',
    parse: whole(1, 1000),
    fallback: '10',
  }),
  WHATSAPP_CONNECTS_FLEET: field({
    meaning: 'WhatsApp devices of all nodes that connect at once (guess)',
    parse: whole(1, 10_000),
    fallback: '40',
  }),
  WHATSAPP_CHECK_NUMBERS: field({
    meaning: 'true = ask WhatsApp whether a recipient is there before the first message; a device may say otherwise (checkNumbers)',
    parse: flag,
    fallback: 'false',
  }),
  WHATSAPP_CHECKS_PER_HOUR: field({
    meaning: 'recipients that a device may ask WhatsApp about in an hour (guess)',
    parse: whole(1, 100_000),
    fallback: '120',
  }),
  WHATSAPP_SILENCE_MS: field({
    meaning:
      'a WhatsApp socket over which nothing came for this long is dead, though it is open; pings are sent twice in this time (guess)',
    parse: whole(1000, 600_000),
    fallback: '60000',
    unit: 'ms',
  }),
  WHATSAPP_ACK_MS: field({
    meaning:
      'a WhatsApp socket that answers pings is dead when an attempt to send began this long ago and nothing at all was acknowledged since (guess)',
    parse: whole(1000, 600_000),
    fallback: '30000',
    unit: 'ms',
  }),
  WHATSAPP_CANARY_MS: field({
    meaning:
      'a WhatsApp socket over which nothing was acknowledged for this long is asked a cheap question that needs an answer, and is dead without one; 0 = never',
    parse: whole(0, 86_400_000),
    fallback: '0',
    unit: 'ms',
  }),
  WHATSAPP_INBOUND_MS: field({
    meaning:
      'a WhatsApp socket is dead when messages to ten different people were taken and this long afterwards nothing at all has come that WhatsApp sends by itself; 0 = never (guess)',
    parse: whole(0, 86_400_000),
    fallback: '600000',
    unit: 'ms',
  }),
  WHATSAPP_PROXY_PRIVATE_HOSTS: field({
    meaning: 'host:port of proxies in a private network that devices may be given, commas between; else only public addresses are taken',
    parse: list,
    fallback: '',
  }),
  MEDIA_PRIVATE_HOSTS: field({
    meaning:
      'host:port of servers in a private network from which media of messages may be fetched, commas between; else only public addresses are',
    parse: list,
    fallback: '',
  }),
  MEDIA_STORE: field({
    meaning:
      'where uploaded files are kept until they are forgotten: postgres; file (DATA_DIR/media: one machine, or a folder that all share)',
    parse: z.enum(['postgres', 'file'], 'expected postgres or file'),
    fallback: 'postgres',
  }),
  MEDIA_KEEP_DAYS: field({ meaning: 'how long an uploaded file is kept', parse: whole(1, 3650), fallback: '30', unit: 'days' }),
  MEDIA_TENANT_BYTES: field({
    meaning: 'most bytes that the uploaded files of a tenant may have together',
    parse: whole(0, 1_000_000_000_000_000),
    fallback: '10737418240',
    unit: 'bytes',
  }),
  WEBHOOK_PRIVATE_HOSTS: field({
    meaning: 'host:port of receivers of webhooks in a private network, commas between; else only public addresses are asked',
    parse: list,
    fallback: '',
  }),
  WEBHOOK_DISABLE_HOURS: field({
    meaning: 'a webhook whose requests have failed for so long is switched off',
    parse: whole(1, 8760),
    fallback: '24',
    unit: 'h',
  }),
  WEBHOOK_RETENTION_DAYS: field({
    meaning: 'events told to webhooks, and those that could not be told, are forgotten after this',
    parse: whole(1, 365),
    fallback: '7',
    unit: 'days',
  }),
  WHATSAPP_FORBID_REAL: field({ meaning: "true = refuse to reach WhatsApp's own servers (tests)", parse: flag, fallback: 'false' }),
  ALLOWED_ORIGINS: field({
    meaning: 'Origins of pages that may use the API and open WebSockets, commas between; empty = only the gateway’s own',
    parse: list,
    fallback: '',
  }),
  TLS_CERT_FILE: field({
    meaning: 'certificate chain (PEM) of the gateway; with TLS_KEY_FILE it speaks https and wss only',
    parse: text('a file'),
  }),
  TLS_KEY_FILE: field({ meaning: 'private key (PEM) of that certificate', parse: text('a file') }),
  DOCUMENTS: field({
    meaning:
      'GraphQL documents: off = sent as text; apq = may be named by their hash after the first time; trusted = only those of TRUSTED_DOCUMENTS_FILE run (admins: all)',
    parse: z.enum(['off', 'apq', 'trusted'], 'expected off, apq or trusted'),
    fallback: 'apq',
  }),
  TRUSTED_DOCUMENTS_FILE: field({ meaning: 'JSON: the documents that run when DOCUMENTS=trusted', parse: text('a file') }),
  INTROSPECTION: field({
    meaning: 'who may ask for the schema: keys = every key but those with the scope SCREEN; admin = keys with the scope ADMIN',
    parse: z.enum(['keys', 'admin'], 'expected keys or admin'),
    fallback: 'keys',
  }),
  RATE_PER_KEY: field({
    meaning: 'operations of one API key per second, over all gateways (decision 0011); 0 = no limit',
    parse: whole(0, 1000000),
    fallback: '2000',
    unit: '1/s',
  }),
  RATE_PER_TENANT: field({
    meaning: 'operations of one tenant per second, over all gateways (decision 0011); 0 = no limit',
    parse: whole(0, 1000000),
    fallback: '5000',
    unit: '1/s',
  }),
  RATE_PER_ADDRESS: field({
    meaning: 'HTTP operations from one address per second and gateway; 0 = no limit',
    parse: whole(0, 1000000),
    fallback: '5000',
    unit: '1/s',
  }),
  SOCKETS_PER_ADDRESS: field({
    meaning: 'GraphQL sockets of one address per gateway; 0 = no limit',
    parse: whole(0, 1000000),
    fallback: '5000',
  }),
  SOCKETS_PER_KEY: field({
    meaning: 'GraphQL sockets of one API key per gateway; 0 = no limit',
    parse: whole(0, 1000000),
    fallback: '5000',
  }),
  SOCKETS_PER_TENANT: field({
    meaning: 'GraphQL sockets of one tenant per gateway; 0 = no limit',
    parse: whole(0, 1000000),
    fallback: '10000',
  }),
  LIVE_TICK_MS: field({
    meaning: 'subscription changes are gathered for this long; 0 = send at once',
    parse: whole(0, 5000),
    fallback: '50',
    unit: 'ms',
  }),
  LINK_HEARTBEAT_MS: field({
    meaning: 'time between pings to a link device; after two and a half without an answer its socket is closed',
    parse: whole(200, 120000),
    fallback: '10000',
    unit: 'ms',
  }),
  LINK_HELLOS_PER_SECOND: field({
    meaning: 'link devices let in per second; five seconds’ worth wait in line, the rest is told when to come back',
    parse: whole(1, 100000),
    fallback: '2000',
  }),
  LINK_FRAMES_PER_SECOND: field({
    meaning: 'frames a link device may send per second, ten seconds’ worth at once',
    parse: whole(1, 100000),
    fallback: '200',
  }),
  LEDGER_AHEAD_DAYS: field({ meaning: 'daily ledger partitions made ahead', parse: whole(1, 60), fallback: '7', unit: 'days' }),
  LEDGER_RETENTION_DAYS: field({
    meaning: 'ledger partitions older than this are dropped once all in them has ended',
    parse: whole(1, 3650),
    fallback: '90',
    unit: 'days',
  }),
  IDEMPOTENCY_RETENTION_DAYS: field({
    meaning: 'idempotency keys older than this are forgotten: a repeat is a new message then',
    parse: whole(1, 3650),
    fallback: '7',
    unit: 'days',
  }),
  INBOUND_RETENTION_DAYS: field({
    meaning: 'received messages older than this are forgotten',
    parse: whole(1, 3650),
    fallback: '90',
    unit: 'days',
  }),
  LOG_LEVEL: field({
    meaning: 'least severe log line written',
    parse: z.enum(['debug', 'info', 'warn', 'error'], 'expected debug, info, warn or error'),
    fallback: 'info',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: field({
    meaning: 'OTLP receiver for traces (http/protobuf); unset = no traces are made',
    parse: url(['http', 'https']),
  }),
  TRACE_SAMPLE_PERCENT: field({
    meaning: 'share of messages traced, chosen by the hash of the message id',
    parse: whole(0, 100),
    fallback: '100',
    unit: '%',
  }),
} as const;

export type FieldName = keyof typeof FIELDS;
type Parsed<F> = F extends { readonly parse: z.ZodType<infer T> } ? T : never;
/** Settings with a fallback are always there; the rest may be undefined unless the process requires them. */
export type Settings = {
  readonly [K in FieldName]: Parsed<(typeof FIELDS)[K]> | ((typeof FIELDS)[K] extends { readonly fallback: string } ? never : undefined);
};
