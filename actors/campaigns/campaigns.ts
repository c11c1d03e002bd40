import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { FLOWS_CHANNEL, type MessageEventRecord, uuidV7 } from '../../schema/domain/index.ts';
import {
  applyStops,
  endEnrolments,
  enrolChunk,
  finishFlows,
  flowCandidates,
  liveFlows,
  planMessages,
  type RefillEntry,
  type SqlRunner,
  startScheduledFlows,
  takeCeilings,
} from '../../schema/sql/index.ts';
import { createEnroller } from './enroller.ts';
import { createPlanner, type PlannerSlot } from './planner.ts';

/** What a node does for campaigns and sequences: enrolling and planning, wired to the real statements and the flows' bell. */
export interface Campaigns {
  events(events: readonly MessageEventRecord[]): void;
  close(): Promise<void>;
}

export interface CampaignsDeps {
  readonly sql: SqlRunner;
  readonly slots: ReadonlyMap<string, PlannerSlot>;
  readonly enqueue: (entries: readonly RefillEntry[]) => Promise<void>;
  readonly subscribe: (channel: string, handler: (text: string) => void) => Promise<void>;
  readonly publish: (channel: string, text: string) => Promise<unknown>;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
}

/** ends of enrolments that are made up for in one round */
const STOPS = 1000;

export function startCampaigns(deps: CampaignsDeps, options: { readonly enrolPerSecond: number }): Campaigns {
  const { sql, clock, telemetry } = deps;
  const planner = createPlanner({
    statements: {
      liveFlows: () => liveFlows(sql),
      candidates: (asks) => flowCandidates(sql, asks),
      plan: (items) => planMessages(sql, items),
      take: (asks) => takeCeilings(sql, asks),
      end: (items) => endEnrolments(sql, items),
    },
    slots: deps.slots,
    enqueue: deps.enqueue,
    newId: () => uuidV7(clock.wall()),
    clock,
    telemetry,
  });
  const enroller = createEnroller(
    {
      enrolChunk: (leads) => enrolChunk(sql, leads),
      startScheduled: () => startScheduledFlows(sql),
      finish: () => finishFlows(sql),
      stops: () => applyStops(sql, STOPS),
      ring: (tenantId) => {
        deps.publish(FLOWS_CHANNEL, tenantId).catch((error: unknown) => telemetry.log.warn('flows.ring', {}, error));
      },
      clock,
      telemetry,
    },
    { perSecond: options.enrolPerSecond },
  );
  deps
    .subscribe(FLOWS_CHANNEL, (tenantId) => {
      planner.rang(tenantId);
      enroller.rang();
    })
    .catch((error: unknown) => telemetry.log.warn('flows.subscribe', {}, error));
  planner.start();
  enroller.start();
  return {
    events: (events) => planner.events(events),
    async close() {
      await Promise.all([planner.close(), enroller.close()]);
    },
  };
}
