import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createPipe } from './pipe.ts';
import type { ToPhones } from './wire.ts';

/**
 * The story: a node was stopped by SIGSTOP while it wrote a batch. The permission of its first frames had been asked before the stop;
 * after it, their owner had lost its lease, and five sends reached phones that a new owner had already served.
 */
function fixture() {
  let now = 1000;
  const sent: string[] = [];
  const socket = Object.assign(new EventEmitter(), {
    setNoDelay() {},
    setEncoding() {},
    setTimeout() {},
    destroy() {},
    write(bytes: Buffer, done: () => void) {
      sent.push(...bytes.toString('utf8').trim().split('\n'));
      setImmediate(done);
    },
  });
  const clock = { monotonic: () => now, wall: () => now };
  const pipe = createPipe(socket as unknown as Socket, { up() {}, frame() {}, lost() {} }, clock);
  socket.emit('connect');
  return {
    pipe,
    sent: () => sent.map((line) => (JSON.parse(line) as { d: string }).d),
    stop: (ms: number) => {
      now += ms;
    },
    now: () => now,
  };
}
const frame = (d: string): ToPhones => ({ k: 'ok', d, i: '1' });
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a process that is stopped while it writes', () => {
  it('leaves out frames whose permission ran out during the stop, also those asked before it', async () => {
    const { pipe, sent, stop, now } = fixture();
    const went: string[] = [];
    const leased = (name: string, until: number, freezeMs = 0) => {
      let frozen = false;
      pipe.put(frame(name), {
        mayGo() {
          const may = now() < until;
          // the stop strikes once, after the answer was computed
          if (!frozen) stop(freezeMs);
          frozen = true;
          return may;
        },
        went: () => void went.push(name),
      });
    };
    leased('short', 5000);
    leased('struck', 5000, 7000);
    leased('long', 60_000);
    await tick();
    expect(sent()).toEqual(['long']);
    expect(went).toEqual(['long']);
  });

  it('keeps the order of what may still go, and sends all of it', async () => {
    const { pipe, sent, stop } = fixture();
    const names = Array.from({ length: 2000 }, (_, n) => `device-${n}`);
    let asked = 0;
    for (const name of names) pipe.put(frame(name), { mayGo: () => (++asked === 700 ? stop(50) : undefined) === undefined, went() {} });
    for (let n = 0; n < 50 && sent().length < names.length; n++) await tick();
    expect(sent()).toEqual(names);
  });
});
