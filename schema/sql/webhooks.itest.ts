import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { WebhookEvent } from '../domain/index.ts';
import {
  cancel,
  claimWebhookLanes,
  createWebhook,
  type DueLane,
  deleteWebhook,
  intent,
  noteDeviceStates,
  purge,
  replayWebhook,
  result,
  type Settled,
  settleWebhookLane,
  storeInbound,
  suppress,
  updateWebhook,
  webhookDeliveries,
  webhookDeviceTenants,
  webhooksOf,
} from './index.ts';
import { createWorld, MAY_IDLE, newId, now, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});
beforeEach(async () => {
  await world.sql.unsafe(
    'truncate webhook_deliveries, webhook_lanes, webhooks, webhook_devices, audit, messages, dead_letters, suppressions',
  );
});

/** of a webhook */
const LANES = 8;
/** as webhook_lane has it */
const laneOf = (subject: string): number => Number.parseInt(subject.slice(-1), 16) % LANES;
/** an id of a message or flow that goes into this lane */
const idIn = (lane: number): string => {
  for (;;) {
    const id = newId();
    if (laneOf(id) === lane) return id;
  }
};
// no claim ends by itself where a test does not say so
const HOLD = { lanes: 100, failing: 8, holdMs: 600_000 };
const RULES = { tries: 3, disableAfterMs: 3_600_000 };
const hook = async (events: readonly WebhookEvent[], more: { batch?: number; tenantId?: string; url?: string } = {}): Promise<string> => {
  const id = newId();
  const { batch = 1, tenantId = world.tenantId, url = 'https://example.com/h' } = more;
  expect(await createWebhook(world.sql, { id, tenantId, url, events, secret: Buffer.from('sealed'), batch }, 20)).toBe(true);
  return id;
};
const settle = (lane: DueLane, claim: string, said: Partial<Settled> = {}, rules = RULES) =>
  settleWebhookLane(
    world.sql,
    {
      webhookId: lane.webhookId,
      lane: lane.lane,
      claim,
      nos: lane.events.map((event) => event.no),
      taken: true,
      status: 200,
      error: null,
      waitMs: 0,
      gone: false,
      ...said,
    },
    { ...rules, auditId: newId() },
  );
/** claims and takes everything there is, as a receiver that is well would */
async function drain(webhookId?: string): Promise<string[]> {
  const told: string[] = [];
  for (;;) {
    const claim = newId();
    const lanes = await claimWebhookLanes(world.sql, claim, HOLD);
    if (lanes.length === 0) return told;
    for (const lane of lanes) {
      if (webhookId === undefined || lane.webhookId === webhookId)
        told.push(...lane.events.map((event) => `${event.type} ${event.messageId ?? event.deviceId ?? event.flow?.id ?? ''}`));
      await settle(lane, claim);
    }
  }
}
async function owned(): Promise<{ device: string; epoch: number }> {
  const [device = ''] = await world.devices(1);
  return { device, epoch: await world.own(device) };
}
const sent = async (device: string, epoch: number, state: 'SENT' | 'FAILED' | 'DEAD' = 'SENT', id = newId()): Promise<string> => {
  const message = await world.send(device, { id });
  await intent(world.sql, [world.intentItem(device, epoch, message)]);
  await result(world.sql, [world.resultItem(device, epoch, message, state)]);
  return message;
};

describe('events', () => {
  it('are written with what they tell of, for who asked for them, of his tenant only; nothing where nobody asks', async () => {
    const { device, epoch } = await owned();
    await sent(device, epoch);
    expect(await world.sql.unsafe('select 1 from webhook_deliveries')).toHaveLength(0);

    const all = await hook([
      'message.sent',
      'message.delivered',
      'message.read',
      'message.failed',
      'message.cancelled',
      'message.suppressed',
    ]);
    const some = await hook(['message.failed']);
    await hook(['message.sent', 'message.failed'], { tenantId: await world.tenant() });
    const good = await sent(device, epoch);
    await result(world.sql, [world.resultItem(device, epoch, good, 'DELIVERED')]);
    await result(world.sql, [world.resultItem(device, epoch, good, 'READ')]);
    // proof that was heard before counts once
    await result(world.sql, [world.resultItem(device, epoch, good, 'DELIVERED')]);
    const bad = await sent(device, epoch, 'FAILED');
    const back = await world.send(device);
    await cancel(world.sql, world.tenantId, back);
    const phone = '+4915110000009';
    const spared = await world.send(device, { recipient: phone });
    await suppress(world.sql, [{ id: newId(), tenantId: world.tenantId, phone, lid: null, reason: 'STOP', source: 'TEST' }]);
    await intent(world.sql, [world.intentItem(device, epoch, spared)]);
    const rows = await world.sql.unsafe('select type, message_id, detail from webhook_deliveries where webhook_id = $1 order by no', [all]);
    expect(rows.map((row) => `${row['type']} ${row['message_id']}`)).toEqual([
      `message.sent ${good}`,
      `message.delivered ${good}`,
      `message.read ${good}`,
      `message.failed ${bad}`,
      `message.cancelled ${back}`,
      `message.suppressed ${spared}`,
    ]);
    expect(rows[3]?.['detail']).toEqual({ state: 'FAILED', cause: 'TEST', attempts: 1 });
    expect((await world.sql.unsafe('select type from webhook_deliveries where webhook_id <> $1', [all])).map((row) => row['type'])).toEqual(
      ['message.failed'],
    );
    expect(await drain(some)).toEqual([`message.failed ${bad}`]);
  });

  it('of what came in, of campaigns that ended: with the words as they are kept, which are nowhere else', async () => {
    await hook(['inbound.received', 'campaign.ended']);
    const [device = ''] = await world.devices(1);
    const inbound = {
      deviceId: device,
      id: 'in-1',
      tenantId: world.tenantId,
      sender: '+4915112345',
      senderLid: null,
      body: 'yes',
      receivedAt: now(),
    };
    await storeInbound(world.sql, [inbound, { ...inbound, id: 'in-2', body: 'no' }]);
    // the device repeats what it was not told to be stored
    await storeInbound(world.sql, [inbound]);
    // in a lane of its own: in the device's it would wait behind what came in
    const flow = idIn((laneOf(device) + 1) % LANES);
    await world.sql.unsafe(
      `insert into flows (id, tenant_id, kind, name, lane, state) values ($1, $2, 'CAMPAIGN', $3, 'high', 'RUNNING')`,
      [flow, world.tenantId, `c ${flow}`],
    );
    await world.sql.unsafe(`update flows set state = 'CANCELLED', ended_at = now() where id = $1`, [flow]);
    await world.sql.unsafe(`delete from inbound_messages where id = 'in-2'`);
    const kept = JSON.stringify(await world.sql.unsafe('select * from webhook_deliveries'));
    expect(kept).not.toContain('+4915112345');
    const claim = newId();
    const lanes = await claimWebhookLanes(world.sql, claim, HOLD);
    expect(
      lanes
        .flatMap((lane) => lane.events)
        .map((event) => [event.type, event.sender, event.body, event.flow?.name ?? null])
        .sort(),
    ).toEqual([
      ['campaign.ended', null, null, `c ${flow}`],
      ['inbound.received', '+4915112345', 'yes', null],
    ]);
    for (const lane of lanes) await settle(lane, claim);
    // erased meanwhile: nothing of the person is told
    const [second] = await claimWebhookLanes(world.sql, newId(), HOLD);
    expect(second?.events[0]).toMatchObject({ inboundId: 'in-2', sender: null, body: null });
  });

  it('of a device when its state is another than was told, whoever owns it', async () => {
    expect(await webhookDeviceTenants(world.sql)).toEqual(new Set());
    await hook(['device.state']);
    expect(await webhookDeviceTenants(world.sql)).toEqual(new Set([world.tenantId]));
    const [device = ''] = await world.devices(1);
    const note = (state: string, epoch: number, version: number) =>
      noteDeviceStates(world.sql, [{ deviceId: device, tenantId: world.tenantId, epoch, version, state, reason: null, at: now() }]);
    expect(await note('ONLINE', 1, 1)).toBe(1);
    expect(await note('ONLINE', 2, 1)).toBe(0);
    // a stale owner's late word
    expect(await note('OFFLINE', 1, 9)).toBe(0);
    expect(await note('OFFLINE', 2, 2)).toBe(1);
    const rows = await world.sql.unsafe('select detail from webhook_deliveries order by no');
    expect(rows.map((row) => row['detail'])).toEqual([
      { state: 'ONLINE', before: null, reason: null },
      { state: 'OFFLINE', before: 'ONLINE', reason: null },
    ]);
  });
});

describe('lanes', () => {
  it('W1: what is told of one message waits for what was told before; others do not', async () => {
    await hook(['message.sent', 'message.delivered']);
    const { device, epoch } = await owned();
    const one = await sent(device, epoch);
    await result(world.sql, [world.resultItem(device, epoch, one, 'DELIVERED')]);
    const claim = newId();
    const [lane] = await claimWebhookLanes(world.sql, claim, HOLD);
    expect(lane?.events.map((event) => event.type)).toEqual(['message.sent']);
    expect(await claimWebhookLanes(world.sql, newId(), HOLD)).toEqual([]);
    for (let n = 0; n < LANES; n++) await sent(device, epoch, 'SENT', idIn(n));
    const free = await claimWebhookLanes(world.sql, newId(), HOLD);
    expect(free).toHaveLength(LANES - 1);
    expect(free.map((one_) => one_.lane)).not.toContain(lane?.lane);
    await settle(lane as DueLane, claim);
    expect((await claimWebhookLanes(world.sql, newId(), HOLD)).map((next) => next.events[0]?.type)).toEqual(['message.delivered']);
  });

  it('a claim whose time is up settles nothing: the events go out again under the same ids', async () => {
    await hook(['message.sent']);
    const { device, epoch } = await owned();
    await sent(device, epoch);
    const late = newId();
    const [lane] = await claimWebhookLanes(world.sql, late, { ...HOLD, holdMs: 0 });
    const claim = newId();
    const [again] = await claimWebhookLanes(world.sql, claim, HOLD);
    expect(again?.events).toEqual(lane?.events);
    expect(await settle(lane as DueLane, late)).toBeNull();
    expect(await settle(again as DueLane, claim)).toEqual({ dead: 0, disabled: false });
    expect(await claimWebhookLanes(world.sql, newId(), HOLD)).toEqual([]);
  });

  it('W2: a batch that failed goes again as it was; it dies after its tries, and what came later goes on', async () => {
    const id = await hook(['message.sent'], { batch: 100 });
    const { device, epoch } = await owned();
    // two in each lane: one without a failed batch would send what is new at once
    const before = 2 * LANES;
    for (let n = 0; n < before; n++) await sent(device, epoch, 'SENT', idIn(n % LANES));
    const wrong = async (): Promise<{ nos: number[]; dead: number }> => {
      let [dead, nos]: [number, number[]] = [0, []];
      const claim = newId();
      for (const lane of await claimWebhookLanes(world.sql, claim, HOLD)) {
        nos = [...nos, ...lane.events.map((event) => event.no)];
        dead += (await settle(lane, claim, { taken: false, status: 500, error: 'the receiver answered 500' }))?.dead ?? 0;
      }
      return { nos: nos.sort((a, b) => a - b), dead };
    };
    const first = await wrong();
    expect(first).toMatchObject({ dead: 0 });
    expect(first.nos).toHaveLength(before);
    for (let n = 0; n < 20; n++) await sent(device, epoch);
    expect(await wrong()).toEqual(first);
    expect(await wrong()).toEqual({ ...first, dead: before });
    expect(await drain()).toHaveLength(20);
    const [row] = await webhooksOf(world.sql, world.tenantId, [id]);
    expect(row).toMatchObject({ failures: 0, failingSince: null, lastError: 'the receiver answered 500', waiting: 0 });
    const dead = await webhookDeliveries(world.sql, world.tenantId, id, { states: ['DEAD'], before: null, limit: 100 });
    expect(dead).toHaveLength(before);
    expect(dead[0]).toMatchObject({ tries: 3, status: 500, error: 'the receiver answered 500' });
    // replayed: by id, then all that is dead, before what is newer; not by another tenant
    expect(
      await replayWebhook(world.sql, await world.tenant(), id, { nos: null, states: ['DEAD'], since: null, until: null, limit: 9 }),
    ).toBe(0);
    const few = [dead[3]?.no ?? 0];
    expect(await replayWebhook(world.sql, world.tenantId, id, { nos: few, states: [], since: null, until: null, limit: 9 })).toBe(1);
    expect(await replayWebhook(world.sql, world.tenantId, id, { nos: null, states: ['DEAD'], since: null, until: null, limit: 5 })).toBe(5);
    expect(await drain()).toHaveLength(6);
  });

  it('a webhook that fails gets one lane at a time, and its lanes wait', async () => {
    const id = await hook(['message.sent']);
    const { device, epoch } = await owned();
    for (let n = 0; n < 2 * LANES; n++) await sent(device, epoch, 'SENT', idIn(n % LANES));
    const claim = newId();
    const lanes = await claimWebhookLanes(world.sql, claim, { ...HOLD, failing: 1 });
    expect(lanes).toHaveLength(LANES);
    for (const lane of lanes.slice(0, 2)) await settle(lane, claim, { taken: false, status: null, error: 'away', waitMs: 0 });
    for (const lane of lanes.slice(2)) await settle(lane, claim, { taken: false, status: null, error: 'away', waitMs: 600_000 });
    expect(await claimWebhookLanes(world.sql, newId(), { ...HOLD, failing: 1 })).toHaveLength(1);
    expect(await claimWebhookLanes(world.sql, newId(), { ...HOLD, failing: 1 })).toEqual([]);
    // switched on anew: nothing is held against it
    await updateWebhook(world.sql, world.tenantId, id, { enabled: true }, 0);
    expect((await claimWebhookLanes(world.sql, newId(), { ...HOLD, failing: 1 })).length).toBeGreaterThan(2);
  });
});

describe('a webhook', () => {
  it('that fails for too long is switched off, with a word in the audit and to the tenant’s others; what happens meanwhile is not told', async () => {
    const id = await hook(['message.sent']);
    const other = await hook(['webhook.disabled']);
    const { device, epoch } = await owned();
    for (let n = 0; n < 3; n++) await sent(device, epoch);
    const failing = async (rules: typeof RULES): Promise<boolean> => {
      const claim = newId();
      let disabled = false;
      for (const lane of await claimWebhookLanes(world.sql, claim, HOLD)) {
        if (lane.webhookId !== id) await settle(lane, claim, { waitMs: 0 });
        else disabled = ((await settle(lane, claim, { taken: false, status: null, error: 'away' }, rules))?.disabled ?? false) || disabled;
      }
      return disabled;
    };
    expect(await failing({ ...RULES, tries: 99 })).toBe(false);
    expect(await failing({ ...RULES, tries: 99 })).toBe(false);
    await world.sql.unsafe("update webhooks set failing_since = now() - interval '2 hours' where id = $1", [id]);
    expect(await failing({ ...RULES, tries: 99 })).toBe(true);
    const [row] = await webhooksOf(world.sql, world.tenantId, [id]);
    expect(row).toMatchObject({ disabledReason: 'SUSTAINED_FAILURE', waiting: 3 });
    const notes = await world.sql.unsafe('select action, subject, detail from audit');
    expect([...notes]).toEqual([{ action: 'webhook.disabled', subject: id, detail: { reason: 'SUSTAINED_FAILURE' } }]);
    const told = await world.sql.unsafe('select type, detail from webhook_deliveries where webhook_id = $1', [other]);
    expect(told.map((one) => one['detail'])).toEqual([
      { webhookId: `Webhook:${id}`, url: 'https://example.com/h', reason: 'SUSTAINED_FAILURE' },
    ]);
    await sent(device, epoch);
    expect(await drain(id)).toEqual([]);
    await updateWebhook(world.sql, world.tenantId, id, { enabled: true }, 0);
    expect(await drain(id)).toHaveLength(3);
  });

  it('that says it is gone is switched off at once; one that was deleted hears nothing more', async () => {
    const id = await hook(['message.sent']);
    const { device, epoch } = await owned();
    await sent(device, epoch);
    const claim = newId();
    const [lane] = await claimWebhookLanes(world.sql, claim, HOLD);
    expect(await settle(lane as DueLane, claim, { taken: false, status: 410, error: 'gone', gone: true })).toMatchObject({
      disabled: true,
    });
    expect((await webhooksOf(world.sql, world.tenantId, [id]))[0]?.disabledReason).toBe('GONE');
    await updateWebhook(world.sql, world.tenantId, id, { enabled: true }, 0);
    expect(await deleteWebhook(world.sql, await world.tenant(), id)).toBe(false);
    expect(await deleteWebhook(world.sql, world.tenantId, id)).toBe(true);
    await sent(device, epoch);
    expect(await drain()).toEqual([]);
    expect(await webhooksOf(world.sql, world.tenantId, null)).toEqual([]);
  });

  it('signs with the secret before too, for a while; a tenant has only so many', async () => {
    const id = await hook(['message.sent']);
    const { device, epoch } = await owned();
    await sent(device, epoch);
    await updateWebhook(world.sql, world.tenantId, id, { secret: Buffer.from('newer') }, 600_000);
    const [lane] = await claimWebhookLanes(world.sql, newId(), { ...HOLD, holdMs: 0 });
    expect([String(lane?.secret), String(lane?.secretBefore)]).toEqual(['newer', 'sealed']);
    await updateWebhook(world.sql, world.tenantId, id, { secret: Buffer.from('newest') }, -1);
    const [later] = await claimWebhookLanes(world.sql, newId(), HOLD);
    expect([String(later?.secret), later?.secretBefore]).toEqual(['newest', null]);
    const one = { id: newId(), tenantId: world.tenantId, url: 'https://x.example', events: [], secret: Buffer.from('s'), batch: 1 };
    expect(await createWebhook(world.sql, one, 1)).toBe(false);
  });

  it('what was told is forgotten with time', async () => {
    await hook(['message.sent']);
    const { device, epoch } = await owned();
    for (let n = 0; n < 3; n++) await sent(device, epoch);
    await world.sql.unsafe(
      "update webhook_deliveries set at = now() - interval '8 days' where no < (select max(no) from webhook_deliveries)",
    );
    const gone = await purge(world.sql, {
      keysBeforeMs: 0,
      inboundBeforeMs: 0,
      webhooksBeforeMs: now() - 7 * 86_400_000,
      chunk: 1,
      chunks: 10,
      pause: async () => {},
    });
    expect(gone.webhooks).toBe(2);
    expect(await world.sql.unsafe('select 1 from webhook_deliveries')).toHaveLength(1);
  });
});

it('costs a batch that nobody asks about next to nothing, and never stops a sender', async () => {
  // a webhook that cannot even be written to: the message's own end stands
  const id = await hook(['message.sent']);
  const { device, epoch } = await owned();
  const holder = await world.sql.reserve();
  await holder.unsafe('begin');
  await holder.unsafe(MAY_IDLE);
  await holder.unsafe('select 1 from webhooks where id = $1 for update', [id]);
  await holder.unsafe('select 1 from webhook_lanes where webhook_id = $1 for update', [id]);
  const message = await sent(device, epoch);
  expect(await world.state(message)).toBe('SENT');
  await holder.unsafe('rollback');
  holder.release();
  expect(await drain(id)).toEqual([`message.sent ${message}`]);
});
