import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPostgres } from '../../ops/connect/index.ts';
import {
  adopt,
  bumpEpochs,
  cancel,
  intent,
  ownershipOf,
  promoteDue,
  redrive,
  releaseDevice,
  result,
  setQuarantine,
  suppress,
} from './index.ts';
import { INTENT } from './intent.ts';
import { createWorld, MAY_IDLE, newId, readyDevice, someoneWaits, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});

describe('intent', () => {
  it('passes once, stamps epoch and attempt, and says of the second that the outcome is not known', async () => {
    const { device, message, epoch } = await readyDevice(world);
    const first = await intent(world.sql, [world.intentItem(device, epoch, message)]);
    expect(first).toMatchObject([
      { verdict: 'PASS', message: { id: message, attempt: 1, seq: 1, lane: 'high', body: 'hello', recipient: '+4915110000001' } },
    ]);
    expect(await world.state(message)).toBe('SENDING');
    const second = await intent(world.sql, [world.intentItem(device, epoch, message, { resendUnknown: true })]);
    expect(second).toMatchObject([{ verdict: 'UNKNOWN_OUTCOME', attempt: 1 }]);
  });

  it('gives no leave to the entry that a message had before it was redriven', async () => {
    const { device, message, epoch } = await readyDevice(world);
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

  it('ends a message to a suppressed phone or LID in the statement that would have sent it', async () => {
    const byPhone = await readyDevice(world, { recipient: '+4915120000001' });
    const byLid = await readyDevice(world, { recipient: '+4915120000002' });
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
    const { device, message, epoch } = await readyDevice(world);
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
    const { device, message, epoch } = await readyDevice(world);
    const other = await readyDevice(world);
    const ask = async (id: string): Promise<unknown> => (await intent(world.sql, [world.intentItem(device, epoch, id)]))[0];
    expect(await ask(newId())).toEqual({ verdict: 'ENDED', state: null });
    expect(await ask(other.message)).toEqual({ verdict: 'ENDED', state: null });
    await cancel(world.sql, world.tenantId, message);
    expect(await ask(message)).toEqual({ verdict: 'ENDED', state: 'CANCELLED' });
  });

  it('refuses two messages of one device in a batch', async () => {
    const { device, message, epoch } = await readyDevice(world);
    const item = world.intentItem(device, epoch, message);
    await expect(intent(world.sql, [item, item])).rejects.toThrow('invariant');
  });
});

describe('the fence', () => {
  it('stops a stale owner, and only the marked line does it', async () => {
    const { device, message, epoch } = await readyDevice(world);
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
    const { device, message, epoch } = await readyDevice(world);
    const other = connectPostgres(world.url, { applicationName: 'successor', max: 1 });
    let waiting: Promise<unknown> = Promise.resolve();
    await other.begin(async (tx) => {
      await tx.unsafe(MAY_IDLE);
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
    const { device, message, epoch } = await readyDevice(world);
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
    const { device, message, epoch } = await readyDevice(world);
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
    const { device, message, epoch } = await readyDevice(world);
    await intent(world.sql, [world.intentItem(device, epoch, message)]);
    await result(world.sql, [world.resultItem(device, epoch, message, 'UNKNOWN')]);
    const next = await world.own(device, 'node-2', true);
    expect((await adopt(world.sql, [{ deviceId: device, epoch: next }])).adopted).toHaveLength(1);
    const dead = world.resultItem(device, next, message, 'DEAD', { cause: 'OUTCOME_UNKNOWN' });
    expect(await result(world.sql, [dead])).toMatchObject([{ counted: true, state: 'DEAD' }]);
  });
});
