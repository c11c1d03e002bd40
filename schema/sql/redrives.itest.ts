import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  cancelRedrive,
  countRedrivable,
  deadLetterGroups,
  deadLettersPage,
  deleteDevice,
  intent,
  promoteDue,
  type RedriveChunk,
  redriveChunk,
  redrivesPage,
  result,
  startRedrive,
  suppress,
} from './index.ts';
import { createWorld, MAY_IDLE, newId, now, someoneWaits, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});
beforeEach(async () => {
  await world.sql.unsafe('truncate messages, dead_letters, redrives, suppressions, enrolments');
  await world.sql.unsafe('update ownership set ended = 0');
  await world.sql.unsafe('update lane_counters set accepted = 0');
});

const WANT = { filter: {}, redrivesBelow: 5 };
const order = async (change: Partial<Parameters<typeof startRedrive>[1]> = {}): Promise<string> => {
  const id = newId();
  const { filter, redrivesBelow } = { ...WANT, ...change };
  const count = await countRedrivable(world.sql, change.tenantId ?? world.tenantId, { filter, redrivesBelow });
  const made = await startRedrive(world.sql, {
    id,
    tenantId: world.tenantId,
    reason: 'a test',
    asked: {},
    perMinute: null,
    count,
    filter,
    redrivesBelow,
    ...change,
  });
  expect(made).toBe(true);
  return id;
};
/** works everything off that may go on now */
const work = async (most?: Parameters<typeof redriveChunk>[1]): Promise<RedriveChunk[]> => {
  const chunks: RedriveChunk[] = [];
  for (;;) {
    const chunk = await redriveChunk(world.sql, most);
    if (chunk === null) return chunks;
    chunks.push(chunk);
  }
};
const moved = (chunks: readonly RedriveChunk[]): string[] => chunks.flatMap((chunk) => chunk.messages.map((one) => one.messageId));
const rowOf = async (id: string) => (await redrivesPage(world.sql, world.tenantId, { before: null, limit: 1, ids: [id] }))[0];

interface Failing {
  readonly to?: string;
  readonly cause?: string;
  readonly state?: 'FAILED' | 'DEAD';
}
/** sends and fails one message after the other, through intent and result as a node does */
async function fail(device: string, epoch: number, list: readonly Failing[]): Promise<string[]> {
  const ids: string[] = [];
  for (const { to, cause = 'NO', state = 'FAILED' } of list) {
    const message = await world.send(device, to === undefined ? {} : { recipient: to });
    expect((await intent(world.sql, [world.intentItem(device, epoch, message)]))[0]?.verdict).toBe('PASS');
    await result(world.sql, [world.resultItem(device, epoch, message, state, { cause })]);
    ids.push(message);
  }
  return ids;
}
async function owned(): Promise<{ device: string; epoch: number }> {
  const [device = ''] = await world.devices(1);
  return { device, epoch: await world.own(device) };
}

describe('a redrive', () => {
  it('puts back what fits, oldest first, in chunks, under the same ids, in the order of the lane, behind what waits', async () => {
    const { device, epoch } = await owned();
    const ids = await fail(
      device,
      epoch,
      Array.from({ length: 7 }, (_, n) => ({ cause: n === 3 ? 'OTHER' : 'NO' })),
    );
    const waiting = await world.send(device);
    const wanted = ids.filter((_, n) => n !== 3);
    const id = await order({ filter: { causes: ['NO'] } });
    expect(await rowOf(id)).toMatchObject({ state: 'RUNNING', matching: 6, whole: true, redriven: 0 });
    const chunks = await work({ looked: 3, moved: 2 });
    expect(chunks.length).toBeGreaterThanOrEqual(3);
    expect(moved(chunks)).toEqual(wanted);
    const rows = await world.sql.unsafe(
      'select id, seq, state, attempt, budget_from, ended_at, cause from messages where device_id = $1 order by seq',
      [device],
    );
    expect(rows.map((row) => row['id']).slice(-7)).toEqual([waiting, ...wanted]);
    for (const row of rows.slice(-6))
      expect(row).toMatchObject({ state: 'QUEUED', attempt: 1, budget_from: 1, ended_at: null, cause: null });
    expect(await rowOf(id)).toMatchObject({ state: 'DONE', redriven: 6, suppressed: 0, leftOut: 0 });
    // they count as backlog, and the next sends come behind them
    expect(await world.backlog(device)).toBe(await world.open(device));
    const next = await world.send(device);
    const [last] = await world.sql.unsafe('select id from messages where device_id = $1 order by seq desc limit 1', [device]);
    expect(last?.['id']).toBe(next);
    // they can be sent, and what dies again is a letter again
    const [first = ''] = wanted;
    expect(await intent(world.sql, [world.intentItem(device, epoch, first)])).toMatchObject([{ verdict: 'PASS', message: { attempt: 2 } }]);
    await result(world.sql, [world.resultItem(device, epoch, first, 'FAILED', { attempt: 2 })]);
    expect((await deadLettersPage(world.sql, world.tenantId, {}, null, 10)).map((row) => [row.messageId, row.redrives])).toEqual([
      [first, 1],
      [ids[3], 0],
    ]);
  });

  it('does not put back what dies again while it runs, nor what was put back too often', async () => {
    const { device, epoch } = await owned();
    const [one = '', two = ''] = await fail(device, epoch, [{}, {}]);
    const id = await order();
    const first = await redriveChunk(world.sql, { looked: 1, moved: 1 });
    expect(first?.messages.map((m) => m.messageId)).toEqual([one]);
    expect(await intent(world.sql, [world.intentItem(device, epoch, one)])).toMatchObject([{ verdict: 'PASS' }]);
    await result(world.sql, [world.resultItem(device, epoch, one, 'FAILED', { attempt: 2 })]);
    expect(moved(await work())).toEqual([two]);
    expect(await rowOf(id)).toMatchObject({ state: 'DONE', redriven: 2 });
    const bounded = { redrivesBelow: 1, filter: {} };
    expect(await countRedrivable(world.sql, world.tenantId, bounded)).toMatchObject({ matching: 0 });
    await order(bounded);
    expect(moved(await work())).toEqual([]);
    await order({ redrivesBelow: 2 });
    expect(moved(await work())).toEqual([one]);
  });

  it('does not message people who said stop: their letters stay, and the count says so before', async () => {
    const { device, epoch } = await owned();
    const [spared = '', other = ''] = await fail(device, epoch, [{ to: '+4915110000077' }, { to: '+4915110000078' }]);
    await suppress(world.sql, [
      { id: newId(), tenantId: world.tenantId, phone: '+4915110000077', lid: null, reason: 'STOP', source: 'TEST' },
    ]);
    expect(await countRedrivable(world.sql, world.tenantId, WANT)).toEqual({ matching: 2, whole: true, suppressed: 1 });
    const id = await order();
    expect(moved(await work())).toEqual([other]);
    expect(await rowOf(id)).toMatchObject({ redriven: 1, suppressed: 1, leftOut: 0, state: 'DONE' });
    expect(await world.state(spared)).toBe('FAILED');
    expect((await deadLettersPage(world.sql, world.tenantId, {}, null, 10)).map((row) => row.messageId)).toEqual([spared]);
  });

  it('leaves out what may have arrived, unless it is asked for by its cause', async () => {
    const { device, epoch } = await owned();
    const [message] = await fail(device, epoch, [{ cause: 'OUTCOME_UNKNOWN', state: 'DEAD' }]);
    await order();
    expect(moved(await work())).toEqual([]);
    await order({ filter: { causes: ['OUTCOME_UNKNOWN'] } });
    expect(moved(await work())).toEqual([message]);
  });

  it('leaves out messages of deleted devices and those that somebody else put back', async () => {
    const [gone, kept] = [await owned(), await owned()];
    await fail(gone.device, gone.epoch, [{}]);
    const [taken = '', left = ''] = await fail(kept.device, kept.epoch, [{}, {}]);
    const id = await order();
    await deleteDevice(world.sql, world.tenantId, gone.device);
    await world.sql.unsafe("update messages set state = 'CANCELLED' where id = $1", [taken]);
    expect(moved(await work())).toEqual([left]);
    expect(await rowOf(id)).toMatchObject({ matching: 3, redriven: 1, leftOut: 2, state: 'DONE' });
  });

  it('goes at its rate, and a caller that comes late does not catch up', async () => {
    const { device, epoch } = await owned();
    await fail(device, epoch, [{}, {}, {}]);
    const id = await order({ perMinute: 60 });
    expect((await redriveChunk(world.sql))?.messages.length).toBe(1);
    const [row] = await world.sql.unsafe<{ wait: number }[]>(
      'select extract(epoch from next_at - created_at)::float8 as wait from redrives where id = $1',
      [id],
    );
    expect(row?.wait).toBeGreaterThanOrEqual(1);
    await world.sql.unsafe("update redrives set next_at = now() + interval '1 hour' where id = $1", [id]);
    expect(await redriveChunk(world.sql)).toBeNull();
    await world.sql.unsafe("update redrives set next_at = now() - interval '1 hour' where id = $1", [id]);
    expect((await redriveChunk(world.sql))?.messages.length).toBe(1);
    const [after] = await world.sql.unsafe<{ behind: number }[]>(
      'select extract(epoch from clock_timestamp() - next_at)::float8 as behind from redrives where id = $1',
      [id],
    );
    expect(after?.behind).toBeLessThan(60);
  });

  it('is one caller’s at a time: another takes nothing meanwhile, and goes on when the first is dead', async () => {
    const { device, epoch } = await owned();
    const ids = await fail(device, epoch, [{}, {}]);
    const id = await order();
    const dead = await world.sql.reserve();
    await dead.unsafe('begin');
    await dead.unsafe(MAY_IDLE);
    expect((await redriveChunk(dead, { looked: 1, moved: 1 }))?.messages.length).toBe(1);
    expect(await redriveChunk(world.sql)).toBeNull();
    // it dies before its commit: nothing of it stands
    await dead.unsafe('rollback');
    dead.release();
    expect(await rowOf(id)).toMatchObject({ redriven: 0, state: 'RUNNING' });
    expect(moved(await work())).toEqual(ids);
  });

  it('is cancelled for good: what was put back stays, the rest is not touched; not by another tenant', async () => {
    const { device, epoch } = await owned();
    const [first, second = ''] = await fail(device, epoch, [{}, {}]);
    const id = await order();
    expect(moved([(await redriveChunk(world.sql, { looked: 1, moved: 1 })) as RedriveChunk])).toEqual([first]);
    expect(await cancelRedrive(world.sql, await world.tenant(), id)).toBe(false);
    expect(await cancelRedrive(world.sql, world.tenantId, id)).toBe(true);
    expect(await cancelRedrive(world.sql, world.tenantId, id)).toBe(false);
    expect(moved(await work())).toEqual([]);
    expect(await world.state(second)).toBe('FAILED');
    expect(await rowOf(id)).toMatchObject({ state: 'CANCELLED', redriven: 1 });
  });

  it('keeps order while messages are accepted and promoted beside it', async () => {
    const { device, epoch } = await owned();
    const ids = await fail(
      device,
      epoch,
      Array.from({ length: 40 }, () => ({})),
    );
    await order();
    const beside = (async () => {
      for (let n = 0; n < 20; n++) {
        await world.send(device);
        await promoteDue(world.sql, 10);
      }
    })();
    expect(moved(await work({ looked: 7, moved: 5 }))).toEqual(ids);
    await beside;
    const rows = await world.sql.unsafe('select id, seq from messages where device_id = $1 order by seq', [device]);
    expect(new Set(rows.map((row) => row['seq'])).size).toBe(rows.length);
    expect(rows.map((row) => row['id']).filter((one) => ids.includes(one as string))).toEqual(ids);
    expect(await world.backlog(device)).toBe(await world.open(device));
  });

  it('waits for a device’s turn that is under way, and nothing is lost', async () => {
    const { device, epoch } = await owned();
    const [letter = ''] = await fail(device, epoch, [{}]);
    await order();
    const turn = await world.sql.reserve();
    await turn.unsafe('begin');
    await turn.unsafe(MAY_IDLE);
    await turn.unsafe('select 1 from ownership where device_id = $1 for no key update', [device]);
    const chunk = redriveChunk(world.sql);
    await someoneWaits(world);
    await turn.unsafe('commit');
    turn.release();
    expect(moved([(await chunk) as RedriveChunk])).toEqual([letter]);
  });
});

describe('dead letters', () => {
  it('are grouped by cause, and filtered by state, cause, device, time and flow', async () => {
    const [a, b] = [await owned(), await owned()];
    const [old = ''] = await fail(a.device, a.epoch, [{ cause: 'NO' }]);
    await world.sql.unsafe("update dead_letters set created_at = now() - interval '1 day' where message_id = $1", [old]);
    await fail(a.device, a.epoch, [{ cause: 'NO' }, { cause: 'BUDGET', state: 'DEAD' }]);
    const [flowed = ''] = await fail(b.device, b.epoch, [{ cause: 'NO' }]);
    await world.sql.unsafe('update messages set flow_no = 7 where id = $1', [flowed]);
    await world.sql.unsafe('delete from dead_letters where message_id = $1', [flowed]);
    // written by whichever statement: the letter knows its flow
    await world.sql.unsafe(
      `insert into dead_letters (message_id, tenant_id, device_id, state, cause, attempts) select id, tenant_id, device_id, state, cause, 1
       from messages where id = $1`,
      [flowed],
    );
    const groups = async (filter: Parameters<typeof deadLetterGroups>[2]): Promise<unknown[]> =>
      (await deadLetterGroups(world.sql, world.tenantId, filter)).groups.map((one) => [one.cause, one.state, one.letters, one.devices]);
    expect(await groups({})).toEqual([
      ['NO', 'FAILED', 3, 2],
      ['BUDGET', 'DEAD', 1, 1],
    ]);
    expect(await groups({ states: ['DEAD'] })).toEqual([['BUDGET', 'DEAD', 1, 1]]);
    expect(await groups({ deviceIds: [b.device] })).toEqual([['NO', 'FAILED', 1, 1]]);
    expect(await groups({ flowNo: 7 })).toEqual([['NO', 'FAILED', 1, 1]]);
    expect(await groups({ flowNo: 8 })).toEqual([]);
    const dayAgo = now() - 3_600_000;
    expect(await groups({ until: dayAgo })).toEqual([['NO', 'FAILED', 1, 1]]);
    expect(await groups({ since: dayAgo, causes: ['NO'] })).toEqual([['NO', 'FAILED', 2, 2]]);
    expect((await deadLetterGroups(world.sql, world.tenantId, {}, 2)).whole).toBe(false);
    expect((await deadLetterGroups(world.sql, await world.tenant(), {})).groups).toEqual([]);
    const found = await deadLettersPage(world.sql, world.tenantId, { flowNo: 7 }, null, 10);
    expect(found.map((row) => row.messageId)).toEqual([flowed]);
    const [first] = await deadLettersPage(world.sql, world.tenantId, {}, null, 1);
    const rest = await deadLettersPage(world.sql, world.tenantId, {}, first ?? null, 10);
    expect(rest.length).toBe(3);
    expect(rest.map((row) => row.messageId)).not.toContain(first?.messageId);
  });

  it('a lead whose message is put back is under way again, and so is a campaign that had come to its end', async () => {
    const { device, epoch } = await owned();
    const [message = ''] = await fail(device, epoch, [{}]);
    const [flow] = await world.sql.unsafe<{ no: number }[]>(
      `insert into flows (id, tenant_id, kind, name, lane, state) values ($1, $2, 'CAMPAIGN', $3, 'high', 'DONE') returning no`,
      [newId(), world.tenantId, message],
    );
    await world.sql.unsafe('update messages set flow_no = $2, lead_no = 5, step = 1 where id = $1', [message, flow?.no ?? 0]);
    await world.sql.unsafe('update dead_letters set flow_no = $2 where message_id = $1', [message, flow?.no ?? 0]);
    await world.sql.unsafe(
      `insert into enrolments (flow_no, lead_no, device_no, message_id, cause) select $1, 5, no, $2, 'FAILED' from devices where id = $3`,
      [flow?.no ?? 0, message, device],
    );
    const standing = async (): Promise<unknown> =>
      (
        await world.sql.unsafe('select f.state, e.cause, e.message_id from flows f join enrolments e on e.flow_no = f.no where f.no = $1', [
          flow?.no ?? 0,
        ])
      )[0];
    await order({ filter: { flowNo: flow?.no ?? 0 } });
    expect(moved(await work())).toEqual([message]);
    expect(await standing()).toEqual({ state: 'RUNNING', cause: null, message_id: message });
    expect(await intent(world.sql, [world.intentItem(device, epoch, message)])).toMatchObject([{ verdict: 'PASS' }]);
    await result(world.sql, [world.resultItem(device, epoch, message, 'SENT', { attempt: 2 })]);
    expect(await standing()).toMatchObject({ cause: 'DONE' });
    // of a cancelled one nothing goes out any more
    await world.sql.unsafe("update messages set state = 'FAILED' where id = $1", [message]);
    await world.sql.unsafe('update dead_letters set redriven_at = null, created_at = now()');
    await world.sql.unsafe(
      `insert into dead_letters (message_id, tenant_id, device_id, state, cause, attempts) select id, tenant_id, device_id, state, 'NO', 1
       from messages where id = $1 on conflict do nothing`,
      [message],
    );
    await world.sql.unsafe("update flows set state = 'CANCELLED' where no = $1", [flow?.no ?? 0]);
    const id = await order();
    expect(moved(await work())).toEqual([]);
    expect(await rowOf(id)).toMatchObject({ leftOut: 1 });
  });
});
