import type { Redis, Sql } from '../../../ops/connect/index.ts';
import type { Clock, Dice } from '../../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../../ops/telemetry/index.ts';
import { openUpload } from '../../media/index.ts';
import { type DeviceSession, loadKeyRing, type SessionStore } from '../../sessions/index.ts';
import type { Transport, TransportDevice } from '../port.ts';
import type { AccountTiming } from './account.ts';
import { createBoundedMap } from './bounded-map.ts';
import { createConnectSlots } from './connect-slots.ts';
import { createConnectTurns } from './connect-turn.ts';
import type { DeviceConnection } from './connection-port.ts';
import { createContents } from './contents.ts';
import { createDeviceConnection } from './device-connection.ts';
import { createMemoryGate, createRedisGate, type FleetGateOptions } from './fleet-gate.ts';
import { createIdentities } from './identities.ts';
import { loadLibrary } from './library.ts';
import type { LineFactory } from './line-port.ts';
import type { LivenessOptions } from './liveness.ts';
import { createMediaAgain } from './media-again.ts';
import { createMediaDesk } from './media-desk.ts';
import type { NumberCheckOptions } from './number-check.ts';
import { createPairingDesk } from './pairing-desk.ts';
import { createProxySeal } from './proxy-seal.ts';
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
    readonly SESSION_KEYS?: string | undefined;
    readonly WHATSAPP_PROXY_PRIVATE_HOSTS?: readonly string[];
    readonly MEDIA_PRIVATE_HOSTS?: readonly string[];
    readonly WHATSAPP_CONNECTS_NODE?: number;
    readonly WHATSAPP_CONNECTS_FLEET?: number;
    readonly WHATSAPP_SILENCE_MS?: number;
    readonly WHATSAPP_ACK_MS?: number;
    readonly WHATSAPP_CANARY_MS?: number;
    readonly WHATSAPP_INBOUND_MS?: number;
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
  /** messages that may wait in memory behind one that is not stored; default 100, as many as WhatsApp sends at a time of what it kept */
  readonly mostBehind?: number;
  /** for tests: how long a phone that is asked for a file again has for its answer */
  readonly mediaAnswerMs?: number;
  /** for tests */
  readonly liveness?: Partial<LivenessOptions>;
  /** for tests: the life of every QR code */
  readonly qrLifeMs?: number;
}

const MINUTE = 60_000;
/** guess: five devices refused alike within a minute are no accident */
const GATE: FleetGateOptions = { places: 40, placeLifeMs: MINUTE, devices: 5, windowMs: MINUTE, probeMs: MINUTE / 2 };
/** guess */
const NUMBERS: NumberCheckOptions = { byDefault: false, perHour: 120, presentMs: 30 * 1440 * MINUTE, absentMs: 1440 * MINUTE };
/** the defaults of the settings of these names; the others are guesses */
const LIVENESS: LivenessOptions = {
  silenceMs: MINUTE,
  ackMs: MINUTE / 2,
  canaryMs: 0,
  canaryAnswerMs: MINUTE / 3,
  inboundMs: 10 * MINUTE,
  inboundPeople: 10,
  stallMs: 5000,
};
const LOOK_MS = 1000;
/** of one device; with 3,000 devices and messages of 1 KB some 300 MB at the very most */
const MOST_BEHIND = 100;
/** a phone that is asked for a file has this long; guess */
const MEDIA_ANSWER_MS = 20_000;
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
  const connections = new Set<DeviceConnection>();
  const gateOptions = {
    ...GATE,
    ...(config.WHATSAPP_CONNECTS_FLEET === undefined ? {} : { places: config.WHATSAPP_CONNECTS_FLEET }),
    ...options.gate,
  };
  const gate =
    deps.fleet === undefined ? createMemoryGate(clock, log, gateOptions) : createRedisGate({ redis: deps.fleet, clock, log }, gateOptions);
  const upload = (id: string) => openUpload(deps.sql, config.DATA_DIR ?? '.data', id);
  const media = createMediaDesk({ clock, upload }, { allowed: config.MEDIA_PRIVATE_HOSTS ?? [] });
  const silenceMs = options.liveness?.silenceMs ?? config.WHATSAPP_SILENCE_MS ?? LIVENESS.silenceMs;
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
    liveness: {
      ...LIVENESS,
      silenceMs,
      ackMs: config.WHATSAPP_ACK_MS ?? LIVENESS.ackMs,
      canaryMs: config.WHATSAPP_CANARY_MS ?? LIVENESS.canaryMs,
      inboundMs: config.WHATSAPP_INBOUND_MS ?? LIVENESS.inboundMs,
      ...options.liveness,
    },
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
      // two pings in the time after which silence means that nobody is there
      keepAliveMs: Math.floor(silenceMs / 2),
    },
    proxies: createProxySeal(
      () => loadKeyRing({ ...config, DATA_DIR: config.DATA_DIR ?? '.data' }),
      config.WHATSAPP_PROXY_PRIVATE_HOSTS ?? [],
    ),
    mediaAgain: createMediaAgain({ ...deps, log }, options.mediaAnswerMs ?? MEDIA_ANSWER_MS),
    mostCodes: options.mostCodes ?? 6,
    mostBehind: options.mostBehind ?? MOST_BEHIND,
    timing: { ...TIMING, ...options.timing },
  };
  let stopLooking = (): void => {};
  let looking = false;
  const keepLooking = (): void => {
    if (looking) return;
    looking = true;
    stopLooking = clock.after(
      LOOK_MS,
      () => {
        looking = false;
        for (const connection of connections) connection.look();
        if (connections.size > 0) keepLooking();
      },
      { background: true },
    );
  };
  return {
    kind: 'whatsapp',
    resendsUnknown: false,
    connect(device, events, signal) {
      const connection = createDeviceConnection(shared, device, events, signal);
      const close = (): Promise<void> => connection.close().finally(() => connections.delete(connection));
      connections.add(connection);
      keepLooking();
      signal.addEventListener('abort', () => void close(), { once: true });
      return { send: (message, timeoutMs) => connection.send(message, timeoutMs), close };
    },
    async close() {
      stopLooking();
      desk.close();
      quarantine.close();
      await Promise.all([...connections].map((connection) => connection.close()));
      await identities.settled();
    },
  };
}
