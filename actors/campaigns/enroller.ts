import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { EnrolledChunk } from '../../schema/sql/index.ts';

/**
 * Enrols leads in the flows that were started, chunk by chunk, starts the flows whose hour has come, and ends the campaigns that are through. Every
 * node runs one; Postgres gives each flow to one of them at a time and keeps its place, so any of them may die at any moment.
 */
export interface Enroller {
  start(): void;
  /** a flow was started */
  rang(): void;
  close(): Promise<void>;
}
export interface EnrollerDeps {
  readonly enrolChunk: (leads: number) => Promise<EnrolledChunk | null>;
  readonly startScheduled: () => Promise<readonly string[]>;
  /** ends the campaigns that are through */
  readonly finish: () => Promise<readonly string[]>;
  /** makes up for ends of enrolments that could not be had at the time */
  readonly stops: () => Promise<unknown>;
  /** tells every planner that a tenant has new enrolments */
  readonly ring: (tenantId: string) => void;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
}

const IDLE_MS = 1000;
/** a campaign that is through says so within this */
const FINISH_MS = 5000;
/** the first chunk is small, so that the first message goes at once */
const FIRST = 2000;
const CHUNK = 20_000;

/** @param options.perSecond leads looked at a second at most (ENROL_PER_SECOND) */
export function createEnroller(deps: EnrollerDeps, options: { readonly perSecond: number }): Enroller {
  const { clock, telemetry } = deps;
  let closed = false;
  let cancel: (() => void) | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  let size = FIRST;
  let finishAt = 0;

  const round = async (): Promise<number> => {
    for (const tenantId of await deps.startScheduled()) deps.ring(tenantId);
    await deps.stops();
    if (clock.monotonic() >= finishAt) {
      finishAt = clock.monotonic() + FINISH_MS;
      for (const tenantId of await deps.finish()) deps.ring(tenantId);
    }
    const began = clock.monotonic();
    const chunk = await deps.enrolChunk(Math.min(size, options.perSecond));
    if (chunk === null) {
      size = FIRST;
      return IDLE_MS;
    }
    telemetry.count('enrolled', chunk.enrolled);
    deps.ring(chunk.tenantId);
    const least = (Math.min(size, options.perSecond) / options.perSecond) * 1000;
    size = CHUNK;
    return Math.max(1, least - (clock.monotonic() - began));
  };
  const arm = (ms: number): void => {
    if (closed) return;
    cancel = clock.after(ms, () => {
      running = round()
        .catch((error: unknown) => {
          telemetry.log.warn('enroller.round', {}, error);
          return IDLE_MS;
        })
        .then((wait) => {
          running = undefined;
          arm(again ? 1 : wait);
          again = false;
        });
    });
  };
  return {
    start: () => arm(IDLE_MS),
    rang() {
      if (running !== undefined) again = true;
      else {
        cancel?.();
        arm(1);
      }
    },
    async close() {
      closed = true;
      cancel?.();
      await running;
    },
  };
}
