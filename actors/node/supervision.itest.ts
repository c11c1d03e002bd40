import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Clock, systemClock } from '../../ops/lifecycle/index.ts';
import { BELL, partitionKeys, partitionOf } from '../../schema/domain/index.ts';
import { loadDevices, ownershipOf, releaseDevice, setPaused } from '../../schema/sql/index.ts';
import { createWorld, type World, type WorldOptions } from './world.testing.ts';

let world: World | undefined;
const open = async (options: WorldOptions = {}): Promise<World> => {
  world = await createWorld(options);
  return world;
};
afterEach(async () => {
  await world?.close();
  world = undefined;
});
const until = (check: () => unknown, timeout = 30_000): Promise<unknown> => vi.waitFor(check, { timeout, interval: 20 });
const hang = (): Promise<never> => new Promise(() => {});
const crashesOf = async (w: World, id: string): Promise<number> =>
  (await ownershipOf(w.database.sql, { deviceIds: [id] }))[0]?.crashes ?? -1;

/** The node dies in the middle of a send of this device, again and again: an owner that says nothing, and a takeover. */
async function crash(w: World, deviceId: string, arrivals: number): Promise<void> {
  await until(() => expect(w.transport.arrivals).toHaveLength(arrivals));
  w.ownership.lose([deviceId], 'EXPIRED');
  await w.ownership.grant([deviceId], 'crash');
}

describe('supervision', () => {
  it('quarantines a device after 3 crashes in the middle of a turn, before it is tried again; an operator gives it back', async () => {
    const w = await open({ options: { calmMs: 0, retry: { budget: 6, baseMs: 10, capMs: 40 } } });
    const [deviceId = ''] = await w.devices(1);
    w.transport.script = (message) => (message.body === 'poison' ? hang() : { kind: 'sent', at: systemClock.wall() });
    await w.ownership.grant([deviceId]);
    await w.send(['poison', 'after'].map((body) => ({ deviceId, body })));
    for (let arrivals = 1; arrivals <= 3; arrivals++) await crash(w, deviceId, arrivals);
    await until(() =>
      expect(w.host.actors.get(deviceId)?.actor.record()).toMatchObject({ state: 'QUARANTINED', reason: 'CRASH_TAKEOVERS' }),
    );
    await systemClock.sleep(300);
    expect(w.transport.arrivals).toHaveLength(3);
    await releaseDevice(w.database.sql, w.tenantId, deviceId);
    expect(await crashesOf(w, deviceId)).toBe(0);
    // the attempts were counted before they ran: the budget of six ends the message, and what stood behind it goes
    w.ownership.lose([deviceId], 'EXPIRED');
    await w.ownership.grant([deviceId], 'graceful');
    for (let arrivals = 4; arrivals <= 5; arrivals++) await crash(w, deviceId, arrivals);
    await until(() => expect(w.transport.arrivals).toHaveLength(6));
    await releaseDevice(w.database.sql, w.tenantId, deviceId);
    await w.database.sql.unsafe('update ownership set crashes = 0');
    w.ownership.lose([deviceId], 'EXPIRED');
    await w.ownership.grant([deviceId], 'graceful');
    await until(async () => expect(await w.states()).toEqual({ DEAD: 1, SENT: 1 }));
    expect(w.events.filter((event) => event.state === 'DEAD')).toMatchObject([{ cause: 'RETRY_BUDGET', attempts: 6 }]);
    expect(await crashesOf(w, deviceId)).toBe(0);
  });

  /**
   * Chaos, a poison among 3,000 devices at 500/s: the nodes died so soon after each other that devices with a backlog were in the middle of a
   * turn at all three deaths, with no turn completed between, and were quarantined with the poisoned one; their messages waited for an operator.
   */
  it('of many devices in a turn at every death only the one that ends the node is quarantined', async () => {
    const w = await open({ options: { calmMs: 300, retry: { budget: 6, baseMs: 10, capMs: 40 } } });
    const [poisoned = '', ...bystanders] = await w.devices(20);
    const all = [poisoned, ...bystanders];
    const die = async (): Promise<void> => {
      w.ownership.lose(all, 'EXPIRED');
      await w.ownership.grant(all, 'crash');
    };
    w.transport.script = hang;
    await w.ownership.grant(all);
    await w.send(all.flatMap((deviceId) => ['x', 'y'].map((body) => ({ deviceId, body }))));
    for (const arrivals of [20, 40]) {
      await until(() => expect(w.transport.arrivals).toHaveLength(arrivals));
      await die();
    }
    // from here on the others do their work, but what is under way when the node dies is never heard of again
    let dead = false;
    w.transport.script = async (_message, device) => {
      const before = dead;
      if (device.id === poisoned) {
        dead = true;
        w.ownership.lose(all, 'EXPIRED');
        return await hang();
      }
      await systemClock.sleep(10);
      return dead === before ? { kind: 'sent', at: systemClock.wall() } : await hang();
    };
    await until(() => expect(dead).toBe(true));
    await w.ownership.grant(all, 'crash');
    await until(async () => expect((await w.states())['SENT']).toBe(38));
    // the poisoned one may have been the last to be tried: then it is taken over after everything else is sent
    await until(async () =>
      expect((await loadDevices(w.database.sql, all)).filter((row) => row.quarantined).map((row) => row.id)).toEqual([poisoned]),
    );
    for (const id of bystanders) {
      expect(await crashesOf(w, id)).toBe(0);
      expect(w.records.some((one) => one.id === id && one.state === 'THROTTLED' && one.reason === 'PROBATION')).toBe(true);
    }
  });

  it('a completed turn between crashes starts the count afresh, and a node that dies while it is idle counts nothing', async () => {
    const w = await open();
    const [deviceId = ''] = await w.devices(1);
    for (let round = 0; round < 4; round++) {
      w.transport.script = hang;
      await w.ownership.grant([deviceId], 'crash');
      await w.send([{ deviceId, body: `${round}` }]);
      await until(() => expect(w.transport.arrivals.filter((arrival) => arrival.body === `${round}`)).toHaveLength(1));
      w.ownership.lose([deviceId], 'EXPIRED');
      w.transport.script = () => ({ kind: 'sent', at: systemClock.wall() });
      await w.ownership.grant([deviceId], 'crash');
      await until(async () => expect(await w.states()).toEqual({ SENT: round + 1 }));
      w.ownership.lose([deviceId], 'EXPIRED');
    }
    await w.ownership.grant([deviceId], 'crash');
    expect(await crashesOf(w, deviceId)).toBe(0);
  });

  it('gives up a device whose turn does not end, only that one, and counts it as a crash', async () => {
    // the others' turns may take long too, on a slow machine
    const w = await open({ options: { turnLimitMs: 5000 } });
    const [stuck = '', ...others] = await w.devices(40);
    const released: string[] = [];
    const causes = new Set<string>();
    const { release } = w.ownership;
    w.ownership.release = async (ids, cause) => {
      released.push(...ids);
      causes.add(cause);
      await release(ids, cause);
    };
    w.transport.script = (_message, device) => (device.id === stuck ? hang() : { kind: 'sent', at: systemClock.wall() });
    await w.ownership.grant([stuck, ...others]);
    await w.send([stuck, ...others].map((deviceId) => ({ deviceId, body: 'x' })));
    await until(() => expect(released).toEqual([stuck]));
    expect(causes).toEqual(new Set(['STUCK']));
    await until(() => expect(w.host.actors.size).toBe(39));
    w.transport.script = () => ({ kind: 'sent', at: systemClock.wall() });
    await w.ownership.grant([stuck], 'crash');
    await until(async () => expect(await w.states()).toEqual({ SENT: 40 }));
  });

  it('gives nobody up while a store does not answer: waiting is not being stuck', async () => {
    let frozen = false;
    const w = await open({
      options: { turnLimitMs: 300 },
      statements: (real) => ({
        ...real,
        turn: {
          ...real.turn,
          intent: (items) => (frozen ? hang() : real.turn.intent(items)),
          ping: () => (frozen ? hang() : real.turn.ping()),
        },
      }),
    });
    const devices = await w.devices(5);
    await w.ownership.grant(devices);
    await until(() => expect(w.host.actors.size).toBe(5));
    frozen = true;
    await w.send(devices.map((deviceId) => ({ deviceId, body: 'x' })));
    await systemClock.sleep(4500);
    expect(w.host.actors.size).toBe(5);
  });

  it('pauses a device that fails without end, with the reason; resuming it tries again at once', async () => {
    // a quarter of an hour in some seconds
    const fast: Clock = {
      ...systemClock,
      monotonic: () => systemClock.monotonic() * 200,
      after: (ms, task, more) => systemClock.after(ms / 200, task, more),
    };
    const w = await open({ clock: fast, options: { sweepMs: 20_000, refillSweepMs: 40_000, sendTimeoutMs: 5_000_000 } });
    const [deviceId = ''] = await w.devices(1);
    w.transport.script = () => ({ kind: 'rejected', retry: true, code: 'BUSY', detail: 'busy' });
    await w.ownership.grant([deviceId]);
    await w.send(Array.from({ length: 20 }, (_, n) => ({ deviceId, body: `${n}` })));
    await until(() => expect(w.host.actors.get(deviceId)?.actor.record()).toMatchObject({ state: 'PAUSED', reason: 'SUSTAINED_FAILURE' }));
    // ten answers open the breaker, four probes in a row find no better
    expect(w.transport.arrivals).toHaveLength(14);
    w.transport.script = () => ({ kind: 'sent', at: systemClock.wall() });
    const [row] = await loadDevices(w.database.sql, [deviceId]);
    expect(row).toMatchObject({ paused: true, pauseReason: 'SUSTAINED_FAILURE' });
    const resumed = await setPaused(w.database.sql, w.tenantId, deviceId, false);
    await w.redis.publish(partitionKeys(partitionOf(deviceId)).bell, BELL.changed + deviceId);
    expect(resumed?.paused).toBe(false);
    await until(async () => expect((await w.states())['SENT'] ?? 0).toBeGreaterThan(14));
  });

  it('one bad device slows no other: 50 neighbours of hanging, throwing and refusing ones send as if alone', async () => {
    const w = await open({ options: { sendTimeoutMs: 60_000 } });
    const ids = await w.devices(53);
    const [hanging, throwing, refusing, ...good] = ids;
    w.transport.script = (_message, device) => {
      if (device.id === hanging) return hang();
      if (device.id === throwing) throw new Error('a transport that throws');
      if (device.id === refusing) return { kind: 'rejected', retry: true, code: 'BUSY', detail: 'busy' };
      return { kind: 'sent', at: systemClock.wall() };
    };
    await w.ownership.grant(ids);
    await until(() => expect(w.host.actors.size).toBe(53));
    await w.send(ids.flatMap((deviceId) => Array.from({ length: 10 }, (_, n) => ({ deviceId, body: `${n}` }))));
    await until(() => {
      const sent = new Set(good);
      expect(w.events.filter((event) => event.state === 'SENT' && sent.has(event.deviceId))).toHaveLength(500);
    });
    // the hanging one has not had its first answer yet
    expect(w.events.filter((event) => event.deviceId === hanging && event.state === 'UNKNOWN')).toEqual([]);
  });
});
