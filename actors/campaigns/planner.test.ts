import { describe, expect, it } from 'vitest';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { MessageEventRecord } from '../../schema/domain/index.ts';
import type { PlanItem } from '../../schema/sql/index.ts';
import { createPlanner } from './planner.ts';

const DEVICE = 'd';
const TENANT = 't';

/** A planner of one device and one flow with leads without end, on a clock that the test turns. */
function world() {
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
      liveFlows: async () => [{ no: 1, tenantId: TENANT, lane: 'high', open: true, templates: ['hi'] }],
      candidates: async (asks) =>
        asks.flatMap((ask) =>
          Array.from({ length: ask.room }, () => {
            lead += 1;
            const phone = `+1555${lead}`;
            return { deviceId: ask.deviceId, flowNo: 1, leadNo: lead, step: 1, phone, lid: null, name: null, attributes: {}, notDueMs: 0 };
          }),
        ),
      plan: async (items) => {
        planned.push(...items);
        return items.map((_, index) => ({ kind: 'planned' as const, seq: index + 1 }));
      },
      end: async () => {},
    },
    slots: new Map([[DEVICE, { owned: { epoch: 1 }, row: { tenantId: TENANT, paused: false } }]]),
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
    planner.events([{ messageId: item.messageId, deviceId: DEVICE, state, cause, attempts: 0, at }]);
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
});
