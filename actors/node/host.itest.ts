import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { partitionKeys, partitionOf, uuidV7 } from '../../schema/domain/index.ts';
import { cancel, redrive, setPaused, suppress } from '../../schema/sql/index.ts';
import { createWorld, scriptedTransport, type World, type WorldOptions } from './world.testing.ts';

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
const bodies = (w: World, deviceId: string): string[] =>
  w.transport.arrivals.filter((arrival) => arrival.deviceId === deviceId).map((arrival) => arrival.body);
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index));

describe('a node', () => {
  it('sends 200 messages over 10 devices in the order of acceptance, each once, each SENT and said', async () => {
    const w = await open();
    const devices = await w.devices(10);
    await w.ownership.grant(devices);
    for (const round of numbers(20)) await w.send(devices.map((deviceId) => ({ deviceId, body: round })));
    await until(async () => expect(await w.states()).toEqual({ SENT: 200 }));
    for (const deviceId of devices) expect(bodies(w, deviceId)).toEqual(numbers(20));
    await until(() => expect(w.events.filter((event) => event.state === 'SENT')).toHaveLength(200));
    await until(() =>
      expect(w.host.actors.get(devices[0] ?? '')?.actor.sendability()).toEqual({ sendable: true, blockers: ['EMPTY_QUEUE'] }),
    );
    await until(() => expect(w.records.at(-1)?.state).toBe('ONLINE'));
    for (const deviceId of devices)
      await until(async () => expect(await w.redis.zscore(partitionKeys(partitionOf(deviceId)).ready, deviceId)).toBeNull());
  });

  it('sends what a gateway committed but never told, and what lies far beyond the window', async () => {
    const w = await open({ options: { window: 10 } });
    const [deviceId = ''] = await w.devices(1);
    await w.send(
      numbers(35).map((body) => ({ deviceId, body })),
      false,
    );
    await w.ownership.grant([deviceId]);
    await until(async () => expect(await w.states()).toEqual({ SENT: 35 }));
    await w.send([{ deviceId, body: '35' }], false);
    await until(async () => expect(await w.states()).toEqual({ SENT: 36 }));
    expect(bodies(w, deviceId)).toEqual(numbers(36));
  });

  it('compares with the ledger at once when a gateway had no answer to its commit', async () => {
    const w = await open({ options: { sweepMs: 60_000, refillSweepMs: 60_000 } });
    const [deviceId = ''] = await w.devices(1);
    await w.ownership.grant([deviceId]);
    await w.send([{ deviceId, body: 'told' }]);
    await until(async () => expect(await w.states()).toEqual({ SENT: 1 }));
    await w.send([{ deviceId, body: 'not told' }], false);
    w.enqueuer.missed([deviceId]);
    await until(async () => expect(await w.states()).toEqual({ SENT: 2 }));
  });

  it('fills a mailbox when the ledger is back, not at the next sweep', async () => {
    let failures = 0;
    const w = await open({
      options: { sweepMs: 60_000, refillSweepMs: 60_000 },
      statements: (real) => ({
        ...real,
        window: {
          ...real.window,
          async refill(asks, limit) {
            if (failures++ < 3) throw Object.assign(new Error('terminating connection due to administrator command'), { code: '57P01' });
            return real.window.refill(asks, limit);
          },
        },
      }),
    });
    const [deviceId = ''] = await w.devices(1);
    await w.send([{ deviceId, body: 'waits' }], false);
    await w.ownership.grant([deviceId]);
    await until(async () => expect(await w.states()).toEqual({ SENT: 1 }));
    expect(failures).toBeGreaterThan(3);
  });

  it('tries a refused message again before the next of its lane, lets other lanes go on, and ends it after the budget', async () => {
    const w = await open();
    const [deviceId = ''] = await w.devices(1);
    let refusals = 0;
    w.transport.script = (message) => {
      if (message.body === 'again' && refusals++ < 2) return { kind: 'rejected', retry: true, code: 'BUSY', detail: 'busy' };
      if (message.body === 'never') return { kind: 'rejected', retry: true, code: 'BUSY', detail: 'busy' };
      if (message.body === 'wrong') return { kind: 'rejected', retry: false, code: 'NOT_ON_WHATSAPP', detail: 'no' };
      return { kind: 'sent', at: systemClock.wall() };
    };
    await w.ownership.grant([deviceId]);
    const [, , , deadId = ''] = await w.send(['again', 'wrong', 'after', 'never', 'last'].map((body) => ({ deviceId, body })));
    await until(async () => expect(await w.states()).toEqual({ SENT: 3, FAILED: 1, DEAD: 1 }));
    expect(bodies(w, deviceId)).toEqual(['again', 'again', 'again', 'wrong', 'after', 'never', 'never', 'never', 'last']);
    expect(w.events.filter((event) => event.state === 'DEAD')).toMatchObject([{ cause: 'RETRY_BUDGET', attempts: 3 }]);
    // redriven: a new place in the lane and a fresh budget
    w.transport.script = () => ({ kind: 'sent', at: systemClock.wall() });
    await redrive(w.database.sql, w.tenantId, [deadId], 10);
    await until(async () => expect(await w.states()).toEqual({ SENT: 4, FAILED: 1 }));
  });

  it('serves the higher lane first while a head of it waits', async () => {
    const w = await open({ options: { retry: { budget: 9, baseMs: 400, capMs: 400 } } });
    const [deviceId = ''] = await w.devices(1);
    // refused until the other lane has gone, however long a slow machine takes for that
    w.transport.script = (message) =>
      message.body === 'high' && !bodies(w, deviceId).includes('normal')
        ? { kind: 'rejected', retry: true, code: 'BUSY', detail: 'busy', retryAfterMs: 2000 }
        : { kind: 'sent', at: systemClock.wall() };
    await w.send([
      { deviceId, body: 'normal', lane: 'normal' },
      { deviceId, body: 'high', lane: 'high' },
    ]);
    await w.ownership.grant([deviceId]);
    await until(async () => expect(await w.states()).toEqual({ SENT: 2 }));
    const seen = bodies(w, deviceId);
    expect([seen[0], seen.at(-1), seen.filter((body) => body === 'normal').length]).toEqual(['high', 'high', 1]);
  });

  it('holds messages while paused and goes on when resumed, by the bell alone', async () => {
    const w = await open({ options: { sweepMs: 60_000, refillSweepMs: 60_000 } });
    const [deviceId = ''] = await w.devices(1);
    await setPaused(w.database.sql, w.tenantId, deviceId, true, 'OPERATOR');
    await w.ownership.grant([deviceId]);
    await w.send([{ deviceId, body: 'held' }]);
    await until(() => expect(w.host.actors.get(deviceId)?.actor.sendability().blockers).toContain('PAUSED'));
    await systemClock.sleep(100);
    expect(w.transport.arrivals).toEqual([]);
    await setPaused(w.database.sql, w.tenantId, deviceId, false);
    await w.redis.publish(partitionKeys(partitionOf(deviceId)).bell, `c${deviceId}`);
    await until(async () => expect(await w.states()).toEqual({ SENT: 1 }));
  });

  it('does not send to a suppressed recipient, nor what was cancelled, and stops for who says stop', async () => {
    const w = await open();
    const [deviceId = ''] = await w.devices(1);
    const common = { tenantId: w.tenantId, lid: null, reason: 'OPT_OUT', source: 'test' };
    const ids = await w.send([
      { deviceId, body: 'a', to: '+15550001' },
      { deviceId, body: 'b', to: '+15550002' },
      { deviceId, body: 'c', to: '+15550003' },
    ]);
    await suppress(w.database.sql, [{ ...common, id: uuidV7(systemClock.wall()), phone: '+15550001' }]);
    await cancel(w.database.sql, w.tenantId, ids[1] ?? '');
    await w.ownership.grant([deviceId]);
    await until(async () => expect(await w.states()).toEqual({ SUPPRESSED: 1, CANCELLED: 1, SENT: 1 }));
    expect(bodies(w, deviceId)).toEqual(['c']);
    const events = w.transport.events.get(deviceId);
    await events?.inbound({ id: 'in-1', from: '+15550009', fromLid: '99@lid', body: ' Stop! ', at: systemClock.wall() });
    await w.send([{ deviceId, body: 'd', to: '+15550009' }]).catch(() => {});
    await systemClock.sleep(100);
    expect(bodies(w, deviceId)).toEqual(['c']);
    const rows = await w.database.sql.unsafe('select phone, lid from suppressions where source = $1 order by phone', ['inbound']);
    expect(rows).toHaveLength(2);
  });

  it('repeats an unknown outcome under the same id', async () => {
    const w = await open();
    const [deviceId = ''] = await w.devices(1);
    let asked = 0;
    w.transport.script = () => (asked++ === 0 ? { kind: 'unknown', code: 'TIMEOUT' } : { kind: 'sent', at: systemClock.wall() });
    await w.ownership.grant([deviceId]);
    await w.send([{ deviceId, body: 'x' }]);
    await until(async () => expect(await w.states()).toEqual({ SENT: 1 }));
    expect(w.transport.arrivals.map((arrival) => arrival.attempt)).toEqual([1, 2]);
    expect(new Set(w.transport.arrivals.map((arrival) => arrival.id)).size).toBe(1);
  });

  it('never repeats an unknown outcome where that is not safe: proof or a person decides', async () => {
    // the proof must come while its message is waited for
    const w = await open({ transport: scriptedTransport(false), options: { unknownWaitMs: 5000 } });
    const [deviceId = ''] = await w.devices(1);
    w.transport.script = (message) =>
      message.body === 'plain' ? { kind: 'sent', at: systemClock.wall() } : { kind: 'unknown', code: 'TIMEOUT' };
    await w.ownership.grant([deviceId]);
    await w.send(['dies', 'proven', 'plain'].map((body) => ({ deviceId, body })));
    await until(() => expect(bodies(w, deviceId)).toContain('proven'));
    const proven = w.transport.arrivals.find((arrival) => arrival.body === 'proven');
    w.transport.events.get(deviceId)?.receipt({ messageId: proven?.id ?? '', state: 'DELIVERED', at: systemClock.wall() });
    await until(async () => expect(await w.states()).toEqual({ DEAD: 1, DELIVERED: 1, SENT: 1 }));
    expect(bodies(w, deviceId)).toEqual(['dies', 'proven', 'plain']);
  });

  it('loses nothing when Redis loses everything in the middle', async () => {
    const w = await open({ options: { window: 10 } });
    const devices = await w.devices(5);
    await w.ownership.grant(devices);
    w.transport.script = async () => {
      await systemClock.sleep(5);
      return { kind: 'sent', at: systemClock.wall() };
    };
    await w.send(devices.flatMap((deviceId) => numbers(30).map((body) => ({ deviceId, body }))));
    await until(() => expect(w.transport.arrivals.length).toBeGreaterThan(20));
    await w.redisServer.flush();
    await until(() => expect(w.ownership.lostPartitions.size).toBe(new Set(devices.map(partitionOf)).size));
    await w.ownership.grant(devices, 'rebuild');
    await until(async () => expect(await w.states()).toEqual({ SENT: 150 }));
    for (const deviceId of devices) {
      const seen = w.transport.arrivals.filter((arrival) => arrival.deviceId === deviceId);
      const firsts = seen.filter((arrival, index) => seen.findIndex((other) => other.id === arrival.id) === index);
      expect(firsts.map((arrival) => arrival.body)).toEqual(numbers(30));
    }
  });

  it('a successor repeats what its predecessor left in flight, under the same id and a higher epoch', async () => {
    const w = await open();
    const [deviceId = ''] = await w.devices(1);
    w.transport.script = () => new Promise(() => {});
    await w.ownership.grant([deviceId]);
    await w.send(['first', 'second'].map((body) => ({ deviceId, body })));
    await until(() => expect(w.transport.arrivals).toHaveLength(1));
    w.ownership.lose([deviceId], 'EXPIRED');
    expect(w.records.at(-1)).toMatchObject({ state: 'UNKNOWN', reason: 'EXPIRED' });
    w.transport.script = () => ({ kind: 'sent', at: systemClock.wall() });
    await w.ownership.grant([deviceId], 'crash');
    await until(async () => expect(await w.states()).toEqual({ SENT: 2 }));
    expect(w.transport.arrivals.map(({ body, epoch, attempt }) => ({ body, epoch, attempt }))).toEqual([
      { body: 'first', epoch: 1, attempt: 1 },
      { body: 'first', epoch: 2, attempt: 2 },
      { body: 'second', epoch: 2, attempt: 1 },
    ]);
  });

  it('sends nothing for an intent that got no answer, and goes on when the ledger answers again', async () => {
    let faults: ('before' | 'after')[] = ['after', 'before'];
    const transport = scriptedTransport(false);
    const w = await open({
      transport,
      options: { unknownWaitMs: 60_000 },
      statements: (real) => ({
        ...real,
        turn: {
          ...real.turn,
          async intent(items) {
            const [fault, ...rest] = faults;
            faults = rest;
            if (fault === 'before') throw new Error('connection lost');
            const verdicts = await real.turn.intent(items);
            if (fault === 'after') throw new Error('connection lost');
            return verdicts;
          },
        },
      }),
    });
    const [deviceId = ''] = await w.devices(1);
    await w.ownership.grant([deviceId]);
    await w.send(['a', 'b'].map((body) => ({ deviceId, body })));
    await until(async () => expect(await w.states()).toEqual({ SENT: 2 }));
    expect(bodies(w, deviceId)).toEqual(['a', 'b']);
  });

  it('repeats a result until the ledger has it', async () => {
    let failures = 3;
    const w = await open({
      statements: (real) => ({
        ...real,
        turn: {
          ...real.turn,
          async result(items) {
            const outcomes = await real.turn.result(items);
            if (failures-- > 0) throw new Error('connection lost');
            return outcomes;
          },
        },
      }),
    });
    const [deviceId = ''] = await w.devices(1);
    await w.ownership.grant([deviceId]);
    await w.send(['a', 'b'].map((body) => ({ deviceId, body })));
    await until(async () => expect(await w.states()).toEqual({ SENT: 2 }));
    expect(bodies(w, deviceId)).toEqual(['a', 'b']);
  });

  it('holds still while Redis does not answer and goes on when it does', async () => {
    const w = await open();
    const devices = await w.devices(3);
    await w.ownership.grant(devices);
    await w.send(devices.map((deviceId) => ({ deviceId, body: '0' })));
    await until(async () => expect(await w.states()).toEqual({ SENT: 3 }));
    w.redisServer.freeze();
    const told = w.send(devices.flatMap((deviceId) => ['1', '2'].map((body) => ({ deviceId, body }))));
    for (const { actor } of w.host.actors.values()) actor.wake('work');
    await until(() => expect(w.host.actors.get(devices[0] ?? '')?.actor.sendability().blockers).toContain('MAILBOX_DOWN'));
    await until(() => expect(w.records.some((record) => record.reason === 'MAILBOX_DOWN')).toBe(true));
    w.redisServer.thaw();
    await told;
    await until(async () => expect(await w.states()).toEqual({ SENT: 9 }));
    for (const deviceId of devices) expect(bodies(w, deviceId)).toEqual(['0', '1', '2']);
  });

  it('asks leave for many devices in one statement, not one by one', async () => {
    const calls: number[] = [];
    const w = await open({
      statements: (real) => ({
        ...real,
        turn: {
          ...real.turn,
          intent(items) {
            calls.push(items.length);
            return real.turn.intent(items);
          },
        },
      }),
    });
    const devices = await w.devices(300);
    await w.send(
      devices.map((deviceId) => ({ deviceId, body: 'x' })),
      false,
    );
    await w.ownership.grant(devices);
    await until(async () => expect(await w.states()).toEqual({ SENT: 300 }));
    // how many go together is a matter of how fast they come
    expect(calls.length).toBeLessThanOrEqual(100);
  });

  it('after the deadline nothing is sent, and what was asked for goes back', async () => {
    const w = await open();
    const [deviceId = ''] = await w.devices(1);
    w.ownership.mayAct = false;
    await w.ownership.grant([deviceId]);
    await w.send([{ deviceId, body: 'x' }]);
    await systemClock.sleep(100);
    expect(w.transport.arrivals).toEqual([]);
    w.ownership.mayAct = true;
    await until(async () => expect((await w.states())['SENT'] ?? 0).toBe(1));
  });

  it('settles at the end of the running turn with its entries taken out', async () => {
    const w = await open();
    const [deviceId = ''] = await w.devices(1);
    let answer = (): void => {};
    w.transport.script = () => new Promise((resolve) => (answer = () => resolve({ kind: 'sent', at: systemClock.wall() })));
    await w.ownership.grant([deviceId]);
    await w.send(['a', 'b'].map((body) => ({ deviceId, body })));
    await until(() => expect(w.transport.arrivals).toHaveLength(1));
    let done = false;
    const settling = w.host.settle(deviceId).then(() => {
      done = true;
    });
    await systemClock.sleep(30);
    expect(done).toBe(false);
    answer();
    await settling;
    expect(await w.states()).toEqual({ SENT: 1, QUEUED: 1 });
    expect(w.host.actors.get(deviceId)?.actor.record().state).toBe('MOVING');
  });

  it('keeps the pace and the daily cap, which the ledger counts', async () => {
    const w = await open({ options: { pacing: 'on' } });
    const [paced = ''] = await w.devices(1, { paceMs: 300 });
    const [capped = ''] = await w.devices(1, { dailyCap: 2 });
    await w.ownership.grant([paced, capped]);
    const began = systemClock.monotonic();
    await w.send(numbers(3).flatMap((body) => [paced, capped].map((deviceId) => ({ deviceId, body }))));
    await until(() => expect(bodies(w, paced)).toHaveLength(3));
    expect(systemClock.monotonic() - began).toBeGreaterThan(550);
    await until(() => expect(w.host.actors.get(capped)?.actor.sendability().blockers).toContain('DAILY_CAP'));
    expect(bodies(w, capped)).toEqual(['0', '1']);
  });
});
