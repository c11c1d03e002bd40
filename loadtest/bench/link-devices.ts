import { systemClock as clock } from '../../ops/lifecycle/index.ts';
import { createLinkClient, type LinkClient } from '../../schema/link/index.ts';
import { overWs } from '../../schema/link/ws.testing.ts';

/**
 * The devices of `npm run bench -- link`, in a process of their own, told what to do over IPC. Every body carries its place in its device's order and
 * the wall time at which it was accepted.
 */
export type Order =
  /** dials all, at most `atOnce` under way; answers `connected` */
  | {
      readonly kind: 'connect';
      readonly url: string;
      readonly tokens: readonly string[];
      readonly atOnce: number;
      readonly stormMs: number;
    }
  /** drops the first `count` sockets at once; each comes back by itself after a random part of `stormMs`; answers `stormed` */
  | { readonly kind: 'storm'; readonly count: number }
  /** answers `figures` since the last time */
  | { readonly kind: 'figures' };
export type Answer =
  | { readonly kind: 'connected'; readonly ms: number; readonly welcome: Quantiles }
  | { readonly kind: 'stormed'; readonly ms: number; readonly welcome: Quantiles; readonly sentAway: number }
  | {
      readonly kind: 'figures';
      readonly shown: number;
      readonly disordered: number;
      readonly unconfirmed: number;
      readonly online: number;
      readonly broken: number;
      /** accepted -> shown by the device */
      readonly delivery: Quantiles;
      /** ack said -> confirmed: the ledger has it */
      readonly ack: Quantiles;
    };
export interface Quantiles {
  readonly count: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

function quantiles(values: readonly number[]): Quantiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number | null => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    return value === undefined ? null : Math.round(value * 10) / 10;
  };
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

const clients: LinkClient[] = [];
let delivery: number[] = [];
let ack: number[] = [];
let welcome: number[] = [];
let shown = 0;
let disordered = 0;
let broken = 0;
let sentAway = 0;
let online = 0;

function createDevice(url: string, token: string, stormMs: number, onWelcome: () => void): LinkClient {
  const saidAt = new Map<string, number>();
  let last = 0;
  let dialledAt = 0;
  return createLinkClient(
    {
      ...overWs,
      open(address, events) {
        dialledAt = clock.monotonic();
        return overWs.open(address, events);
      },
    },
    {
      urls: [url],
      token,
      backoff: { baseMs: stormMs, capMs: stormMs },
      onWelcome() {
        welcome.push(clock.monotonic() - dialledAt);
        online += 1;
        onWelcome();
      },
      onGone({ code, reason }) {
        online -= 1;
        if (reason === 'BUSY' || code === 1013) sentAway += 1;
        else if (reason !== 'DROPPED') broken += 1;
      },
      onMessage({ id, body }) {
        const { seq, at } = JSON.parse(body) as { seq: number; at: number };
        shown += 1;
        delivery.push(clock.wall() - at);
        if (seq !== last + 1) disordered += 1;
        last = seq;
        saidAt.set(id, clock.monotonic());
      },
      onConfirmed(id, status) {
        const at = saidAt.get(id);
        if (status !== 'sent' || at === undefined) return;
        saidAt.delete(id);
        ack.push(clock.monotonic() - at);
      },
    },
  );
}

let waiting: { readonly until: number; readonly done: () => void } | undefined;
const arrived = (): void => {
  if (waiting !== undefined && welcome.length >= waiting.until) waiting.done();
};
const welcomes = (count: number): Promise<void> =>
  new Promise((resolve) => {
    waiting = { until: count, done: resolve };
    arrived();
  });

async function obey(order: Order): Promise<Answer> {
  const began = clock.monotonic();
  switch (order.kind) {
    case 'connect': {
      welcome = [];
      for (const token of order.tokens) {
        while (clients.length - welcome.length >= order.atOnce) await clock.sleep(1);
        clients.push(createDevice(order.url, token, order.stormMs, arrived));
      }
      await welcomes(order.tokens.length);
      return { kind: 'connected', ms: clock.monotonic() - began, welcome: quantiles(welcome) };
    }
    case 'storm': {
      welcome = [];
      sentAway = 0;
      for (const client of clients.slice(0, order.count)) client.drop();
      await welcomes(order.count);
      return { kind: 'stormed', ms: clock.monotonic() - began, welcome: quantiles(welcome), sentAway };
    }
    case 'figures': {
      const unconfirmed = clients.reduce((sum, client) => sum + client.unconfirmed(), 0);
      const answer: Answer = {
        kind: 'figures',
        shown,
        disordered,
        broken,
        unconfirmed,
        online,
        delivery: quantiles(delivery),
        ack: quantiles(ack),
      };
      delivery = [];
      ack = [];
      return answer;
    }
  }
}

process.on('message', (order: Order) => {
  void obey(order).then((answer) => process.send?.(answer));
});
process.on('disconnect', () => process.exit());
