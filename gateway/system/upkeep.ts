import type { Sql } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { AcceptItem, AcceptOutcome } from '../../schema/sql/index.ts';
import {
  addTraffic,
  deletedWithBacklog,
  foldReports,
  sampleFleets,
  TRAFFIC_BUCKET_MS,
  type TrafficRow,
  trimHistory,
  trimReports,
} from '../../schema/sql/index.ts';

/**
 * What a gateway does beside answering: counts what it accepted into the history, samples queue depths, folds reports, forgets old history and uploaded files; goes on ending
 * the messages of deleted devices.
 * Owns: counts not yet written. Safe in any number of gateways: sampling is done once a minute whoever asks, the rest may be done twice.
 * P1 Nothing here fails or delays an answer; what fails is logged and tried again at the next round.
 */
export interface Upkeep {
  /** counts what `send` accepts */
  counted<A extends { send(item: AcceptItem, deadline?: number): Promise<AcceptOutcome> }>(accept: A): A;
  start(): void;
  /** writes what was counted; ends the rounds */
  close(): Promise<void>;
}
export interface UpkeepDeps {
  readonly sql: Sql;
  /** this gateway's name in the history */
  readonly id: string;
  /** ends what a deleted device has queued */
  readonly endMessages: (deviceId: string) => Promise<number>;
  /** forgets uploaded files whose time is over */
  readonly purgeUploads: () => Promise<unknown>;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'log'>;
}

const COUNT_MS = 5_000;
/** a few looks a minute, so that a minute is sampled though a gateway or a look is lost */
const SAMPLE_MS = 20_000;
const TRIM_MS = 600_000;
/** reports are behind by this much. Guess: a step of a device is written once for the messages of so long */
const FOLD_MS = 15_000;
/** statements of one round */
const FOLD_CHUNKS = 200;
const TRIM_CHUNK = 2_000;
const TRIM_CHUNKS = 100;
const TRIM_REST_MS = 50;
const DELETED_MS = 15_000;
const DELETED_AT_ONCE = 50;

export function createUpkeep(deps: UpkeepDeps): Upkeep {
  const { sql, clock, telemetry } = deps;
  let counts = new Map<string, TrafficRow>();
  const cancels = new Map<string, () => void>();
  let closed = false;

  const count = (tenantId: string): void => {
    const wall = clock.wall();
    const bucketMs = wall - (wall % TRAFFIC_BUCKET_MS);
    const key = `${tenantId} ${bucketMs}`;
    const known = counts.get(key);
    counts.set(key, { tenantId, bucketMs, node: deps.id, sent: 0, delivered: 0, failed: 0, accepted: (known?.accepted ?? 0) + 1 });
  };
  const write = async (): Promise<void> => {
    const rows = counts;
    counts = new Map();
    // a repeat would count twice: what fails is lost, and said
    await addTraffic(sql, [...rows.values()]);
  };
  const every = (name: string, ms: number, work: () => Promise<unknown>): void => {
    const round = (): void => {
      work()
        .catch((error: unknown) => telemetry.log.warn('upkeep.failed', { what: name }, error))
        .finally(() => {
          if (!closed) cancels.set(name, clock.after(ms, round, { background: true }));
        });
    };
    cancels.set(name, clock.after(ms, round, { background: true }));
  };
  return {
    counted: (accept) => ({
      ...accept,
      async send(item, deadline) {
        const outcome = await accept.send(item, deadline);
        if (outcome.kind === 'accepted') count(item.tenantId);
        return outcome;
      },
    }),
    start() {
      every('counts', COUNT_MS, write);
      every('samples', SAMPLE_MS, () => sampleFleets(sql));
      every('reports', FOLD_MS, () => foldReports(sql, FOLD_CHUNKS));
      every('trim', TRIM_MS, async () => {
        await trimHistory(sql);
        for (let n = 0; n < TRIM_CHUNKS && (await trimReports(sql, TRIM_CHUNK)) > 0; n++) await clock.sleep(TRIM_REST_MS);
      });
      every('uploads', TRIM_MS, deps.purgeUploads);
      every('deleted', DELETED_MS, async () => {
        for (const { id } of await deletedWithBacklog(sql, DELETED_AT_ONCE)) await deps.endMessages(id);
      });
    },
    async close() {
      closed = true;
      for (const cancel of cancels.values()) cancel();
      await write().catch((error: unknown) => telemetry.log.warn('upkeep.failed', { what: 'counts' }, error));
    },
  };
}
