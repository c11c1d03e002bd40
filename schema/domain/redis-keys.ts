import { PARTITIONS, partitionOf, tagOf } from './partitions.ts';

/**
 * Every Redis key and channel of the product. All keys of a device share the hash tag of its partition, so a script may
 * touch any of them. Redis is an index over Postgres: every key here but `session` can be lost and
 * is rebuilt.
 */
export interface DeviceKeys {
  /** string: the lease token of the present owner, with a TTL. Written by redlock, renewed and moved by our scripts. */
  readonly lease: string;
  /** string with a TTL: the epoch of the last owner that let go of its own accord. Missing or lower than the row's epoch = a crash. */
  readonly released: string;
  /** string: the highest epoch installed. A script given a lower epoch answers FENCED. */
  readonly fence: string;
  /** hash: lane number -> last seq ever put into that lane's stream. Missing means "not initialised by an owner": BEHIND. */
  readonly last: string;
  /** streams, by lane number 0 control, 1 high, 2 normal: entries `<seq>-0` with fields `m` (message id) and `t` (traceparent or empty). */
  readonly mailbox: readonly [string, string, string];
  /** string: presence of the device's link socket, JSON {gateway, socket}, with a TTL. */
  readonly link: string;
  /** hash with no TTL: the device's sealed WhatsApp session, with SESSION_STORE=redis only (actors/sessions). Not rebuilt from Postgres. */
  readonly session: string;
}

export interface PartitionKeys {
  /** string: `<random>:<unix ms of creation by Redis TIME>`. Missing or different = Redis lost this partition. */
  readonly generation: string;
  /** ZSET of devices with work, score = unix ms of the oldest wait. */
  readonly ready: string;
  /** hash: what link devices said and the ledger does not have yet, `<device>:<message>:<status>` -> JSON [epoch, wall ms, error]. */
  readonly acks: string;
  /** pub/sub channel, lossy: see BELL_* below. */
  readonly bell: string;
}

/** Doorbell messages on a partition's bell channel: `<kind><deviceId>`. */
export const BELL = Object.freeze({
  /** the mailbox went from empty to non-empty */
  work: 'w',
  /** a lane is behind the ledger: the owner should refill */
  behind: 'b',
  /** the ledger may hold messages of the device that its mailbox was never told of: the owner should compare */
  missed: 'm',
  /** the device's row changed (pause, settings, release, unlink): the owner should reload it */
  changed: 'c',
  /** the device's link socket came, went or moved */
  link: 'l',
});

const PREFIX = 'fl';

/** Made once: every script run and every scan names some of them. */
const KEYS_OF_PARTITIONS: readonly PartitionKeys[] = Array.from({ length: PARTITIONS }, (_, partition) => {
  const base = `${PREFIX}:${tagOf(partition)}`;
  return Object.freeze({ generation: `${base}:generation`, ready: `${base}:ready`, acks: `${base}:acks`, bell: `${base}:bell` });
});

/** @throws RangeError when there is no such partition */
export function partitionKeys(partition: number): PartitionKeys {
  const keys = KEYS_OF_PARTITIONS[partition];
  if (keys === undefined) throw new RangeError(`partition: expected 0 to ${PARTITIONS - 1}, got ${partition}`);
  return keys;
}

/** Makes a key when it is asked for: a scan asks for one key of each of thousands of devices, twice a second. */
class KeysOfDevice implements DeviceKeys {
  readonly #base: string;
  constructor(base: string) {
    this.#base = base;
  }
  get lease(): string {
    return `${this.#base}:lease`;
  }
  get released(): string {
    return `${this.#base}:released`;
  }
  get fence(): string {
    return `${this.#base}:fence`;
  }
  get last(): string {
    return `${this.#base}:last`;
  }
  get mailbox(): readonly [string, string, string] {
    return [`${this.#base}:mb:0`, `${this.#base}:mb:1`, `${this.#base}:mb:2`];
  }
  get link(): string {
    return `${this.#base}:link`;
  }
  get session(): string {
    return `${this.#base}:session`;
  }
}

/** `partition`: the device's own, where the caller knows it already */
export function deviceKeys(deviceId: string, partition = partitionOf(deviceId)): DeviceKeys {
  return new KeysOfDevice(`${PREFIX}:${tagOf(partition)}:d:${deviceId}`);
}

/** finds the sessions of all devices (SCAN) */
export const SESSION_PATTERN = `${PREFIX}:*:session`;

/** string on every lock master: `<run id>:<unix ms>`, since when its leases can be believed (actors/lease/since.lua). */
export const LEASES_SINCE_KEY = `${PREFIX}:leases-since`;

/** ZSET of node ids, score = unix ms at which the node counts as gone. */
export const NODES_KEY = `${PREFIX}:nodes`;
/** string with TTL: JSON NodeHeartbeat of one node. */
export const nodeKey = (nodeId: string): string => `${PREFIX}:node:${nodeId}`;
/** pub/sub channel of one node: directed transfers and link frames (JSON, see domain/bus.ts). */
export const nodeChannel = (nodeId: string): string => `${PREFIX}:node:${nodeId}:bus`;
/** pub/sub channel of one gateway: link frames (JSON, see domain/bus.ts). */
export const gatewayChannel = (gatewayId: string): string => `${PREFIX}:gateway:${gatewayId}:bus`;

/** pub/sub channel on which a tenant's id is said when its flows were started, stopped or got enrolments. Lossy: planners look by themselves too. */
export const FLOWS_CHANNEL = `${PREFIX}:flows`;

/** pub/sub channel of one device's pairing: each PairingRecord as JSON (domain/pairing.ts). */
export const pairingChannel = (deviceId: string): string => `${PREFIX}:pairing:${deviceId}`;
/** string with TTL: the last of them, for those who come to look later. */
export const pairingKey = (deviceId: string): string => `${PREFIX}:pairing:${deviceId}:now`;
/** pub/sub channel to all nodes: the id of a device that somebody wants to pair. Lossy: nodes look into the rows too. */
export const PAIRING_ASKED_CHANNEL = `${PREFIX}:pairing-asked`;

/** pub/sub channel to all nodes: a received file that WhatsApp does not keep any more is wanted (JSON MediaWanted, domain/received.ts). Lossy: who asks has patience. */
export const MEDIA_WANTED_CHANNEL = `${PREFIX}:media-wanted`;
/** string with TTL: what came of it (MediaAgain). */
export const mediaAgainKey = (deviceId: string, messageId: string): string => `${PREFIX}:media-again:${deviceId}:${messageId}`;

/** Who of the fleet connects to WhatsApp (actors/transports/whatsapp/fleet-gate.lua), in one slot. */
export const CONNECT_KEYS = Object.freeze({
  /** ZSET: devices that are connecting */
  places: `${PREFIX}:{whatsapp}:connecting`,
  /** ZSET: devices that were refused alike of late */
  refused: `${PREFIX}:{whatsapp}:refused`,
  /** hash: the breaker, absent = closed */
  breaker: `${PREFIX}:{whatsapp}:breaker`,
});

/** pub/sub channel on which gateways hear that an API key was revoked: its id. */
export const KEYS_CHANNEL = `${PREFIX}:keys:revoked`;

/** hash with TTL: a token bucket that all gateways share (gateway/auth/lease-share.lua); `name` is an id or an address. */
export const rateKey = (kind: 'key' | 'tenant' | 'auth' | 'link', name: string): string => `${PREFIX}:rate:${kind}:${name}`;

/** Keys of a tenant's two live streams; `{live:<tenant>}` keeps each tenant's together in one slot. */
export interface LiveKeys {
  /** hash: `epoch`, `seq` of the stream */
  readonly position: string;
  /** stream of batches, trimmed */
  readonly log: string;
  /** pub/sub channel of the same batches */
  readonly channel: string;
  /** hash of the latest record by key (devices only) */
  readonly state: string;
  /** ZSET of removed devices, score = unix ms of the removal (devices only) */
  readonly removed: string;
}
export function liveKeys(tenantId: string, stream: 'devices' | 'messages'): LiveKeys {
  const base = `${PREFIX}:{live:${tenantId}}:${stream}`;
  return {
    position: `${base}:position`,
    log: `${base}:log`,
    channel: `${base}:channel`,
    state: `${base}:state`,
    removed: `${base}:removed`,
  };
}
