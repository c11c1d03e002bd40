import { describe, expect, it } from 'vitest';
import type { Clock } from '../lifecycle/index.ts';
import type { Child, Exit } from './child.ts';
import { createService, type ServiceEvent } from './service.ts';

/** A clock whose timers fire when the test says so. */
function handClock(): Clock & { waits(): number[]; fire(): Promise<void> } {
  let now = 0;
  let timers: { ms: number; task: () => void }[] = [];
  return {
    wall: () => now,
    monotonic: () => now,
    after(ms, task) {
      const timer = { ms, task };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    sleep: async () => {},
    waits: () => timers.map((timer) => timer.ms),
    async fire() {
      const due = timers;
      timers = [];
      for (const { ms, task } of due) {
        now += ms;
        task();
      }
      for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
    },
  };
}

function fakeChild(pid: number): Child & { die(exit: Exit): Promise<void> } {
  let end: (exit: Exit) => void = () => {};
  let running = true;
  const exited = new Promise<Exit>((resolve) => {
    end = resolve;
  });
  const die = async (exit: Exit): Promise<void> => {
    running = false;
    end(exit);
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  };
  return {
    pid,
    exited,
    running: () => running,
    kill: (signal) => void die({ code: null, signal }),
    stop: async () => {
      await die({ code: 0, signal: null });
      return exited;
    },
    die,
  };
}

function world(restart: boolean, launchFails: () => boolean = () => false) {
  const clock = handClock();
  const children: ReturnType<typeof fakeChild>[] = [];
  const events: ServiceEvent[] = [];
  const service = createService(
    { clock },
    {
      name: 'one',
      graceMs: 1_000,
      restart,
      onEvent: (event) => void events.push(event),
      launch: async () => {
        if (launchFails()) throw new Error('no');
        const child = fakeChild(children.length + 1);
        children.push(child);
        return { child, ready: { port: 7 } };
      },
    },
  );
  return { clock, children, events, service };
}
const CRASH: Exit = { code: 1, signal: null };

describe('a kept process', () => {
  it('waits 0.2 s, then doubles up to 5 s while it keeps dying', async () => {
    const { clock, children, service } = world(true);
    await service.start();
    const waits: number[] = [];
    for (let life = 0; life < 7; life += 1) {
      await children.at(-1)?.die(CRASH);
      waits.push(...clock.waits());
      await clock.fire();
    }
    expect(waits).toEqual([200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    expect(service.pid).toBe(8);
  });
  it('tries again when the new start fails', async () => {
    let fails = false;
    const { clock, children, events, service } = world(true, () => fails);
    await service.start();
    fails = true;
    await children[0]?.die(CRASH);
    await clock.fire();
    expect(events.map((event) => event.type)).toEqual(['exited', 'restart-failed']);
    fails = false;
    await clock.fire();
    expect(events.at(-1)).toMatchObject({ type: 'restarted', pid: 2 });
  });
  it('is not started again after stop, nor when nobody asked for that', async () => {
    const kept = world(true);
    await kept.service.start();
    await kept.children[0]?.die(CRASH);
    await kept.service.stop();
    expect(kept.clock.waits()).toEqual([]);
    const loose = world(false);
    await loose.service.start();
    await loose.children[0]?.die(CRASH);
    expect(loose.clock.waits()).toEqual([]);
    expect(loose.events).toMatchObject([{ type: 'exited', restartInMs: undefined }]);
  });
  it('restarts by hand without calling that a crash', async () => {
    const { children, events, service } = world(true);
    await service.start();
    await service.restart();
    expect([children.length, events.length, service.pid]).toEqual([2, 0, 2]);
  });
  it('throws what its first launch threw', async () => {
    await expect(world(true, () => true).service.start()).rejects.toThrow('no');
  });
});
