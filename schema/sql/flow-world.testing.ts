import { expect } from 'vitest';
import {
  createFlow,
  type EnrolledChunk,
  enrolChunk,
  flowCandidates,
  importLeads,
  intent,
  type NewFlow,
  planMessages,
  result,
  setFlowState,
} from './index.ts';
import { newId, type World } from './test-world.ts';

/** Leads, flows and what becomes of them, in short words. For the tests of this folder. */
export type FlowWorld = ReturnType<typeof createFlowWorld>;

export interface EnrolmentRow {
  readonly device_id: string;
  readonly step: number;
  readonly waiting: boolean;
  readonly message_id: string | null;
  readonly cause: string | null;
}

export function createFlowWorld(world: World) {
  let phones = 0;
  const leads = async (tenantId: string, count: number, change: { tags?: string[]; stage?: string } = {}): Promise<void> => {
    const made = await importLeads(
      world.sql,
      Array.from({ length: count }, (_, n) => ({
        id: newId(),
        tenantId,
        phone: `+1555${String(++phones).padStart(7, '0')}`,
        name: `Lead ${n}`,
        tags: change.tags ?? [],
        niche: null,
        stage: change.stage ?? null,
        attributes: { city: 'Ulm' },
        consentSource: null,
        consentAt: null,
      })),
    );
    expect(made).toEqual({ made: count, changed: 0 });
  };
  const flow = async (tenantId: string, change: Partial<NewFlow> = {}): Promise<{ readonly id: string; readonly no: number }> => {
    const id = newId();
    const no = await createFlow(world.sql, {
      id,
      tenantId,
      kind: 'CAMPAIGN',
      name: id,
      lane: 'high',
      audience: {},
      deviceIds: null,
      hours: null,
      startAt: null,
      nextFlowId: null,
      steps: [{ delayMs: 0, template: 'hi' }],
      ...change,
    });
    if (no === null) throw new Error('no flow');
    return { id, no };
  };
  const run = async (tenantId: string, id: string, leadsAtATime = 1000): Promise<EnrolledChunk[]> => {
    expect(await setFlowState(world.sql, tenantId, id, 'RUNNING')).toEqual({ state: 'RUNNING', changed: true });
    const chunks: EnrolledChunk[] = [];
    for (let chunk = await enrolChunk(world.sql, leadsAtATime); chunk !== null; chunk = await enrolChunk(world.sql, leadsAtATime))
      chunks.push(chunk);
    return chunks;
  };
  const enrolments = async (flowNo: number): Promise<readonly EnrolmentRow[]> =>
    world.sql.unsafe<EnrolmentRow[]>(
      `select d.id as device_id, e.step, e.due_at is not null as waiting, e.message_id, e.cause
       from enrolments e join devices d on d.no = e.device_no where e.flow_no = $1 order by e.lead_no`,
      [flowNo],
    );
  /** plans what is due; the first message */
  const planDue = async (tenantId: string, deviceId: string, epoch: number, flowNo: number): Promise<string | undefined> => {
    const found = (await flowCandidates(world.sql, [{ deviceId, flowNo, room: 5 }])).filter((one) => one.notDueMs <= 0);
    const ids = found.map(() => newId());
    const outcomes = await planMessages(
      world.sql,
      found.map((one, n) => ({
        flowNo,
        leadNo: one.leadNo,
        step: one.step,
        messageId: ids[n] ?? '',
        tenantId,
        deviceId,
        epoch,
        lane: 'high' as const,
        recipient: one.phone ?? '',
        recipientLid: one.lid,
        body: 'hi',
      })),
    );
    return outcomes[0]?.kind === 'planned' ? ids[0] : undefined;
  };
  const planOne = async (tenantId: string, deviceId: string, epoch: number, flowNo: number): Promise<string> => {
    const message = await planDue(tenantId, deviceId, epoch, flowNo);
    if (message === undefined) throw new Error('nothing was planned');
    return message;
  };
  /** a tenant with a device that is owned, one lead, and a flow that runs with it */
  const ready = async (change: Partial<NewFlow> = {}) => {
    const tenantId = await world.tenant();
    const [deviceId = ''] = await world.devices(1, { tenantId });
    const epoch = await world.own(deviceId);
    await leads(tenantId, 1);
    const made = await flow(tenantId, change);
    await run(tenantId, made.id);
    const plan = (flowNo = made.no): Promise<string | undefined> => planDue(tenantId, deviceId, epoch, flowNo);
    const send = async (messageId: string, state: 'SENT' | 'FAILED' | 'UNKNOWN' = 'SENT', attempt = 1): Promise<void> => {
      expect(await intent(world.sql, [world.intentItem(deviceId, epoch, messageId, { resendUnknown: true })])).toMatchObject([
        { verdict: 'PASS' },
      ]);
      await result(world.sql, [world.resultItem(deviceId, epoch, messageId, state, { attempt })]);
    };
    return { ...made, tenantId, deviceId, epoch, plan, send };
  };
  return { leads, flow, run, enrolments, planOne, ready };
}
