import WebSocket from 'ws';
import { systemClock as clock, systemDice as dice } from '../../../ops/lifecycle/index.ts';
import { judgeEvent, judgeFleet, type Place, type Verdict } from './judge.ts';

/**
 * Readers of the live streams, in a process of their own, told what to do over IPC. Each keeps its place as a client should, comes back with it, and counts
 * what it was not given or was given twice.
 * Owns: the sockets and where each stands. What is right is judged by judge.ts.
 */
export type Order =
  /** dials all, `atOnce` under way; every reader takes `events`, one in `fleetEvery` the fleet; answers `live` when all stand */
  | {
      readonly kind: 'connect';
      readonly url: string;
      readonly key: string;
      readonly sockets: number;
      readonly atOnce: number;
      readonly events: boolean;
      readonly fleetEvery: number;
    }
  /** all sockets are cut at once; each comes back at `url` after a random part of `overMs`; answers `live` when all have been given something */
  | { readonly kind: 'storm'; readonly url: string; readonly overMs: number }
  /** answers `figures` of the time since the last such order */
  | { readonly kind: 'figures' };
export type Answer =
  | { readonly kind: 'live'; readonly ms: number; readonly p50: number; readonly p99: number }
  | {
      readonly kind: 'figures';
      readonly frames: number;
      readonly bytes: number;
      readonly gaps: number;
      readonly duplicates: number;
      /** operations that the gateway ended */
      readonly ended: number;
      /** the first few of them, as they came */
      readonly endings: readonly string[];
      readonly snapshots: number;
      /** the furthest behind and the furthest of all readers of events */
      readonly lowest: number;
      readonly highest: number;
      /** change -> frame, of readers of the fleet; the change's time stands in `reasons` */
      readonly latency: { readonly count: number; readonly p50: number; readonly p99: number; readonly max: number };
    };

const EVENTS = 'subscription($since: LivePosition) { messageEvents(since: $since) { epoch seq } }';
/** what the wall asks for */
const FLEET = `subscription($since: LivePosition) { fleet(since: $since) { __typename
  ... on FleetColumns { epoch seq asOf simulated nodes ids names states nodeIndex reasons totals { devices connected backlog sentPerMinute failedPerMinute states { state count } } }
  ... on FleetDelta { from removed } } }`;
/** one reader in so many looks into each frame of the fleet */
const SAMPLE = 10;
const HISTOGRAM_MS = 60_000;

interface Reader {
  readonly events: boolean;
  readonly fleet: boolean;
  readonly sampled: boolean;
  socket: WebSocket | undefined;
  eventsAt: Place | null;
  fleetAt: Place | null;
  dialledAt: number;
  /** what it still has to be given to be live */
  waits: Set<string>;
}

let target = '';
let key = '';
let readers: Reader[] = [];
let storming: { readonly from: number; readonly took: number[] } | undefined;
const counted = { frames: 0, bytes: 0, gaps: 0, duplicates: 0, ended: 0, snapshots: 0 };
let endings: string[] = [];
const latency = new Uint32Array(HISTOGRAM_MS);

const tell = (answer: Answer): void => void process.send?.(answer);
function quantile(sorted: readonly number[], share: number): number {
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
}
function latencies(): { count: number; p50: number; p99: number; max: number } {
  const count = latency.reduce((sum, one) => sum + one, 0);
  const at = (share: number): number => {
    let seen = 0;
    for (const [ms, many] of latency.entries()) {
      seen += many;
      if (many > 0 && seen >= count * share) return ms;
    }
    return Number.NaN;
  };
  const answer = { count, p50: at(0.5), p99: at(0.99), max: at(1) };
  latency.fill(0);
  return answer;
}

function given(reader: Reader, id: string): void {
  if (!reader.waits.delete(id) || reader.waits.size > 0 || storming === undefined) return;
  storming.took.push(clock.monotonic() - reader.dialledAt);
  if (storming.took.length < readers.length) return;
  const sorted = storming.took.sort((a, b) => a - b);
  const ms = Math.round(clock.monotonic() - storming.from);
  storming = undefined;
  tell({ kind: 'live', ms, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) });
}

function count(verdict: Verdict): void {
  if (verdict === 'gap') counted.gaps += 1;
  else if (verdict === 'duplicate') counted.duplicates += 1;
}
function onEvent(reader: Reader, given: Place): void {
  const { verdict, at } = judgeEvent(reader.eventsAt, given);
  count(verdict);
  reader.eventsAt = at;
}

interface FleetPayload extends Place {
  readonly from?: number;
  readonly reasons: readonly (string | null)[];
}
function onFleet(reader: Reader, update: FleetPayload): void {
  const { verdict, at } = judgeFleet(reader.fleetAt, update);
  count(verdict);
  if (update.from === undefined) counted.snapshots += 1;
  reader.fleetAt = at;
  if (!reader.sampled || update.from === undefined) return;
  const now = clock.wall();
  for (const reason of update.reasons) {
    if (reason === null) continue;
    const ms = Math.min(HISTOGRAM_MS - 1, Math.max(0, Math.round(now - Number(reason))));
    latency[ms] = (latency[ms] ?? 0) + 1;
  }
}

function ended(data: Buffer): void {
  counted.ended += 1;
  if (endings.length < 3) endings.push(data.toString('utf8', 0, 300));
}

function onText(reader: Reader, socket: WebSocket, data: Buffer): void {
  counted.frames += 1;
  counted.bytes += data.length;
  const head = data.toString('latin1', 0, 40);
  // frames of the fleet are large: most readers only take them, as long as nothing has to be judged
  if (!reader.sampled && !reader.events && head.startsWith('{"id":"f","type":"next"')) {
    given(reader, 'f');
    return;
  }
  const message = JSON.parse(data.toString('utf8')) as {
    readonly type: string;
    readonly id?: string;
    readonly payload?: { readonly data?: { readonly messageEvents?: Place; readonly fleet?: FleetPayload } | null };
  };
  const { type, id = '', payload } = message;
  if (type === 'connection_ack') subscribe(reader, socket);
  else if (type === 'ping') socket.send('{"type":"pong"}');
  else if (type === 'error' || type === 'complete') ended(data);
  else if (payload?.data?.messageEvents !== undefined) onEvent(reader, payload.data.messageEvents);
  else if (payload?.data?.fleet !== undefined) onFleet(reader, payload.data.fleet);
  else ended(data);
  if (type === 'next') given(reader, id);
}

function subscribe(reader: Reader, socket: WebSocket): void {
  const ask = (id: string, query: string, since: Place | null): void =>
    socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query, variables: { since } } }));
  if (reader.events) ask('e', EVENTS, reader.eventsAt);
  if (reader.fleet) ask('f', FLEET, reader.fleetAt);
}

function dial(reader: Reader, url: string): void {
  reader.dialledAt = clock.monotonic();
  reader.waits = new Set([...(reader.events ? ['e'] : []), ...(reader.fleet ? ['f'] : [])]);
  const socket = new WebSocket(url, 'graphql-transport-ws', { perMessageDeflate: false });
  reader.socket = socket;
  socket.on('open', () => socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } })));
  socket.on('message', (data: Buffer) => {
    if (reader.socket === socket) onText(reader, socket, data);
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    // a gateway that was killed: the order to come back follows
    if (reader.socket !== socket || target !== url) return;
    clock.after(200 + dice.next() * 300, () => {
      if (reader.socket === socket && target === url) dial(reader, url);
    });
  });
}

async function connect(order: Extract<Order, { kind: 'connect' }>): Promise<void> {
  target = order.url;
  key = order.key;
  readers = Array.from({ length: order.sockets }, (_, n) => ({
    events: order.events,
    fleet: n % order.fleetEvery === 0,
    sampled: n % (order.fleetEvery * SAMPLE) === 0,
    socket: undefined,
    eventsAt: null,
    fleetAt: null,
    dialledAt: 0,
    waits: new Set<string>(['not yet']),
  }));
  const took: number[] = [];
  storming = { from: clock.monotonic(), took };
  for (const [n, reader] of readers.entries()) {
    while (n - took.length >= order.atOnce) await clock.sleep(5);
    dial(reader, order.url);
  }
}

function storm({ url, overMs }: Extract<Order, { kind: 'storm' }>): void {
  target = url;
  storming = { from: clock.monotonic(), took: [] };
  for (const reader of readers) {
    const { socket } = reader;
    reader.socket = undefined;
    reader.waits = new Set(['not yet']);
    socket?.terminate();
    clock.after(dice.next() * overMs, () => dial(reader, url));
  }
}

process.on('message', (order: Order) => {
  if (order.kind === 'connect') void connect(order);
  else if (order.kind === 'storm') storm(order);
  else {
    let [lowest, highest] = [Number.MAX_SAFE_INTEGER, 0];
    for (const { events, eventsAt } of readers) {
      if (!events) continue;
      lowest = Math.min(lowest, eventsAt?.seq ?? 0);
      highest = Math.max(highest, eventsAt?.seq ?? 0);
    }
    tell({ kind: 'figures', ...counted, endings, lowest, highest, latency: latencies() });
    endings = [];
    for (const name of Object.keys(counted) as (keyof typeof counted)[]) counted[name] = 0;
  }
});
process.on('disconnect', () => process.exit());
