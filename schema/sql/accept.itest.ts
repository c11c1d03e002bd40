import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPostgres } from '../../ops/connect/index.ts';
import {
  type AcceptItem,
  accept,
  cancel,
  deleteDevice,
  loadMessages,
  nextSeqs,
  promoteDue,
  redrive,
  refill,
  setPaused,
  suppress,
} from './index.ts';
import { createWorld, hashOf, MAY_IDLE, newId, now, someoneWaits, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});

const rowsOf = async (device: string): Promise<{ id: string; seq: number | null }[]> => [
  ...(await world.sql.unsafe<{ id: string; seq: number | null }[]>('select id, seq from messages where device_id = $1 order by seq', [
    device,
  ])),
];

describe('accept', () => {
  it('numbers a mixed batch per device and lane, without gaps, in the order of the batch', async () => {
    const [a = '', b = ''] = await world.devices(2);
    const batch = [
      world.item(b, { lane: 'normal' }),
      world.item(a),
      world.item(a, { lane: 'control' }),
      world.item(b),
      world.item(a, { recipient: `"quoted\\", {x}`, body: 'NULL' }),
      world.item(b, { lane: 'normal', body: 'line\nbreak "quotes" \\ {braces}, 日本', traceparent: '00-a-b-01' }),
    ];
    const outcomes = await accept(world.sql, batch);
    expect(outcomes.map((outcome) => (outcome.kind === 'accepted' ? outcome.seq : outcome))).toEqual([1, 1, 1, 1, 2, 2]);
    expect(outcomes.map((outcome) => (outcome.kind === 'accepted' ? outcome.id : ''))).toEqual(batch.map((item) => item.id));
    const [last] = await loadMessages(world.sql, world.tenantId, [batch[5]?.id ?? '']);
    expect(last?.body).toBe('line\nbreak "quotes" \\ {braces}, 日本');
    expect((await loadMessages(world.sql, world.tenantId, [batch[4]?.id ?? '']))[0]).toMatchObject({
      recipient: `"quoted\\", {x}`,
      body: 'NULL',
    });
  });

  it('says whether the device is paused', async () => {
    const [device = ''] = await world.devices(1);
    await setPaused(world.sql, world.tenantId, device, true, 'OPERATOR');
    expect(await accept(world.sql, [world.item(device)])).toMatchObject([{ kind: 'accepted', paused: true }]);
  });

  it('refuses unknown, foreign and deleted devices, and such items take no seq', async () => {
    const [device = '', gone = ''] = await world.devices(2);
    const stranger = await world.tenant();
    await deleteDevice(world.sql, world.tenantId, gone);
    const outcomes = await accept(world.sql, [
      world.item(newId()),
      world.item(device, { tenantId: stranger, idempotencyKey: 'k' }),
      world.item(gone),
      world.item(device),
    ]);
    const refused = { kind: 'rejected', code: 'DEVICE_NOT_FOUND' };
    expect(outcomes).toMatchObject([refused, refused, refused, { kind: 'accepted', seq: 1 }]);
    expect(await world.sql.unsafe('select 1 from idempotency_keys where tenant_id = $1', [stranger])).toHaveLength(0);
  });

  it('refuses suppressed recipients', async () => {
    const [device = ''] = await world.devices(1);
    await suppress(world.sql, [
      { id: newId(), tenantId: world.tenantId, phone: '+4915130000001', lid: null, reason: 'STOP', source: 'INBOUND' },
    ]);
    const item = world.item(device, { recipient: '+4915130000001', idempotencyKey: 'suppressed' });
    expect(await accept(world.sql, [item])).toEqual([{ kind: 'rejected', code: 'RECIPIENT_SUPPRESSED' }]);
    expect(await world.sql.unsafe(`select 1 from idempotency_keys where key = 'suppressed'`)).toHaveLength(0);
  });

  it('replays a key with the same content and refuses it with another', async () => {
    const [device = ''] = await world.devices(1);
    const first = world.item(device, { idempotencyKey: 'one' });
    await accept(world.sql, [first]);
    expect(
      await accept(world.sql, [
        world.item(device, { idempotencyKey: 'one' }),
        world.item(device, { idempotencyKey: 'one', contentHash: hashOf('other') }),
        world.item(device, { idempotencyKey: 'two' }),
        world.item(device, { idempotencyKey: 'two' }),
      ]),
    ).toMatchObject([
      { kind: 'replayed', id: first.id },
      { kind: 'rejected', code: 'IDEMPOTENCY_KEY_REUSED' },
      { kind: 'accepted', seq: 2 },
      { kind: 'again' },
    ]);
    expect(await rowsOf(device)).toHaveLength(2);
  });

  it('answers again to the loser of a race for a key, who then sees the winner; no seq is lost', async () => {
    const [left = '', right = ''] = await world.devices(2);
    const other = connectPostgres(world.url, { applicationName: 'gateway-2', max: 1 });
    const winner = world.item(left, { idempotencyKey: 'race' });
    const loser = world.item(right, { idempotencyKey: 'race' });
    let waiting: Promise<unknown> = Promise.resolve();
    await other.begin(async (tx) => {
      await tx.unsafe(MAY_IDLE);
      expect(await accept(tx, [winner])).toMatchObject([{ kind: 'accepted' }]);
      waiting = accept(world.sql, [loser, world.item(right)]);
      await someoneWaits(world);
    });
    await other.end();
    expect(await waiting).toMatchObject([{ kind: 'again' }, { kind: 'accepted', seq: 1 }]);
    expect(await accept(world.sql, [loser])).toEqual([{ kind: 'replayed', id: winner.id }]);
  });

  it('keeps the order of seq the order of commit when a lane is waited for', async () => {
    const [device = ''] = await world.devices(1);
    const other = connectPostgres(world.url, { applicationName: 'gateway-2', max: 1 });
    let waiting: Promise<unknown> = Promise.resolve();
    await other.begin(async (tx) => {
      await tx.unsafe(MAY_IDLE);
      await accept(tx, [world.item(device), world.item(device)]);
      waiting = accept(world.sql, [world.item(device)]);
      await someoneWaits(world);
    });
    await other.end();
    expect(await waiting).toMatchObject([{ seq: 3 }]);
    expect((await rowsOf(device)).map((row) => row.seq)).toEqual([1, 2, 3]);
  });

  it('stops at the backlog limit, inside a batch too, and takes more when messages end', async () => {
    const tenantId = await world.tenant(3);
    const [device = ''] = await world.devices(1, { tenantId });
    const item = (change: Partial<AcceptItem> = {}): AcceptItem => world.item(device, { tenantId, ...change });
    const later = { scheduledAt: now() + 3_600_000 };
    const full = { kind: 'rejected', code: 'BACKLOG_FULL' };
    const outcomes = await accept(world.sql, [item(), item(later), item({ lane: 'normal' }), item(), item({ idempotencyKey: 'full' })]);
    expect(outcomes).toMatchObject([{ seq: 1 }, { seq: null }, { seq: 1 }, full, full]);
    expect(await accept(world.sql, [item()])).toEqual([full]);
    const scheduled = outcomes[1]?.kind === 'accepted' ? outcomes[1].id : '';
    expect(await cancel(world.sql, tenantId, scheduled)).toMatchObject({ kind: 'cancelled' });
    expect(await accept(world.sql, [item({ idempotencyKey: 'full' })])).toMatchObject([{ kind: 'accepted', seq: 2 }]);
  });

  it('never deadlocks over the same devices and keys in other orders, and leaves dense seqs', async () => {
    const devices = await world.devices(30);
    const batch = (round: number): AcceptItem[] =>
      devices.map((device, index) =>
        world.item(device, { idempotencyKey: `storm ${round} ${index % 10}`, lane: index % 2 === 0 ? 'high' : 'normal' }),
      );
    const rounds = Array.from({ length: 40 }, (_, round) => (round % 2 === 0 ? batch(round >> 2) : batch(round >> 2).reverse()));
    const outcomes = (await Promise.all(rounds.map(async (items) => await accept(world.sql, items)))).flat();
    const accepted = outcomes.filter((outcome) => outcome.kind === 'accepted');
    expect(accepted.length).toBe(100);
    for (const device of devices) {
      const seqs = (await rowsOf(device)).map((row) => row.seq);
      expect(seqs).toEqual(seqs.map((_, index) => index + 1));
    }
  });
});

describe('lanes', () => {
  it('refills in seq order past holes, up to the limit, per ask', async () => {
    const [a = '', b = ''] = await world.devices(2);
    const sent: string[] = [];
    for (let count = 0; count < 5; count++) sent.push(await world.send(a, { traceparent: `t${count}` }));
    await world.send(b, { lane: 'normal' });
    await cancel(world.sql, world.tenantId, sent[2] ?? '');
    const entries = await refill(
      world.sql,
      [
        { deviceId: b, lane: 'normal', afterSeq: 0 },
        { deviceId: a, lane: 'high', afterSeq: 1 },
        { deviceId: a, lane: 'control', afterSeq: 0 },
      ],
      2,
    );
    expect(entries).toMatchObject([
      { deviceId: b, lane: 'normal', seq: 1 },
      { deviceId: a, lane: 'high', seq: 2, messageId: sent[1], traceparent: 't1' },
      { deviceId: a, lane: 'high', seq: 4, messageId: sent[3] },
    ]);
    expect(await nextSeqs(world.sql, [a])).toMatchObject([
      { lane: 'control', nextSeq: 1, hasOpen: true },
      { lane: 'high', nextSeq: 6, hasOpen: true },
      { lane: 'normal', nextSeq: 1, hasOpen: true },
    ]);
  });

  it('promotes what is due, oldest first, each message once among concurrent callers', async () => {
    const [device = ''] = await world.devices(1);
    const ids: string[] = [];
    for (let count = 0; count < 20; count++) ids.push(await world.send(device, { scheduledAt: now() + 3_600_000 + count }));
    const future = await world.send(device, { scheduledAt: now() + 9_600_000 });
    expect(await promoteDue(world.sql, 100)).toEqual([]);
    await world.sql.unsafe(`update messages set due_at = due_at - interval '2 hours' where id = any($1::uuid[])`, [`{${ids.join(',')}}`]);
    const parts = await Promise.all(Array.from({ length: 5 }, async () => await promoteDue(world.sql, 4)));
    expect(parts.flat()).toHaveLength(20);
    expect(new Set(parts.flat().map((entry) => entry.seq))).toEqual(new Set(Array.from({ length: 20 }, (_, index) => index + 1)));
    for (const part of parts)
      expect(part.map((entry) => ids.indexOf(entry.messageId))).toEqual(
        part.map((entry) => ids.indexOf(entry.messageId)).sort((a, b) => a - b),
      );
    expect(await world.state(future)).toBe('QUEUED');
    expect(await world.backlog(device)).toBe(21);
  });

  it('does not redrive what is open or of another tenant', async () => {
    const [device = ''] = await world.devices(1);
    const message = await world.send(device);
    expect(await redrive(world.sql, world.tenantId, [message], 10)).toEqual([]);
    expect(await cancel(world.sql, await world.tenant(), message)).toEqual({ kind: 'not-found' });
  });
});
