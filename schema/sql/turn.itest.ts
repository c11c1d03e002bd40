import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPostgres } from '../../ops/connect/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import {
  adopt,
  bumpEpochs,
  cancel,
  type IntentItem,
  intent,
  ownershipOf,
  promoteDue,
  redrive,
  releaseDevice,
  result,
  setPaused,
  setQuarantine,
  suppress,
} from './index.ts';
import { INTENT } from './intent.ts';
import { createWorld, newId, now, someoneWaits, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});

/** a device with one accepted message, owned by node-1 */
async function ready(change: Parameters<World['send']>[1] = {}): Promise<{ device: string; message: string; epoch: number }> {
  const [device = ''] = await world.devices(1);
  const message = await world.send(device, change);
  return { device, message, epoch: await world.own(device) };
}

describe('intent', () => {
  it('passes once, stamps epoch and attempt, and says of the second that the outcome is not known', async () => {
    const { device, message, epoch } = await ready();
    const first = await intent(world.sql, [world.intentItem(device, epoch, message)]);
    expect(first).toMatchObject([
      { verdict: 'PASS', message: { id: message, attempt: 1, seq: 1, lane: 'high', body: 'hello', recipient: '+4915110000001' } },
    ]);
    expect(await world.state(message)).toBe('SENDING');
    const second = await intent(world.sql, [world.intentItem(device, epoch, message, { resendUnknown: true })]);
    expect(second).toMatchObject([{ verdict: 'UNKNOWN_OUTCOME', attempt: 1 }]);
  });

  it('gives no leave to the entry that a message had before it was redriven', async () => {
    const { device, message, epoch } = await ready();
    const next = await world.send(device);
    await intent(world.sql, [world.intentItem(device, epoch, message, { seq: 1 })]);
    await result(world.sql, [world.resultItem(device, epoch, message, 'FAILED')]);
    await redrive(world.sql, world.tenantId, [message], 1);
    await promoteDue(world.sql, 10);
    expect(await intent(world.sql, [world.intentItem(device, epoch, message, { seq: 1 })])).toEqual([
      { verdict: 'ENDED', state: 'QUEUED' },
    ]);
    expect(await intent(world.sql, [world.intentItem(device, epoch, next, { seq: 2 })])).toMatchObject([{ verdict: 'PASS' }]);
    expect(await intent(world.sql, [world.intentItem(device, epoch, message, { seq: 3 })])).toMatchObject([
      { verdict: 'PASS', message: { seq: 3, attempt: 2 } },
    ]);
  });

  it('answers every wait with its end, in input order', async () => {
    const [capped = '', paced = '', later = '', held = '', sick = '', plain = ''] = await world.devices(6, { dailyCap: 1 });
    const soon = now() + 60_000;
    const items: IntentItem[] = [];
    for (const device of [plain, sick, held, later, paced, capped]) {
      const message = await world.send(device);
      items.push(world.intentItem(device, await world.own(device), message, { paceMs: device === paced ? 30_000 : 0 }));
    }
    const spend = async (device: string): Promise<void> => {
      const item = items.find((one) => one.deviceId === device);
      if (item === undefined) throw new Error('no item');
      expect(await intent(world.sql, [item])).toMatchObject([{ verdict: 'PASS' }]);
      const message = await world.send(device);
      items.splice(items.indexOf(item), 1, { ...item, messageId: message });
    };
    await spend(capped);
    await spend(paced);
    await world.sql.unsafe('update devices set daily_cap = 5 where id = $1', [paced]);
    await world.sql.unsafe('update messages set due_at = to_timestamp($2::float8 / 1000) where device_id = $1', [later, soon]);
    await setPaused(world.sql, world.tenantId, held, true, 'OPERATOR');
    await setQuarantine(world.sql, sick, 'CRASHES');
    const verdicts = await intent(world.sql, items);
    expect(verdicts.map((verdict) => verdict.verdict)).toEqual(['PASS', 'QUARANTINED', 'PAUSED', 'NOT_DUE', 'PACED', 'CAPPED']);
    expect(verdicts[3]).toMatchObject({ verdict: 'NOT_DUE', until: soon });
    const midnight = (Math.floor(now() / 86_400_000) + 1) * 86_400_000;
    expect(verdicts[5]).toMatchObject({ verdict: 'CAPPED', until: midnight });
    expect(verdicts[4]?.verdict === 'PACED' && verdicts[4].until - now()).toBeGreaterThan(20_000);
  });

  it('obeys the provider: nothing before heldUntil; before coldUntil only to acquaintances, the rest is set aside and comes again (N7)', async () => {
    const [device = ''] = await world.devices(1, { dailyCap: 2 });
    const epoch = await world.own(device);
    const standing = (value: object) =>
      world.sql.unsafe('update devices set settings = $2::text::jsonb where id = $1', [device, JSON.stringify({ standing: value })]);
    const row = async (id: string) =>
      (await world.sql.unsafe('select state, seq, attempt, cause, due_at > now() as later from messages where id = $1', [id]))[0];
    const cold = await world.send(device, { recipient: '+4915120000011' });
    const warm = await world.send(device, { recipient: '+4915120000012' });
    await world.sql.unsafe('insert into acquaintances (device_id, phone) values ($1, $2)', [device, '+4915120000012']);
    const ask = async (id: string, pace = 0) => (await intent(world.sql, [world.intentItem(device, epoch, id, { paceMs: pace })]))[0];

    const heldUntil = now() + 60_000;
    await standing({ heldUntil });
    expect(await ask(cold)).toMatchObject({ verdict: 'HELD', until: heldUntil });
    await standing({ coldUntil: now() + 60_000, heldUntil: now() - 1000 });
    expect(await ask(cold)).toMatchObject({ verdict: 'COLD', cause: 'COLD_PAUSED', attempt: 0 });
    expect(await row(cold)).toEqual({ state: 'QUEUED', seq: null, attempt: 0, cause: 'COLD_PAUSED', later: true });
    expect([await world.backlog(device), await world.open(device)]).toEqual([2, 2]);
    // it waits for no pace, and its old place gives no leave any more
    expect(await ask(cold)).toMatchObject({ verdict: 'ENDED', state: 'QUEUED' });
    expect(await ask(warm)).toMatchObject({ verdict: 'PASS' });

    await standing({ coldUntil: now() - 1000 });
    await world.sql.unsafe('update messages set due_at = now() where id = $1', [cold]);
    expect((await promoteDue(world.sql, 100)).map(({ messageId }) => messageId)).toContain(cold);
    // the setting aside counted for no cap: this is the second of two
    expect(await ask(cold)).toMatchObject({ verdict: 'PASS', message: { attempt: 1 } });
  });

  it('keeps the device’s own limits: quiet hours in their zone, over midnight too; the step of the ramp below the cap (N9)', async () => {
    const [device = ''] = await world.devices(1, { dailyCap: 2 });
    const epoch = await world.own(device);
    const message = await world.send(device);
    const set = (value: object) =>
      world.sql.unsafe('update devices set settings = $2::text::jsonb where id = $1', [device, JSON.stringify(value)]);
    const ask = async (id = message) => (await intent(world.sql, [world.intentItem(device, epoch, id)]))[0];
    const clock = (minutes: number): string => new Date(now() + minutes * 60_000).toISOString().slice(11, 16);
    await set({ quietHours: { zone: 'UTC', from: clock(-5), to: clock(90) } });
    const quiet = await ask();
    expect(quiet).toMatchObject({ verdict: 'QUIET' });
    const left = quiet?.verdict === 'QUIET' ? quiet.until - quiet.now : 0;
    expect(left).toBeGreaterThan(85 * 60_000);
    expect(left).toBeLessThanOrEqual(90 * 60_000);
    await set({ quietHours: { zone: 'UTC', from: clock(5), to: clock(90) }, ramp: null });
    expect(await ask()).toMatchObject({ verdict: 'PASS' });
    const [second, third] = [await world.send(device), await world.send(device)];
    const yesterday = new Date(now() - 86_400_000).toISOString().slice(0, 10);
    await set({ quietHours: null, ramp: { from: yesterday, steps: [50, 1, 50] } });
    expect(await ask(second)).toMatchObject({ verdict: 'CAPPED' });
    await set({ ramp: { from: yesterday, steps: [1] } });
    expect(await ask(second)).toMatchObject({ verdict: 'PASS' });
    expect(await ask(third)).toMatchObject({ verdict: 'CAPPED' });
  });

  it.each([
    ['21:00', '08:00', '2026-05-04T20:30:00Z', '2026-05-05T06:00:00Z'],
    ['21:00', '08:00', '2026-05-04T03:00:00Z', '2026-05-04T06:00:00Z'],
    ['21:00', '08:00', '2026-05-04T06:00:00Z', null],
    ['12:00', '13:00', '2026-05-04T10:30:00Z', '2026-05-04T11:00:00Z'],
    ['12:00', '13:00', '2026-05-04T11:00:00Z', null],
    // the night that loses an hour
    ['21:00', '08:00', '2026-03-28T22:00:00Z', '2026-03-29T06:00:00Z'],
  ])('quiet from %s to %s in Berlin: at %s until %s', async (from, to, at, until) => {
    const [row] = await world.sql.unsafe('select quiet_until($1::text::jsonb, $2::timestamptz) as until', [
      JSON.stringify({ zone: 'Europe/Berlin', from, to }),
      at,
    ]);
    expect(row?.['until'] === null ? null : new Date(row?.['until']).getTime()).toBe(until === null ? null : new Date(until).getTime());
  });

  it('ends a message to a suppressed phone or LID in the statement that would have sent it', async () => {
    const byPhone = await ready({ recipient: '+4915120000001' });
    const byLid = await ready({ recipient: '+4915120000002' });
    await world.sql.unsafe(`update messages set recipient_lid = '77@lid' where id = $1`, [byLid.message]);
    const base = { tenantId: world.tenantId, reason: 'STOP', source: 'INBOUND' };
    await suppress(world.sql, [
      { ...base, id: newId(), phone: '+4915120000001', lid: null },
      { ...base, id: newId(), phone: null, lid: '77@lid' },
    ]);
    const verdicts = await intent(
      world.sql,
      [byPhone, byLid].map(({ device, epoch, message }) => world.intentItem(device, epoch, message)),
    );
    expect(verdicts).toEqual([
      { verdict: 'SUPPRESSED', tenantId: world.tenantId, attempt: 0, cause: 'RECIPIENT_SUPPRESSED' },
      { verdict: 'SUPPRESSED', tenantId: world.tenantId, attempt: 0, cause: 'RECIPIENT_SUPPRESSED' },
    ]);
    for (const { device, message } of [byPhone, byLid]) {
      expect(await world.state(message)).toBe('SUPPRESSED');
      expect(await world.backlog(device)).toBe(0);
    }
  });

  it('buries a message whose budget is spent, and a redrive gives it a new one', async () => {
    const { device, message, epoch } = await ready();
    for (let attempt = 1; attempt <= 2; attempt++) {
      expect(await intent(world.sql, [world.intentItem(device, epoch, message, { budget: 2 })])).toMatchObject([{ verdict: 'PASS' }]);
      await result(world.sql, [world.resultItem(device, epoch, message, 'QUEUED', { attempt, error: 'busy' })]);
    }
    expect(await intent(world.sql, [world.intentItem(device, epoch, message, { budget: 2 })])).toEqual([
      { verdict: 'DEAD', tenantId: world.tenantId, attempt: 2, cause: 'RETRY_BUDGET' },
    ]);
    const letters = await world.sql.unsafe('select cause, attempts, last_error, state from dead_letters where message_id = $1', [message]);
    expect([...letters]).toEqual([{ cause: 'RETRY_BUDGET', attempts: 2, last_error: 'busy', state: 'DEAD' }]);
    expect(await world.backlog(device)).toBe(0);
    expect(await redrive(world.sql, world.tenantId, [message], 10)).toEqual([{ messageId: message, deviceId: device, attempt: 2 }]);
    expect(await world.backlog(device)).toBe(1);
    // until it has a seq the old mailbox entry is worth nothing
    expect(await intent(world.sql, [world.intentItem(device, epoch, message, { budget: 2 })])).toEqual([
      { verdict: 'ENDED', state: 'QUEUED' },
    ]);
    await world.sql.unsafe('update messages set seq = 9 where id = $1', [message]);
    expect(await intent(world.sql, [world.intentItem(device, epoch, message, { budget: 2 })])).toMatchObject([{ verdict: 'PASS' }]);
  });

  it('does not send what is not there, has ended, or belongs to another device', async () => {
    const { device, message, epoch } = await ready();
    const other = await ready();
    const ask = async (id: string): Promise<unknown> => (await intent(world.sql, [world.intentItem(device, epoch, id)]))[0];
    expect(await ask(newId())).toEqual({ verdict: 'ENDED', state: null });
    expect(await ask(other.message)).toEqual({ verdict: 'ENDED', state: null });
    await cancel(world.sql, world.tenantId, message);
    expect(await ask(message)).toEqual({ verdict: 'ENDED', state: 'CANCELLED' });
  });

  it('refuses two messages of one device in a batch', async () => {
    const { device, message, epoch } = await ready();
    const item = world.intentItem(device, epoch, message);
    await expect(intent(world.sql, [item, item])).rejects.toThrow('invariant');
  });
});

describe('the fence', () => {
  it('stops a stale owner, and only the marked line does it', async () => {
    const { device, message, epoch } = await ready();
    await world.own(device, 'node-2');
    const stale = [world.intentItem(device, epoch, message)];
    expect(await intent(world.sql, stale)).toEqual([{ verdict: 'FENCED' }]);
    expect(await world.state(message)).toBe('QUEUED');
    const unfenced = INTENT.split('\n').filter((line) => !line.endsWith('-- fence'));
    expect(unfenced.length).toBe(INTENT.split('\n').length - 1);
    expect(await intent(world.sql, stale, unfenced.join('\n'))).toMatchObject([{ verdict: 'PASS' }]);
  });

  // A plain `update … where epoch = $1` that waits for a concurrent bump commits after it under READ COMMITTED.
  it('sees an epoch that is bumped while the intent waits for the row', async () => {
    const { device, message, epoch } = await ready();
    const other = connectPostgres(world.url, { applicationName: 'successor', max: 1 });
    let waiting: Promise<unknown> = Promise.resolve();
    await other.begin(async (tx) => {
      expect(await bumpEpochs(tx, [{ deviceId: device, epoch, crash: true }], 'node-2')).toHaveLength(1);
      waiting = intent(world.sql, [world.intentItem(device, epoch, message)]);
      await someoneWaits(world);
    });
    expect(await waiting).toEqual([{ verdict: 'FENCED' }]);
    expect(await world.state(message)).toBe('QUEUED');
    await other.end();
  });

  it('lets one of several callers with the same pair have the epoch', async () => {
    const [device = ''] = await world.devices(1);
    const wins = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (node) => await bumpEpochs(world.sql, [{ deviceId: device, epoch: 0, crash: false }], node)),
    );
    expect(wins.flat()).toEqual([{ deviceId: device, epoch: 1, crashes: 0 }]);
  });
});

describe('takeover', () => {
  it('counts crashes in a turn, adopts what was in flight, and forgets crashes after a completed turn or a release', async () => {
    const { device, message, epoch } = await ready();
    await world.own(device, 'node-2', true);
    const third = await world.own(device, 'node-1', false);
    expect(await ownershipOf(world.sql, { deviceIds: [device] })).toMatchObject([{ epoch: third, crashes: 0, node: 'node-1' }]);
    await intent(world.sql, [world.intentItem(device, third, message)]);
    const fourth = await world.own(device, 'node-2', true);
    expect(await ownershipOf(world.sql, { deviceIds: [device] })).toMatchObject([{ crashes: 1 }]);
    expect(await adopt(world.sql, [{ deviceId: device, epoch: third }])).toMatchObject({ adopted: [] });
    expect(await adopt(world.sql, [{ deviceId: device, epoch: fourth }])).toMatchObject({
      adopted: [{ deviceId: device, id: message, state: 'UNKNOWN', attempt: 1, seq: 1, lane: 'high', tenantId: world.tenantId }],
      ended: [],
    });
    // the old owner's word on that attempt no longer counts, its proof of delivery would
    expect(await result(world.sql, [world.resultItem(device, third, message, 'FAILED')])).toMatchObject([
      { counted: false, state: 'UNKNOWN' },
    ]);
    expect(await result(world.sql, [world.resultItem(device, fourth, message, 'SENT')])).toMatchObject([{ counted: true, state: 'SENT' }]);
    expect(await ownershipOf(world.sql, { deviceIds: [device] })).toMatchObject([{ crashes: 0 }]);
    expect(await adopt(world.sql, [{ deviceId: device, epoch: fourth }])).toMatchObject({
      adopted: [],
      ended: [{ id: message, state: 'SENT' }],
    });
    expect(epoch).toBe(1);
    await world.sql.unsafe('update ownership set crashes = 3 where device_id = $1', [device]);
    await setQuarantine(world.sql, device, 'CRASHES');
    expect(await releaseDevice(world.sql, world.tenantId, device)).toMatchObject({ quarantined: false });
    expect(await ownershipOf(world.sql, { deviceIds: [device] })).toMatchObject([{ crashes: 0 }]);
  });

  /**
   * A simulated world (a node struck in a statement, another one stopped, Redis cut): three owners in a row ended before they came to adopt what the
   * first one had sent, and that one turn was counted as three deaths. Three devices were in quarantine that had ended nothing.
   */
  it('counts a turn once, however many owners die before one adopts it, and the next turn again', async () => {
    const { device, message, epoch } = await ready();
    await intent(world.sql, [world.intentItem(device, epoch, message)]);
    let owner = epoch;
    for (const node of ['node-2', 'node-3', 'node-2']) {
      owner = await world.own(device, node, true);
      expect(await ownershipOf(world.sql, { deviceIds: [device] })).toMatchObject([{ crashes: 1 }]);
    }
    expect((await adopt(world.sql, [{ deviceId: device, epoch: owner }])).adopted).toMatchObject([{ id: message, state: 'UNKNOWN' }]);
    // nothing of its own was under way
    owner = await world.own(device, 'node-1', true);
    expect(await ownershipOf(world.sql, { deviceIds: [device] })).toMatchObject([{ crashes: 1 }]);
    await adopt(world.sql, [{ deviceId: device, epoch: owner }]);
    expect(await intent(world.sql, [world.intentItem(device, owner, message, { resendUnknown: true })])).toMatchObject([
      { verdict: 'PASS' },
    ]);
    await world.own(device, 'node-2', true);
    expect(await ownershipOf(world.sql, { deviceIds: [device] })).toMatchObject([{ crashes: 2 }]);
  });

  it('adopts an UNKNOWN of an older epoch, so that the new owner can end it', async () => {
    const { device, message, epoch } = await ready();
    await intent(world.sql, [world.intentItem(device, epoch, message)]);
    await result(world.sql, [world.resultItem(device, epoch, message, 'UNKNOWN')]);
    const next = await world.own(device, 'node-2', true);
    expect((await adopt(world.sql, [{ deviceId: device, epoch: next }])).adopted).toHaveLength(1);
    const dead = world.resultItem(device, next, message, 'DEAD', { cause: 'OUTCOME_UNKNOWN' });
    expect(await result(world.sql, [dead])).toMatchObject([{ counted: true, state: 'DEAD' }]);
  });
});

describe('result', () => {
  it('folds several results of one message and counts its end once', async () => {
    const { device, message, epoch } = await ready();
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
    const { device, message, epoch } = await ready();
    await intent(world.sql, [world.intentItem(device, epoch, message)]);
    const at = now();
    await result(world.sql, [
      world.resultItem(device, epoch, message, 'WRITTEN'),
      world.resultItem(device, epoch, message, 'QUEUED', { at, dueAt: at + 5000, error: 'busy' }),
    ]);
    expect(await intent(world.sql, [world.intentItem(device, epoch, message)])).toMatchObject([{ verdict: 'NOT_DUE' }]);
    expect(await world.backlog(device)).toBe(1);
  });

  // Found by simulation: a node whose clock was an hour ahead wrote its retries into the next hour, and one an hour behind waited an hour for
  // what the ledger called due in a second.
  it.each([3_600_000, 0, -3_600_000])('counts waits by its own clock, whatever the clock of the node says (%i ms off)', async (off) => {
    const { device, message, epoch } = await ready();
    await intent(world.sql, [world.intentItem(device, epoch, message)]);
    const at = now() + off;
    await result(world.sql, [world.resultItem(device, epoch, message, 'QUEUED', { at, dueAt: at + 5000 })]);
    const [verdict] = await intent(world.sql, [world.intentItem(device, epoch, message)]);
    if (verdict?.verdict !== 'NOT_DUE') throw new Error(`expected NOT_DUE, got ${verdict?.verdict}`);
    expect(verdict.until - verdict.now).toBeGreaterThan(3000);
    expect(verdict.until - verdict.now).toBeLessThanOrEqual(5001);
    expect(Math.abs(verdict.now - now())).toBeLessThan(2000);
  });

  it('takes late proof over FAILED and removes the dead letter', async () => {
    const { device, message, epoch } = await ready();
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
    const { device, message, epoch } = await ready();
    const other = await ready();
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
    const until = systemClock.monotonic() + 1500;
    let rounds = 0;
    const work = async (step: number): Promise<void> => {
      while (systemClock.monotonic() < until) {
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
        rounds++;
      }
    };
    await Promise.all([work(0), work(1), work(2)]);
    expect(rounds).toBeGreaterThan(3);
    for (const device of devices) expect(await world.backlog(device)).toBe(await world.open(device));
  });
});
