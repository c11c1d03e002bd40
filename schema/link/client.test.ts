import { describe, expect, it } from 'vitest';
import {
  createLinkClient,
  LINK_CLOSE,
  type LinkClientOptions,
  type LinkFromDevice,
  type LinkToDevice,
  type LinkWireEvents,
} from './index.ts';

/** A server made of lists, and a clock that is turned by hand. */
function world(options: Partial<LinkClientOptions> = {}) {
  let now = 0;
  let timers: { at: number; task: () => void }[] = [];
  const sockets: { url: string; events: LinkWireEvents; said: LinkFromDevice[]; closed: boolean }[] = [];
  const shown: string[] = [];
  const gone: { code: number; final: boolean }[] = [];
  const client = createLinkClient(
    {
      open(url, events) {
        const socket = { url, events, said: [] as LinkFromDevice[], closed: false };
        sockets.push(socket);
        return {
          send: (text) => void socket.said.push(JSON.parse(text) as LinkFromDevice),
          close() {
            socket.closed = true;
          },
        };
      },
      after(ms, task) {
        const timer = { at: now + ms, task };
        timers.push(timer);
        return () => {
          timers = timers.filter((one) => one !== timer);
        };
      },
      now: () => now,
      random: () => 0.5,
    },
    {
      urls: ['ws://one/link', 'ws://two/link'],
      token: 'flt_x',
      backoff: { baseMs: 1000, capMs: 8000 },
      repeatMs: 5000,
      onMessage: ({ id }) => void shown.push(id),
      onGone: ({ code, final }) => void gone.push({ code, final }),
      ...options,
    },
  );
  const last = () => {
    const socket = sockets.at(-1);
    if (socket === undefined) throw new Error('no socket');
    return socket;
  };
  const tell = (frame: LinkToDevice): void => last().events.message(JSON.stringify(frame));
  return {
    client,
    sockets,
    shown,
    gone,
    last,
    tell,
    welcome() {
      last().events.open();
      tell({ type: 'welcome', deviceId: 'd', epoch: 3, heartbeatMs: 10_000 });
    },
    pass(ms: number) {
      const until = now + ms;
      for (;;) {
        const next = timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        timers = timers.filter((timer) => timer !== next);
        now = Math.max(now, next.at);
        next.task();
      }
      now = until;
    },
  };
}
const send = (id: string, epoch = 3): LinkToDevice => ({ type: 'send', id, epoch, to: '+1', body: 'hi' });
const acksOf = (said: readonly LinkFromDevice[]): string[] =>
  said.flatMap((frame) => (frame.type === 'ack' ? [`${frame.id} ${frame.status} ${frame.epoch}`] : []));

describe('link client', () => {
  it('C1: shows a message once, and says its acks again when it comes again, under the new epoch', () => {
    const w = world();
    w.welcome();
    w.tell(send('m1'));
    w.tell({ type: 'ok', id: 'm1', status: 'sent' });
    w.tell({ type: 'ok', id: 'm1', status: 'delivered' });
    expect(w.client.unconfirmed()).toBe(0);
    w.tell(send('m1', 4));
    expect(w.shown).toEqual(['m1']);
    expect(acksOf(w.last().said)).toEqual(['m1 sent 3', 'm1 delivered 3', 'm1 sent 4', 'm1 delivered 4']);
    expect(w.client.unconfirmed()).toBe(2);
  });

  it('C2: repeats what is not confirmed, in time and on the next socket', () => {
    const w = world({ acks: ['sent'] });
    w.welcome();
    w.tell(send('m1'));
    w.client.inbound({ id: 'in', from: '+1', body: 'x' });
    w.tell({ type: 'ok', id: 'in' });
    w.pass(6000);
    expect(acksOf(w.last().said)).toEqual(['m1 sent 3', 'm1 sent 3']);
    w.client.drop();
    w.pass(1000);
    w.welcome();
    expect(w.last().said).toEqual([
      { type: 'hello', token: 'flt_x' },
      { type: 'ack', id: 'm1', epoch: 3, status: 'sent' },
    ]);
    w.tell({ type: 'ok', id: 'm1', status: 'delivered' });
    expect(w.client.unconfirmed()).toBe(1);
    w.tell({ type: 'ok', id: 'm1', status: 'sent' });
    expect(w.client.unconfirmed()).toBe(0);
  });

  it('C3: comes back to the next gateway, later each time, and never before it may', () => {
    const w = world();
    w.last().events.closed(1006);
    expect(w.sockets).toHaveLength(1);
    w.pass(499);
    expect(w.sockets).toHaveLength(1);
    w.pass(1);
    expect(w.last().url).toBe('ws://two/link');
    w.last().events.closed(1006);
    w.pass(999);
    expect(w.sockets).toHaveLength(2);
    w.pass(1);
    w.last().events.open();
    w.tell({ type: 'bye', reason: 'BUSY', retryAfterMs: 7000 });
    w.last().events.closed(LINK_CLOSE.busy);
    w.pass(7000 + 1999);
    expect(w.sockets).toHaveLength(3);
    w.pass(1);
    expect(w.sockets).toHaveLength(4);
  });

  it('C3: stays away after a final code, and says so', () => {
    const w = world();
    w.welcome();
    w.last().events.closed(LINK_CLOSE.replaced);
    w.pass(1_000_000);
    expect(w.sockets).toHaveLength(1);
    expect(w.gone).toEqual([{ code: LINK_CLOSE.replaced, final: true }]);
  });

  it('C4: a socket that falls silent is given up; C5: what it says later is not heard', () => {
    const w = world();
    w.welcome();
    const silent = w.last();
    w.pass(20_000);
    w.tell({ type: 'ping' });
    w.pass(20_000);
    expect(w.gone).toEqual([]);
    w.pass(10_001);
    expect(w.gone).toEqual([{ code: LINK_CLOSE.heartbeat, final: false }]);
    expect(silent.closed).toBe(true);
    silent.events.message(JSON.stringify(send('late')));
    silent.events.closed(1006);
    expect(w.shown).toEqual([]);
    expect(w.gone).toHaveLength(1);
  });

  it('gives a gateway up that never welcomes it', () => {
    const w = world();
    w.last().events.open();
    w.pass(60_000);
    expect(w.sockets.length).toBeGreaterThan(1);
    w.client.stop();
    const dialled = w.sockets.length;
    w.pass(600_000);
    expect(w.sockets).toHaveLength(dialled);
  });
});
