import type { Redis, Sql } from '../../../ops/connect/index.ts';
import type { Clock, Dice } from '../../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../../ops/telemetry/index.ts';
import { openUpload } from '../../media/index.ts';
import type { DeviceSession, SessionStore } from '../../sessions/index.ts';
import type { Connection, Transport, TransportDevice } from '../port.ts';
import type { AccountTiming } from './account.ts';
import { createBoundedMap } from './bounded-map.ts';
import { createConnectSlots } from './connect-slots.ts';
import { createConnectTurns } from './connect-turn.ts';
import { createContents } from './contents.ts';
import { createDeviceConnection } from './device-connection.ts';
import { createMemoryGate, createRedisGate, type FleetGateOptions } from './fleet-gate.ts';
import { createIdentities } from './identities.ts';
import { loadLibrary } from './library.ts';
import type { LineFactory } from './line-port.ts';
import { createMediaDesk } from './media-desk.ts';
import type { NumberCheckOptions } from './number-check.ts';
import { createPairingDesk } from './pairing-desk.ts';
import { createQuarantine } from './quarantine.ts';
import type { Timing } from './redial.ts';
import type { ServerSettings } from './server-address.ts';
import { createStanding } from './standing.ts';
import { eraseUnlinked } from './unlinked.ts';
import { createWireIds } from './wire-ids.ts';

export interface WhatsappTransportDeps {
  readonly sql: Sql;
  /** role `general`: QR codes and bells are published with it */
  readonly redis: Pick<Redis, 'publish' | 'set'>;
  /** role `general`: the fleet's say before a connect; without it the node goes by itself */
  readonly fleet?: Redis;
  /** the node's subscriptions: a request to pair is heard at once; without them it is found within a second */
  readonly subscribe?: (channel: string, handler: (text: string) => void) => Promise<void>;
  readonly sessions: SessionStore;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly telemetry: Pick<Telemetry, 'log'>;
  readonly config: ServerSettings & {
    readonly WHATSAPP_VERSION?: string | undefined;
    readonly LEASE_TTL_MS: number;
    readonly DATA_DIR?: string;
    readonly MEDIA_PRIVATE_HOSTS?: readonly string[];
    readonly WHATSAPP_CONNECTS_NODE?: number;
    readonly WHATSAPP_CONNECTS_FLEET?: number;
    readonly WHATSAPP_CHECK_NUMBERS?: boolean;
    readonly WHATSAPP_CHECKS_PER_HOUR?: number;
  };
  /** for tests; default: Baileys, loaded when the first device needs it */
  readonly library?: () => Promise<LineFactory>;
}

export interface WhatsappTransportOptions {
  readonly timing?: Partial<Timing & AccountTiming>;
  readonly gate?: Partial<FleetGateOptions>;
  /** QR codes shown before a pairing has expired; default 6, as many as WhatsApp offers */
  readonly mostCodes?: number;
  /** for tests: the life of every QR code */
  readonly qrLifeMs?: number;
}

const MINUTE = 60_000;
/** guess: five devices refused alike within a minute are no accident */
const GATE: FleetGateOptions = { places: 40, placeLifeMs: MINUTE, devices: 5, windowMs: MINUTE, probeMs: MINUTE / 2 };
/** guess */
const NUMBERS: NumberCheckOptions = { byDefault: false, perHour: 120, presentMs: 30 * 1440 * MINUTE, absentMs: 1440 * MINUTE };
const TIMING: Timing & AccountTiming = {
  backoffBaseMs: 2000,
  backoffCapMs: MINUTE,
  stableMs: 2 * MINUTE,
  conflictMs: 4000,
  conflictWindowMs: 30_000,
  conflictPauseMs: 30_000,
  reachOutMs: 15 * MINUTE,
  newChatsMs: MINUTE / 12,
  endMs: 2000,
};

/**
 * The transport of real WhatsApp devices (Baileys), one per node. Cheap until the first device connects: only then is Baileys loaded.
 * An attempt with an unknown outcome is never sent again by itself (`resendsUnknown` false): whether recipients drop a repeated id is
 * not proved.
 */
export function createWhatsappTransport(deps: WhatsappTransportDeps, options: WhatsappTransportOptions = {}): Transport {
  const { clock, dice, sessions, config } = deps;
  const { log } = deps.telemetry;
  const desk = createPairingDesk({ sql: deps.sql, redis: deps.redis, subscribe: deps.subscribe, clock, log });
  const quarantine = createQuarantine({ sql: deps.sql, redis: deps.redis, clock, log });
  const connections = new Set<Connection>();
  const gateOptions = {
    ...GATE,
    ...(config.WHATSAPP_CONNECTS_FLEET === undefined ? {} : { places: config.WHATSAPP_CONNECTS_FLEET }),
    ...options.gate,
  };
  const gate =
    deps.fleet === undefined ? createMemoryGate(clock, log, gateOptions) : createRedisGate({ redis: deps.fleet, clock, log }, gateOptions);
  const upload = (id: string) => openUpload(deps.sql, config.DATA_DIR ?? '.data', id);
  const media = createMediaDesk({ clock, upload }, { allowed: config.MEDIA_PRIVATE_HOSTS ?? [] });
  const identities = createIdentities({ sql: deps.sql, clock, log });
  let library: Promise<LineFactory> | undefined;
  const shared = {
    clock,
    dice,
    log,
    sessions,
    desk,
    wireIds: createWireIds(deps.sql),
    turns: createConnectTurns({ clock, slots: createConnectSlots(config.WHATSAPP_CONNECTS_NODE ?? 10), gate }),
    standing: createStanding(deps),
    quarantine,
    contents: createContents({ sql: deps.sql, desk: media, log }),
    identities,
    numbers: { ...NUMBERS, byDefault: config.WHATSAPP_CHECK_NUMBERS ?? false, perHour: config.WHATSAPP_CHECKS_PER_HOUR ?? NUMBERS.perHour },
    eraseUnlinked: (device: TransportDevice, opened: DeviceSession) => eraseUnlinked(deps.sql, device, opened),
    library: () => {
      library ??= deps.library?.() ?? loadLibrary(log);
      return library;
    },
    line: {
      server: config,
      version: config.WHATSAPP_VERSION,
      // Baileys holds the account's lock while it tries again: all tries must end within one lease
      keyWriteTries: { tries: 3, delayMs: Math.floor(config.LEASE_TTL_MS / 6) },
      retryCounts: createBoundedMap(clock, { maxEntries: 50_000, lifeMs: 120 * MINUTE }),
      recipientDevices: createBoundedMap(clock, { maxEntries: 50_000, lifeMs: 5 * MINUTE }),
      qrLifeMs: options.qrLifeMs,
    },
    mostCodes: options.mostCodes ?? 6,
    timing: { ...TIMING, ...options.timing },
  };
  return {
    kind: 'whatsapp',
    resendsUnknown: false,
    connect(device, events, signal) {
      const connection = createDeviceConnection(shared, device, events, signal);
      const close = (): Promise<void> => connection.close().finally(() => connections.delete(entry));
      const entry: Connection = { send: (message, timeoutMs) => connection.send(message, timeoutMs), close };
      connections.add(entry);
      signal.addEventListener('abort', () => void close(), { once: true });
      return entry;
    },
    async close() {
      desk.close();
      quarantine.close();
      await Promise.all([...connections].map((connection) => connection.close()));
      await identities.settled();
    },
  };
}
