import { describe, expect, it } from 'vitest';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { MessageEventRecord } from '../../schema/domain/index.ts';
import type { PlanItem } from '../../schema/sql/index.ts';
import { createPlanner } from './planner.ts';

const DEVICE = 'd';
const TENANT = 't';

/**
 * A planner of some devices and one flow with leads without end, on a clock that the test turns. `leave`: of a ceiling; `variants`: texts that leads
 * get in turn.
 */
function world(
  devices: readonly string[] = [DEVICE],
  leave?: (wanted: number, at: number) => { readonly many: number; readonly waitMs: number },
  variants: readonly string[] = [],
) {
  let at = 1000;
  let timers: { readonly due: number; readonly run: () => void }[] = [];
  const clock = {
    monotonic: () => at,
    after(ms: number, run: () => void) {
      const timer = { due: at + ms, run };
      timers.push(timer);
      return () => {
        timers = timers.filter((one) => one !== timer);
      };
    },
  } as unknown as Clock;
  const planned: PlanItem[] = [];
  let lead = 0;
  let messages = 0;
  const planner = createPlanner({
    statements: {
      liveFlows: async () => [
        { no: 1, tenantId: TENANT, lane: 'high', open: true, capped: leave !== undefined, templates: ['hi'], variants },
      ],
      candidates: async (asks) =>
        asks.flatMap((ask) =>
          Array.from({ length: ask.room }, () => {
            lead += 1;
            const variant = variants.length === 0 ? null : 1 + (lead % variants.length);
            const one = { phone: `+1555${lead}`, lid: null, name: null, attributes: {}, notDueMs: 0 };
            return { deviceId: ask.deviceId, flowNo: 1, leadNo: lead, step: 1, variant, ...one };
          }),
        ),
      plan: async (items) => {
        planned.push(...items);
        return items.map((_, index) => ({ kind: 'planned' as const, seq: index + 1 }));
      },
      take: async (asks) => asks.map(({ flowNo, wanted }) => ({ flowNo, ...(leave?.(wanted, at) ?? { many: wanted, waitMs: 0 }) })),
      end: async () => {},
    },
    slots: new Map(devices.map((id) => [id, { owned: { epoch: 1 }, row: { tenantId: TENANT, paused: false } }])),
    enqueue: async () => {},
    newId: () => {
      messages += 1;
      return `m${messages}`;
    },
    clock,
    telemetry: { count: () => {}, log: { warn: () => {} } } as never,
  });
  /** lets rounds run until nothing is planned any more */
  const turn = async (ms: number): Promise<void> => {
    for (const end = at + ms; at < end; ) {
      at += 100;
      const due = timers.filter((timer) => timer.due <= at);
      timers = timers.filter((timer) => timer.due > at);
      for (const timer of due) timer.run();
      for (let n = 0; n < 30; n++) await Promise.resolve();
    }
  };
  const say = (item: PlanItem, state: MessageEventRecord['state'], cause: string | null): void =>
    planner.events([{ messageId: item.messageId, deviceId: item.deviceId, state, cause, attempts: 0, at }]);
  return { planner, planned, turn, say };
}

describe('the planner', () => {
  it('goes on when all that it planned was set aside, and not while they only wait for another try (P4)', async () => {
    const { planner, planned, turn, say } = world();
    planner.start();
    await turn(2000);
    const first = [...planned];
    expect(first.length).toBeGreaterThan(0);
    await turn(20_000);
    expect(planned).toHaveLength(first.length);
    for (const item of first) say(item, 'QUEUED', 'RATE_LIMITED');
    await turn(20_000);
    expect(planned).toHaveLength(first.length);
    for (const item of first) say(item, 'QUEUED', 'COLD_PAUSED');
    await turn(20_000);
    expect(planned.length).toBeGreaterThan(first.length);
    await planner.close();
  });

  it('writes to each lead the text of its variant, and that of the step where the flow has none', async () => {
    const both = world([DEVICE], undefined, ['A {{phone}}', 'B {{phone}}']);
    both.planner.start();
    await both.turn(2000);
    expect(both.planned.length).toBeGreaterThan(1);
    for (const { leadNo, body, recipient } of both.planned) expect(body).toBe(`${leadNo % 2 === 0 ? 'A' : 'B'} ${recipient}`);
    await both.planner.close();
    const one = world();
    one.planner.start();
    await one.turn(2000);
    expect(new Set(one.planned.map(({ body }) => body))).toEqual(new Set(['hi']));
    await one.planner.close();
  });

  it('makes of a flow with a ceiling what it has leave for, one a device at a time, and every device has its turn (P5)', async () => {
    const devices = Array.from({ length: 40 }, (_, n) => `d${n}`);
    // five seconds' worth of a message a second, over and over
    let free = 0;
    let asked = 0;
    const { planner, planned, turn, say } = world(devices, (wanted, at) => {
      asked += 1;
      const many = Math.min(wanted, Math.max(0, Math.floor((at - free) / 1000)));
      free = Math.max(free, at - 5000) + many * 1000;
      return { many, waitMs: many < wanted ? 1000 : 0 };
    });
    planner.start();
    await turn(1000);
    expect(planned.length).toBeLessThanOrEqual(5);
    for (let second = 0, seen = 0; second < 300; second++) {
      await turn(1000);
      // a round asks for all devices together
      for (; seen < planned.length; seen++) say(planned[seen] as PlanItem, 'SENT', null);
    }
    expect(planned.length).toBeGreaterThan(150);
    expect(planned.length).toBeLessThanOrEqual(306);
    expect(asked).toBeLessThanOrEqual(2 * 300);
    expect(new Set(planned.map((item) => item.deviceId)).size).toBe(devices.length);
    await planner.close();
  });
});
