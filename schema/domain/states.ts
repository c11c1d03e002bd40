/**
 * The states of a message and of a device. One word, one meaning: the same names stand in Postgres, Redis, GraphQL and metrics.
 */

/** Message states in rising rank. A message only moves to a higher rank, except SENDING -> QUEUED by its own attempt's retry and a redrive. */
export const MESSAGE_STATES = [
  'QUEUED',
  'SENDING',
  'WRITTEN',
  'UNKNOWN',
  'FAILED',
  'DEAD',
  'CANCELLED',
  'SUPPRESSED',
  'SENT',
  'DELIVERED',
  'READ',
] as const;
export type MessageState = (typeof MESSAGE_STATES)[number];

/** Rank of a state: the order of the Postgres enum `message_state`. Proof of delivery (SENT and above) outranks every other end. */
export const MESSAGE_RANK: Readonly<Record<MessageState, number>> = Object.freeze(
  Object.fromEntries(MESSAGE_STATES.map((state, rank) => [state, rank])) as Record<MessageState, number>,
);

/** States after which a message no longer counts as backlog. */
export const ENDED_STATES: ReadonlySet<MessageState> = new Set<MessageState>([
  'FAILED',
  'DEAD',
  'CANCELLED',
  'SUPPRESSED',
  'SENT',
  'DELIVERED',
  'READ',
]);

/** States that prove the provider took the message; they count whatever attempt they belong to. */
export const PROOF_STATES: ReadonlySet<MessageState> = new Set<MessageState>(['SENT', 'DELIVERED', 'READ']);

export const DEVICE_STATES = [
  'UNPAIRED',
  'PAIRING',
  'CONNECTING',
  'ONLINE',
  'SENDING',
  'THROTTLED',
  'CIRCUIT_OPEN',
  'PAUSED',
  'OFFLINE',
  'LOGGED_OUT',
  'MOVING',
  'UNKNOWN',
  'QUARANTINED',
] as const;
export type DeviceState = (typeof DEVICE_STATES)[number];

/** "Connected" in every figure and on the wall. */
export const CONNECTED_STATES: ReadonlySet<DeviceState> = new Set<DeviceState>(['ONLINE', 'SENDING', 'THROTTLED']);

/** Lanes in falling priority; the index is the lane's number in Redis keys. */
export const LANES = ['control', 'high', 'normal'] as const;
export type Lane = (typeof LANES)[number];

export const TRANSPORTS = ['simulator', 'link', 'whatsapp'] as const;
export type TransportKind = (typeof TRANSPORTS)[number];

export const NODE_STATES = ['JOINING', 'ACTIVE', 'DRAINING', 'GONE'] as const;
export type NodeState = (typeof NODE_STATES)[number];
