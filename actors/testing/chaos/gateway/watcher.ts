import WebSocket from 'ws';
import type { Clock, Dice } from '../../../../ops/lifecycle/index.ts';
import { createFleetWatch, type EventSubscription, type FleetWatch, type Position } from './checker.ts';

/**
 * A client with a few live subscriptions on one socket. It comes back, at whichever gateway answers, with the position it has.
 * Owns its socket and what its subscriptions were given. Written after graphql-ws' PROTOCOL.md, with nothing of the gateway's.
 * W1 A position is what the last update said, or what a heartbeat said after it.
 */
export interface Watcher {
  readonly live: boolean;
  /** clock ms at which all its subscriptions were asked for last */
  readonly liveAt: number;
  readonly connects: number;
  /** operations asked for again because the ledger was too busy to look a device up */
  readonly retries: number;
  /** operations the gateway ended with an error, in words */
  readonly refused: readonly string[];
  readonly events: readonly (EventSubscription & { readonly position: Position })[];
  readonly fleets: readonly FleetWatch[];
  /** base address of the gateway it talks to */
  readonly at: string;
  close(): void;
}
export interface WatcherOptions {
  readonly name: string;
  readonly gateways: readonly string[];
  readonly key: string;
  readonly start: Position;
  /** one subscription each: to the events of that device (null: of all) */
  readonly events: readonly (string | null)[];
  /** how many to the fleet */
  readonly fleets: number;
}

const EVENTS = 'subscription($device: ID, $since: LivePosition) { messageEvents(deviceId: $device, since: $since) { epoch seq } }';
const FLEET = `subscription($since: LivePosition) { fleet(since: $since) {
  __typename ... on FleetColumns { epoch seq nodes ids states nodeIndex } ... on FleetDelta { from removed } } }`;

interface FleetPayload {
  readonly epoch: string;
  readonly seq: number;
  readonly from?: number;
  readonly removed?: readonly string[];
  readonly nodes: readonly string[];
  readonly ids: readonly string[];
  readonly states: readonly string[];
  readonly nodeIndex: readonly number[];
}
interface Frame {
  readonly type: string;
  readonly id?: string;
  readonly payload?: {
    readonly data?: { readonly messageEvents?: Position; readonly fleet?: FleetPayload } | null;
    readonly errors?: readonly { readonly extensions?: { readonly code?: string; readonly retryAfterMs?: number } }[];
    readonly live?: Readonly<Record<string, Position>>;
  };
}
interface Events {
  readonly name: string;
  readonly deviceId: string | null;
  readonly start: Position;
  readonly received: number[];
  position: Position;
}

function rowsOf(fleet: FleetPayload): Map<string, string> {
  return new Map(fleet.ids.map((id, n) => [id.slice(-36), `${fleet.states[n]} ${fleet.nodes[fleet.nodeIndex[n] ?? -1] ?? ''}`]));
}

export function createWatcher(deps: { readonly clock: Clock; readonly dice: Dice }, options: WatcherOptions): Watcher {
  const { clock, dice } = deps;
  const events: Events[] = options.events.map((deviceId, n) => ({
    name: `${options.name}, events ${n}${deviceId === null ? '' : ` of ${deviceId}`}`,
    deviceId,
    start: options.start,
    received: [],
    position: options.start,
  }));
  const fleets = Array.from({ length: options.fleets }, (_, n) => createFleetWatch(`${options.name}, fleet ${n}`));
  const refused: string[] = [];
  let socket: WebSocket | undefined;
  let turn = Math.floor(dice.next() * options.gateways.length);
  let live = false;
  let liveAt = 0;
  let connects = 0;
  let retries = 0;
  const waits = new Map<string, number>();
  let closed = false;

  const say = (message: unknown): void => socket?.send(JSON.stringify(message));
  const ask = (id: string): void => {
    const n = Number(id.slice(1));
    const mine = id.startsWith('e') ? events[n] : undefined;
    if (mine !== undefined) {
      say({ id, type: 'subscribe', payload: { query: EVENTS, variables: { device: mine.deviceId, since: mine.position } } });
    } else say({ id, type: 'subscribe', payload: { query: FLEET, variables: { since: fleets[n]?.position ?? null } } });
  };
  const subscribe = (): void => {
    for (const n of events.keys()) ask(`e${n}`);
    for (const n of fleets.keys()) ask(`f${n}`);
    live = true;
    liveAt = clock.monotonic();
  };
  /** The gateway could not look the device up in time and said when to ask again. */
  const later = (id: string, waitMs: number): void => {
    const mine = socket;
    retries += 1;
    clock.after(waitMs * (1 + dice.next()), () => {
      if (mine === socket && live) ask(id);
    });
  };
  const next = (id: string, { data }: NonNullable<Frame['payload']>): void => {
    const n = Number(id.slice(1));
    const mine = events[n];
    if (id.startsWith('e') && mine !== undefined && data?.messageEvents !== undefined) {
      mine.received.push(data.messageEvents.seq);
      mine.position = data.messageEvents;
    } else if (id.startsWith('f') && data?.fleet !== undefined) {
      const { epoch, seq, from, removed } = data.fleet;
      fleets[n]?.apply({ epoch, seq, from, rows: rowsOf(data.fleet), removed: (removed ?? []).map((one) => one.slice(-36)) });
    }
  };
  const take = ({ type, id = '', payload }: Frame): void => {
    if (type === 'connection_ack') subscribe();
    else if (type === 'next' && payload !== undefined && payload.errors === undefined) next(id, payload);
    else if (type === 'next' && payload?.errors?.[0]?.extensions?.code === 'UNAVAILABLE')
      waits.set(id, payload.errors[0].extensions.retryAfterMs ?? 1_000);
    else if (type === 'complete' && waits.has(id)) {
      later(id, waits.get(id) ?? 1_000);
      waits.delete(id);
    } else if (type === 'ping') {
      say({ type: 'pong' });
      for (const [n, one] of events.entries()) one.position = payload?.live?.[`e${n}`] ?? one.position;
    } else if (type !== 'pong') refused.push(`${options.name}: ${type} ${id} ${JSON.stringify(payload)}`);
  };
  const connect = (): void => {
    if (closed) return;
    turn += 1;
    connects += 1;
    const url = options.gateways[turn % options.gateways.length] ?? '';
    const made = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    socket = made;
    made.on('open', () => say({ type: 'connection_init', payload: { authorization: `Bearer ${options.key}` } }));
    made.on('message', (data) => take(JSON.parse(String(data)) as Frame));
    made.on('error', () => {});
    made.on('close', () => {
      live = false;
      waits.clear();
      clock.after(50 + dice.next() * 250, connect);
    });
  };
  connect();
  return {
    get live() {
      return live;
    },
    get liveAt() {
      return liveAt;
    },
    get connects() {
      return connects;
    },
    get retries() {
      return retries;
    },
    get at() {
      return options.gateways[turn % options.gateways.length] ?? '';
    },
    refused,
    events,
    fleets,
    close() {
      closed = true;
      socket?.terminate();
    },
  };
}
