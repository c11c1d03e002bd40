import { LINK_CLOSE, LINK_FINAL_CODES, type LinkAckStatus, type LinkFromDevice, type LinkToDevice } from './protocol.ts';

/**
 * A device's side of `flotilla-link.v1`, for any JavaScript that has a WebSocket: Node with `ws`, browsers, k6. Imports nothing.
 *
 * Owns: one socket at a time, what the server has not confirmed yet, which messages it has shown. Does not own: the socket's making, time and
 * chance (all come in as `deps`), what is done with a message.
 *
 * C1 A message is shown once per id, however often it comes; its acks are said again each time, under the epoch it came with.
 * C2 An ack or an inbound message is repeated, on this socket and on the next ones, until `ok` for it comes.
 * C3 After a final close code it stays away; after any other it comes back, full jitter over an exponential wait, never before `retryAfterMs`.
 * C4 A socket that says nothing for 2.5 heartbeats is dead, whatever TCP thinks of it (half-open).
 * C5 Nothing of a socket that was given up is heard any more.
 */
export interface LinkClient {
  /** says what became of a message, until it is confirmed */
  ack(id: string, status: LinkAckStatus, error?: string): void;
  /** passes on a message that came in, until it is stored; `id` is the device's own and unique in it */
  inbound(message: { readonly id: string; readonly from: string; readonly body: string }): void;
  /** acks and inbound messages without their `ok` */
  unconfirmed(): number;
  readonly online: boolean;
  /** gives the socket up without a word, as a crash or a lost network would; comes back by C3 */
  drop(): void;
  /** ends for good */
  stop(): void;
}

/** A socket that is open or opening. */
export interface LinkWire {
  send(text: string): void;
  close(): void;
}
export interface LinkWireEvents {
  open(): void;
  message(text: string): void;
  /** also when it could not be opened (1006). `retryAfterMs`: what the refusal's retry-after said */
  closed(code: number, retryAfterMs?: number): void;
}
export interface LinkClientDeps {
  /** opens a WebSocket that offers LINK_SUBPROTOCOL; says nothing through `events` before it has returned */
  open(url: string, events: LinkWireEvents): LinkWire;
  /** runs `task` once, later; the result cancels */
  after(ms: number, task: () => void): () => void;
  /** monotonic ms */
  now(): number;
  /** 0 <= x < 1 */
  random(): number;
}
export interface LinkClientOptions {
  /** `ws://host:port/link` of one or more gateways; the next one is tried after each failure */
  readonly urls: readonly string[];
  readonly token: string;
  readonly deviceId?: string;
  /** said at once for each message; default sent, delivered. Empty: only what `ack` says */
  readonly acks?: readonly LinkAckStatus[];
  /** a message, once per id */
  onMessage?(message: Extract<LinkToDevice, { type: 'send' }>): void;
  onWelcome?(welcome: Extract<LinkToDevice, { type: 'welcome' }>): void;
  /** the server has it; `status` undefined: an inbound message */
  onConfirmed?(id: string, status: LinkAckStatus | undefined): void;
  /** the socket is gone. `final`: it does not come back (C3) */
  onGone?(gone: { readonly code: number; readonly reason: string; readonly final: boolean }): void;
  /** first and longest wait before coming back, ms; default 500 and 30 000 */
  readonly backoff?: { readonly baseMs: number; readonly capMs: number };
  /** an unconfirmed frame is repeated after this long, ms; default 15 000 */
  readonly repeatMs?: number;
  /** messages remembered for C1; default 1000 */
  readonly remember?: number;
}

/** no welcome within this: try the next gateway, ms (a gateway in a storm lets devices wait) */
const WELCOME_MS = 30_000;
const SILENT_HEARTBEATS = 2.5;

type Repeated = Extract<LinkFromDevice, { type: 'ack' | 'inbound' }>;
interface Pending {
  frame: Repeated;
  saidAt: number;
}

export function createLinkClient(deps: LinkClientDeps, options: LinkClientOptions): LinkClient {
  const acks = options.acks ?? ['sent', 'delivered'];
  const backoff = options.backoff ?? { baseMs: 500, capMs: 30_000 };
  const repeatMs = options.repeatMs ?? 15_000;
  const remember = options.remember ?? 1000;
  const pending = new Map<string, Pending>();
  /** messages shown, and what was said of them (C1); the oldest are forgotten first */
  const shown = new Map<string, { epoch: number; readonly acks: Map<LinkAckStatus, string | undefined> }>();
  let wire: LinkWire | undefined;
  let online = false;
  let stopped = false;
  let attempt = 0;
  let dialled = 0;
  let heardAt = 0;
  let heartbeatMs = 0;
  let bye: Extract<LinkToDevice, { type: 'bye' }> | undefined;
  let cancelDial = (): void => {};
  let cancelWatch = (): void => {};

  const say = (frame: LinkFromDevice): void => wire?.send(JSON.stringify(frame));
  const keyOf = (id: string, status: LinkAckStatus | undefined): string => `${status ?? 'inbound'} ${id}`;
  const hold = (frame: Repeated): void => {
    pending.set(keyOf(frame.id, frame.type === 'ack' ? frame.status : undefined), { frame, saidAt: deps.now() });
    if (online) say(frame);
  };
  const repeat = (olderThan: number): void => {
    for (const entry of pending.values()) {
      if (entry.saidAt > olderThan) continue;
      entry.saidAt = deps.now();
      say(entry.frame);
    }
  };

  /** C4, and the repeats of C2 */
  const watch = (): void => {
    const silent = deps.now() - heardAt;
    if (silent > (online ? heartbeatMs * SILENT_HEARTBEATS : WELCOME_MS)) {
      gone(LINK_CLOSE.heartbeat, 'SILENT');
      return;
    }
    if (online) repeat(deps.now() - repeatMs);
    cancelWatch = deps.after(online ? Math.min(heartbeatMs, repeatMs) : WELCOME_MS / 4, watch);
  };

  const gone = (code: number, reason: string, retryAfterMs = 0): void => {
    const left = wire;
    const leastMs = Math.max(retryAfterMs, bye?.retryAfterMs ?? 0);
    wire = undefined;
    online = false;
    bye = undefined;
    cancelWatch();
    left?.close();
    const final = stopped || LINK_FINAL_CODES.includes(code);
    if (final) stopped = true;
    else {
      const waitMs = deps.random() * Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(attempt, 16));
      attempt += 1;
      cancelDial = deps.after(leastMs + waitMs, dial);
    }
    options.onGone?.({ code, reason, final });
  };

  const dial = (): void => {
    const url = options.urls[dialled % options.urls.length];
    if (stopped || url === undefined) return;
    dialled += 1;
    heardAt = deps.now();
    cancelWatch = deps.after(WELCOME_MS, watch);
    // C5
    const own = (task: () => void): void => {
      if (wire === mine) task();
    };
    const mine: LinkWire = deps.open(url, {
      open: () =>
        own(() => say({ type: 'hello', token: options.token, ...(options.deviceId === undefined ? {} : { deviceId: options.deviceId }) })),
      message: (text) => own(() => hear(text)),
      closed: (code, retryAfterMs) => own(() => gone(code, bye?.reason ?? '', retryAfterMs)),
    });
    wire = mine;
  };

  const onSend = (frame: Extract<LinkToDevice, { type: 'send' }>): void => {
    const { id, epoch } = frame;
    const known = shown.get(id);
    if (known !== undefined) {
      known.epoch = epoch;
      for (const [status, error] of known.acks) client.ack(id, status, error);
      return;
    }
    const oldest = shown.size < remember ? undefined : shown.keys().next().value;
    if (oldest !== undefined) shown.delete(oldest);
    shown.set(id, { epoch, acks: new Map() });
    options.onMessage?.(frame);
    for (const status of acks) client.ack(id, status);
  };

  const hear = (text: string): void => {
    heardAt = deps.now();
    const frame = JSON.parse(text) as LinkToDevice;
    switch (frame.type) {
      case 'welcome':
        online = true;
        attempt = 0;
        heartbeatMs = frame.heartbeatMs;
        cancelWatch();
        cancelWatch = deps.after(Math.min(heartbeatMs, repeatMs), watch);
        options.onWelcome?.(frame);
        repeat(Number.POSITIVE_INFINITY);
        return;
      case 'ping':
        say({ type: 'pong' });
        return;
      case 'send':
        onSend(frame);
        return;
      case 'ok':
        if (pending.delete(keyOf(frame.id, frame.status))) options.onConfirmed?.(frame.id, frame.status);
        return;
      case 'bye':
        bye = frame;
        return;
    }
  };

  const client: LinkClient = {
    ack(id, status, error) {
      const message = shown.get(id);
      message?.acks.set(status, error);
      hold({ type: 'ack', id, epoch: message?.epoch ?? 0, status, ...(error === undefined ? {} : { error }) });
    },
    inbound: ({ id, from, body }) => hold({ type: 'inbound', id, from, body }),
    unconfirmed: () => pending.size,
    get online() {
      return online;
    },
    drop: () => {
      if (wire !== undefined) gone(1006, 'DROPPED');
    },
    stop() {
      stopped = true;
      cancelDial();
      if (wire !== undefined) gone(1000, 'STOPPED');
    },
  };
  dial();
  return client;
}
