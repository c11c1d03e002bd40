import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type IntentItem, intent, promoteDue, setPaused, setQuarantine } from './index.ts';
import { createWorld, now, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});

describe('what an intent waits for', () => {
  it('answers every wait with its end, in input order', async () => {
    const [capped = '', paced = '', later = '', held = '', sick = '', plain = ''] = await world.devices(6, { dailyCap: 1 });
    const soon = now() + 600_000;
    const items: IntentItem[] = [];
    for (const device of [plain, sick, held, later, paced, capped]) {
      const message = await world.send(device);
      items.push(world.intentItem(device, await world.own(device), message, { paceMs: device === paced ? 600_000 : 0 }));
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
    expect(verdicts[4]?.verdict === 'PACED' && verdicts[4].until - now()).toBeGreaterThan(300_000);
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

    const heldUntil = now() + 600_000;
    await standing({ heldUntil });
    expect(await ask(cold)).toMatchObject({ verdict: 'HELD', until: heldUntil });
    await standing({ coldUntil: now() + 600_000, heldUntil: now() - 1000 });
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
});
