import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { MessageEventRecord } from '../../schema/domain/index.ts';
import type { RedriveChunk, RefillEntry } from '../../schema/sql/index.ts';

/**
 * Works off redrives, chunk by chunk. Every node runs one; Postgres gives each redrive to one of them at a time and keeps its place, so any of them may
 * die at any moment.
 *
 * Owns nothing but its timer. Called by its own clock.
 * V1 One chunk is under way at a time; a chunk is one autocommit statement (redrive-chunk.sql).
 * V2 Mailboxes and watchers are told after the commit; what dies between is found by the owners' refill sweep.
 */
export interface Redriver {
  start(): void;
  /** resolves when no chunk is under way */
  close(): Promise<void>;
}
export interface RedriverDeps {
  readonly chunk: () => Promise<RedriveChunk | null>;
  readonly enqueue: (entries: readonly RefillEntry[]) => Promise<void>;
  readonly publish: (tenantId: string, events: readonly MessageEventRecord[]) => void;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
}

/** between two looks when nothing is to do */
const IDLE_MS = 1000;
/** between two chunks: others have their turn at the rows meanwhile */
const REST_MS = 5;
/** after a failure: the store is away */
const AWAY_MS = 5000;

export function createRedriver(deps: RedriverDeps): Redriver {
  const { clock, telemetry } = deps;
  let closed = false;
  let cancel: (() => void) | undefined;
  let running = Promise.resolve();

  const round = async (): Promise<number> => {
    const chunk = await deps.chunk();
    if (chunk === null) return IDLE_MS;
    const { tenantId, messages } = chunk;
    telemetry.count('redriven', messages.length);
    if (chunk.last) telemetry.log.info('redrive.done', { redrive: chunk.redriveId });
    if (messages.length === 0) return REST_MS;
    const at = clock.wall();
    deps.publish(
      tenantId,
      messages.map(({ messageId, deviceId, attempt }) => ({
        messageId,
        deviceId,
        state: 'QUEUED',
        cause: 'REDRIVEN',
        attempts: attempt,
        at,
      })),
    );
    await deps.enqueue(
      messages.map(({ deviceId, lane, seq, messageId, traceparent }) => ({ deviceId, lane, seq, messageId, traceparent })),
    );
    return REST_MS;
  };
  const arm = (ms: number): void => {
    if (closed) return;
    cancel = clock.after(ms, () => {
      running = round().then(arm, (error: unknown) => {
        telemetry.log.warn('redriver.round', {}, error);
        arm(AWAY_MS);
      });
    });
  };
  return {
    start: () => arm(IDLE_MS),
    async close() {
      closed = true;
      cancel?.();
      await running;
    },
  };
}
