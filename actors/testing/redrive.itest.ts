import { afterEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { countRedrivable, redriveChunk, redrivesPage, startRedrive, suppress } from '../../schema/sql/index.ts';
import { createWorld, scriptedTransport, type World } from '../node/world.testing.ts';
import { createRedriver, type Redriver } from '../redrive/index.ts';

/** A redrive from end to end: a node with real Redis and Postgres, and runners that die. */
let world: World | undefined;
const running: Redriver[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.close()));
  await world?.close();
  world = undefined;
});
const telemetry = createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0 });
const until = (check: () => unknown): Promise<unknown> => vi.waitFor(check, { timeout: 60_000, interval: 20 });

it('goes on when its runner dies in the middle: each message once, in the order of its device, and nobody who said stop', async () => {
  const transport = scriptedTransport();
  transport.script = () => ({ kind: 'rejected', retry: false, code: 'BROKEN', detail: '' });
  const w = await createWorld({ transport });
  world = w;
  const devices = await w.devices(3);
  await w.ownership.grant(devices);
  const bodies = Array.from({ length: 12 }, (_, n) => String(n));
  const stopped = '+15559999999';
  await w.send(
    devices.flatMap((deviceId) =>
      bodies.map((body) => ({ deviceId, body, ...(body === '5' && deviceId === devices[0] ? { to: stopped } : {}) })),
    ),
  );
  await until(async () => expect(await w.states()).toEqual({ FAILED: 36 }));
  transport.arrivals.length = 0;
  transport.script = () => ({ kind: 'sent', at: systemClock.wall() });
  const { sql } = w.database;
  await suppress(sql, [
    { id: uuidV7(systemClock.wall()), tenantId: w.tenantId, phone: stopped, lid: null, reason: 'STOP', source: 'TEST' },
  ]);

  const id = uuidV7(systemClock.wall());
  const wanted = { filter: { causes: ['BROKEN'] }, redrivesBelow: 5 };
  const count = await countRedrivable(sql, w.tenantId, wanted);
  expect(count).toEqual({ matching: 36, whole: true, suppressed: 1 });
  await startRedrive(sql, { ...wanted, id, tenantId: w.tenantId, reason: 'fixed', asked: {}, perMinute: null, count });
  const runner = (tell: (n: number) => Promise<void>): Redriver => {
    let chunks = 0;
    const one = createRedriver({
      chunk: () => redriveChunk(sql, { looked: 8, moved: 7 }),
      async enqueue(entries) {
        await tell(++chunks);
        await w.enqueuer.enqueue(entries);
      },
      publish: (_tenant, events) => void w.events.push(...events),
      clock: systemClock,
      telemetry,
    });
    running.push(one);
    one.start();
    return one;
  };
  // commits its first chunk, and is never heard of again: it tells no mailbox, and does not go on
  runner((): Promise<void> => new Promise(() => {}));
  await until(async () => {
    const [row] = await redrivesPage(sql, w.tenantId, { before: null, limit: 1, ids: [id] });
    expect(row?.redriven).toBeGreaterThan(0);
  });
  running.length = 0;
  // two that are well: Postgres gives it to one of them at a time
  runner(async () => {});
  runner(async () => {});
  await until(async () => expect(await w.states()).toEqual({ SENT: 35, FAILED: 1 }));
  for (const deviceId of devices) {
    const arrived = transport.arrivals.filter((one) => one.deviceId === deviceId).map((one) => one.body);
    expect(arrived).toEqual(bodies.filter((body) => body !== '5' || deviceId !== devices[0]));
  }
  await until(async () =>
    expect((await redrivesPage(sql, w.tenantId, { before: null, limit: 1, ids: [id] }))[0]).toMatchObject({
      state: 'DONE',
      redriven: 35,
      suppressed: 1,
      leftOut: 0,
    }),
  );
  const told = (): Set<string> => new Set(w.events.flatMap((event) => (event.cause === 'REDRIVEN' ? event.messageId : [])));
  await until(() => expect(told().size).toBe(35));
}, 120_000);
