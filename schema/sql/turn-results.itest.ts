import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cancel, intent, result } from './index.ts';
import { createWorld, newId, now, readyDevice, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});

describe('result', () => {
  it('folds several results of one message and counts its end once', async () => {
    const { device, message, epoch } = await readyDevice(world);
    await intent(world.sql, [world.intentItem(device, epoch, message)]);
    const say = (state: Parameters<World['resultItem']>[3]) => world.resultItem(device, epoch, message, state);
    expect(await result(world.sql, [say('DELIVERED'), say('WRITTEN'), say('SENT'), say('SENT')])).toEqual(
      [true, true, true, false].map((counted) => ({
        messageId: message,
        counted,
        state: 'DELIVERED',
        tenantId: world.tenantId,
        attempt: 1,
      })),
    );
    expect(await result(world.sql, [say('SENT'), say('READ')])).toMatchObject([{ counted: false }, { counted: true, state: 'READ' }]);
    expect(await world.backlog(device)).toBe(0);
    const [times] = await world.sql.unsafe('select sent_at, delivered_at, read_at from messages where id = $1', [message]);
    expect(Object.values(times ?? {})).not.toContain(null);
  });

  it('lets a retry in the batch stand over WRITTEN, and keeps the place in the lane', async () => {
    const { device, message, epoch } = await readyDevice(world);
    await intent(world.sql, [world.intentItem(device, epoch, message)]);
    const at = now();
    await result(world.sql, [
      world.resultItem(device, epoch, message, 'WRITTEN'),
      world.resultItem(device, epoch, message, 'QUEUED', { at, dueAt: at + 600_000, error: 'busy' }),
    ]);
    expect(await intent(world.sql, [world.intentItem(device, epoch, message)])).toMatchObject([{ verdict: 'NOT_DUE' }]);
    expect(await world.backlog(device)).toBe(1);
  });

  // Found by simulation: a node whose clock was an hour ahead wrote its retries into the next hour, and one an hour behind waited an hour for
  // what the ledger called due in a second.
  it.each([3_600_000, 0, -3_600_000])('counts waits by its own clock, whatever the clock of the node says (%i ms off)', async (off) => {
    const { device, message, epoch } = await readyDevice(world);
    await intent(world.sql, [world.intentItem(device, epoch, message)]);
    const began = now();
    const at = began + off;
    await result(world.sql, [world.resultItem(device, epoch, message, 'QUEUED', { at, dueAt: at + 600_000 })]);
    const [verdict] = await intent(world.sql, [world.intentItem(device, epoch, message)]);
    if (verdict?.verdict !== 'NOT_DUE') throw new Error(`expected NOT_DUE, got ${verdict?.verdict}`);
    expect(verdict.until - verdict.now).toBeGreaterThan(500_000);
    expect(verdict.until - verdict.now).toBeLessThanOrEqual(600_001);
    expect(verdict.now).toBeGreaterThan(began - 1000);
    expect(verdict.now).toBeLessThan(now() + 1000);
  });

  it('takes late proof over FAILED and removes the dead letter', async () => {
    const { device, message, epoch } = await readyDevice(world);
    await intent(world.sql, [world.intentItem(device, epoch, message)]);
    await result(world.sql, [world.resultItem(device, epoch, message, 'FAILED')]);
    expect(await world.sql.unsafe('select 1 from dead_letters where message_id = $1', [message])).toHaveLength(1);
    expect(await result(world.sql, [world.resultItem(device, 0, message, 'SENT', { attempt: 0 })])).toMatchObject([
      { counted: true, state: 'SENT' },
    ]);
    expect(await world.sql.unsafe('select 1 from dead_letters where message_id = $1', [message])).toHaveLength(0);
    expect(await world.backlog(device)).toBe(0);
  });

  it('does not count a wrong attempt, a foreign device, or a message that is not there', async () => {
    const { device, message, epoch } = await readyDevice(world);
    const other = await readyDevice(world);
    await intent(world.sql, [world.intentItem(device, epoch, message)]);
    expect(
      await result(world.sql, [
        world.resultItem(device, epoch, message, 'FAILED', { attempt: 2 }),
        world.resultItem(other.device, epoch, message, 'SENT'),
        world.resultItem(device, epoch, newId(), 'SENT'),
      ]),
    ).toMatchObject([
      { counted: false, state: 'SENDING' },
      { counted: false, state: null },
      { counted: false, state: null, tenantId: null },
    ]);
  });

  it('never deadlocks with intents over the same devices in other orders', async () => {
    const devices = await world.devices(40);
    const owned = await Promise.all(devices.map(async (device) => ({ device, epoch: await world.own(device) })));
    const work = async (step: number): Promise<void> => {
      for (let round = 0; round < 4; round++) {
        const order = [...owned].sort((a, b) => (step % 2 === 0 ? a.device.localeCompare(b.device) : b.device.localeCompare(a.device)));
        const messages = await Promise.all(order.map(async ({ device }) => await world.send(device)));
        const at = (index: number): string => messages[index] ?? '';
        await Promise.all([
          intent(
            world.sql,
            order.map(({ device, epoch }, index) => world.intentItem(device, epoch, at(index))),
          ),
          result(world.sql, order.map(({ device, epoch }, index) => world.resultItem(device, epoch, at(index), 'SENT')).reverse()),
          cancel(world.sql, world.tenantId, at(3)),
        ]);
      }
    };
    await Promise.all([work(0), work(1), work(2)]);
    for (const device of devices) expect(await world.backlog(device)).toBe(await world.open(device));
  });
});
