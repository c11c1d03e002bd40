import { afterEach, describe, expect, it, vi } from 'vitest';
import { connectRedis } from '../../ops/connect/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { createFlow, importLeads, type NewFlow, setFlowState } from '../../schema/sql/index.ts';
import { type Campaigns, startCampaigns } from '../campaigns/index.ts';
import { createWorld, type World } from '../node/world.testing.ts';

const until = (check: () => unknown): Promise<unknown> => vi.waitFor(check, { timeout: 100_000, interval: 30 });
const id = (): string => uuidV7(systemClock.wall());

/** A node with real stores that enrols and plans, as main wires it. */
describe('campaigns on a node', { timeout: 240_000 }, () => {
  let world: World;
  let campaigns: Campaigns | undefined;
  const subscribers: ReturnType<typeof connectRedis>[] = [];
  const telemetry = createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0 });

  const open = async (): Promise<void> => {
    world = await createWorld();
    await begin();
  };
  const begin = async (): Promise<void> => {
    const subscriber = connectRedis(world.redisServer.url, { role: 'subscriber', name: 'test-flows' });
    subscribers.push(subscriber);
    let seen = 0;
    const started = startCampaigns(
      {
        sql: world.database.sql,
        slots: world.host.actors,
        enqueue: (entries) => world.enqueuer.enqueue(entries),
        async subscribe(channel, handler) {
          subscriber.on('message', (_channel, text) => handler(text));
          await subscriber.subscribe(channel);
        },
        publish: (channel, text) => world.redis.publish(channel, text),
        clock: systemClock,
        telemetry,
      },
      { enrolPerSecond: 100_000 },
    );
    campaigns = started;
    // main wraps live.messages; the world only keeps what was said
    const tell = (): void => {
      started.events(world.events.slice(seen));
      seen = world.events.length;
      if (campaigns === started) systemClock.after(20, tell, { background: true });
    };
    tell();
  };
  afterEach(async () => {
    const last = campaigns;
    campaigns = undefined;
    await last?.close();
    for (const subscriber of subscribers.splice(0)) subscriber.disconnect();
    await world.close();
  });
  const leads = (count: number): Promise<unknown> =>
    importLeads(
      world.database.sql,
      Array.from({ length: count }, (_, n) => ({
        id: id(),
        tenantId: world.tenantId,
        phone: `+1555${String(n).padStart(7, '0')}`,
        name: `Lead${n} X`,
        tags: [],
        niche: null,
        stage: null,
        attributes: {},
        consentSource: null,
        consentAt: null,
      })),
    );
  const flow = async (change: Partial<NewFlow> = {}): Promise<string> => {
    const flowId = id();
    await createFlow(world.database.sql, {
      id: flowId,
      tenantId: world.tenantId,
      kind: 'CAMPAIGN',
      name: flowId,
      lane: 'high',
      audience: {},
      deviceIds: null,
      hours: null,
      startAt: null,
      nextFlowId: null,
      steps: [{ delayMs: 0, template: 'Hi {{first_name}}' }],
      ...change,
    });
    return flowId;
  };
  const set = (flowId: string, state: 'RUNNING' | 'PAUSED' | 'CANCELLED') =>
    setFlowState(world.database.sql, world.tenantId, flowId, state);
  const causes = async (): Promise<Record<string, number>> =>
    Object.fromEntries(
      (
        await world.database.sql.unsafe<{ cause: string; n: number }[]>(
          `select coalesce(cause, 'OPEN') as cause, count(*)::int as n from enrolments group by 1`,
        )
      ).map((row) => [row.cause, row.n]),
    );

  it('sends to every lead once, evenly over the devices, and never has more than a window of messages a device', async () => {
    await open();
    const devices = await world.devices(5);
    await world.ownership.grant(devices);
    await leads(600);
    await set(await flow(), 'RUNNING');
    await until(async () => expect(await causes()).toEqual({ DONE: 600 }));
    expect(new Set(world.transport.arrivals.map((arrival) => arrival.body)).size).toBe(600);
    expect(world.transport.arrivals).toHaveLength(600);
    const loads = devices.map((device) => world.transport.arrivals.filter((arrival) => arrival.deviceId === device).length);
    expect(loads).toEqual([120, 120, 120, 120, 120]);
    // its last lead is through
    await until(async () => expect(await world.database.sql.unsafe('select state from flows')).toMatchObject([{ state: 'DONE' }]));
    expect(await world.states()).toEqual({ SENT: 600 });
  });

  it('paused in the middle: nothing more goes; resumed: the rest goes, each once', async () => {
    await open();
    const devices = await world.devices(3, { paceMs: 20 });
    await world.ownership.grant(devices);
    await leads(300);
    const flowId = await flow();
    await set(flowId, 'RUNNING');
    await until(() => expect(world.transport.arrivals.length).toBeGreaterThan(30));
    await set(flowId, 'PAUSED');
    const after = world.transport.arrivals.length + devices.length;
    // what was planned is taken back at its intent
    await until(async () => expect((await world.states())['QUEUED'] ?? 0).toBe(0));
    await systemClock.sleep(1500);
    // what had its intent already may still arrive: one of each device
    expect(world.transport.arrivals.length).toBeLessThanOrEqual(after);
    expect((await world.states())['QUEUED'] ?? 0).toBe(0);
    await set(flowId, 'RUNNING');
    await until(async () => expect(await causes()).toEqual({ DONE: 300 }));
    expect(world.transport.arrivals).toHaveLength(300);
    expect(new Set(world.transport.arrivals.map((arrival) => arrival.body)).size).toBe(300);
  });

  it('of two texts each lead gets the one that was drawn for it, however often the campaign is held and its planner dies', async () => {
    await open();
    const devices = await world.devices(3, { paceMs: 20 });
    await world.ownership.grant(devices);
    await leads(200);
    const variants = [
      { name: 'a', template: 'A {{name}}', percent: 40 },
      { name: 'b', template: 'B {{name}}', percent: 60 },
    ];
    const flowId = await flow({ steps: [{ delayMs: 0, template: 'A {{name}}' }], variants });
    await set(flowId, 'RUNNING');
    await until(() => expect(world.transport.arrivals.length).toBeGreaterThan(20));
    const drawn = await world.database.sql.unsafe<{ lead: number; variant: number }[]>(
      'select lead_no as lead, variant from enrolments order by 1',
    );
    await set(flowId, 'PAUSED');
    await until(async () => expect((await world.states())['QUEUED'] ?? 0).toBe(0));
    const dying = campaigns;
    campaigns = undefined;
    await dying?.close();
    await set(flowId, 'RUNNING');
    await begin();
    await until(async () => expect(await causes()).toEqual({ DONE: 200 }));
    expect(world.transport.arrivals).toHaveLength(200);
    expect(await world.database.sql.unsafe('select lead_no as lead, variant from enrolments order by 1')).toEqual(drawn);
    const expected = await world.database.sql.unsafe<{ body: string }[]>(
      `select case e.variant when 1 then 'A ' else 'B ' end || l.name as body from enrolments e join leads l on l.no = e.lead_no`,
    );
    expect(world.transport.arrivals.map((arrival) => arrival.body).sort()).toEqual(expected.map((row) => row.body).sort());
    expect(new Set(drawn.map(({ variant }) => variant))).toEqual(new Set([1, 2]));
  });

  it('a planner that dies loses nothing and doubles nothing', async () => {
    await open();
    const devices = await world.devices(4);
    await world.ownership.grant(devices);
    await leads(800);
    await set(await flow(), 'RUNNING');
    await until(() => expect(world.transport.arrivals.length).toBeGreaterThan(50));
    const dying = campaigns;
    campaigns = undefined;
    await dying?.close();
    await begin();
    await until(async () => expect(await causes()).toEqual({ DONE: 800 }));
    expect(world.transport.arrivals).toHaveLength(800);
    expect(new Set(world.transport.arrivals.map((arrival) => arrival.body)).size).toBe(800);
  });

  it('a sequence goes step by step, each counted from the send of the last; who says stop hears no more', async () => {
    await open();
    const devices = await world.devices(2);
    await world.ownership.grant(devices);
    await leads(10);
    // he says stop before the first message to him has been counted as sent, so before the second one can be due
    world.transport.script = async ({ body }) => {
      if (body === 'one Lead3 X')
        await world.database.sql.unsafe(
          `insert into suppressions (id, tenant_id, phone, reason, source) values ($1, $2, '+15550000003', 'STOP', 'test')`,
          [id(), world.tenantId],
        );
      return { kind: 'sent', at: systemClock.wall() };
    };
    await set(
      await flow({
        kind: 'SEQUENCE',
        lane: 'normal',
        steps: [
          { delayMs: 0, template: 'one {{name}}' },
          { delayMs: 1500, template: 'two {{name}}' },
        ],
      }),
      'RUNNING',
    );
    await until(async () => expect(await causes()).toEqual({ DONE: 9, SUPPRESSED: 1 }));
    const bodies = world.transport.arrivals.map((arrival) => arrival.body);
    expect(bodies.filter((body) => body.startsWith('two'))).toHaveLength(9);
    expect(bodies).not.toContain('two Lead3 X');
  });

  it('who writes back gets no further step, and the reply brings him into the sequence that listens, through the device he wrote to', async () => {
    await open();
    const devices = await world.devices(2);
    await world.ownership.grant(devices);
    await leads(4);
    const answered = await flow({
      kind: 'SEQUENCE',
      lane: 'normal',
      audience: null,
      steps: [{ delayMs: 0, template: 'thanks {{name}}' }],
      rules: [{ does: 'ENROL', kind: 'REPLY', value: '' }],
    });
    await set(answered, 'RUNNING');
    await set(
      await flow({
        kind: 'SEQUENCE',
        lane: 'normal',
        steps: [
          { delayMs: 0, template: 'one {{name}}' },
          { delayMs: 10_000, template: 'two {{name}}' },
        ],
        rules: [{ does: 'END', kind: 'REPLY', value: '' }],
      }),
      'RUNNING',
    );
    await until(() => expect(world.transport.arrivals.filter((arrival) => arrival.body.startsWith('one'))).toHaveLength(4));
    const first = world.transport.arrivals.find((arrival) => arrival.body === 'one Lead2 X');
    const other = devices.find((device) => device !== first?.deviceId) ?? '';
    await world.transport.events
      .get(other)
      ?.inbound({ id: 'r', from: '+15550000002', fromLid: null, body: 'who is this?', at: systemClock.wall() });
    await until(async () => expect(await causes()).toEqual({ DONE: 4, REPLIED: 1 }));
    const bodies = world.transport.arrivals.map((arrival) => arrival.body);
    expect(bodies.filter((body) => body.startsWith('two'))).toHaveLength(3);
    expect(bodies).not.toContain('two Lead2 X');
    expect(world.transport.arrivals.find((arrival) => arrival.body === 'thanks Lead2 X')?.deviceId).toBe(other);
  });

  it('a lead without what the text needs gets none, and its enrolment says so', async () => {
    await open();
    const devices = await world.devices(1);
    await world.ownership.grant(devices);
    await leads(2);
    await set(await flow({ steps: [{ delayMs: 0, template: 'Hi {{city}}' }] }), 'RUNNING');
    await until(async () => expect(await causes()).toEqual({ NO_TEXT: 2 }));
    expect(world.transport.arrivals).toEqual([]);
  });
});
