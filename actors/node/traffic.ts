import type { Clock } from '../../ops/lifecycle/index.ts';
import { DURATION_CLASSES, durationClass, type MessageState, timeOfUuidV7 } from '../../schema/domain/index.ts';
import { addCounts, TRAFFIC_BUCKET_MS, type TrafficRow } from '../../schema/sql/index.ts';

/** Counts of messages per tenant and 10 s, gathered in memory and handed over now and then; a crash loses the last seconds of a rate. */
export interface Traffic {
  /** `tookMs`: from the intent to the recorded outcome, when this process knows it */
  note(tenantId: string, said: { readonly messageId: string; readonly state: MessageState; readonly tookMs?: number }): void;
  /** what was counted since the last call */
  take(): TrafficRow[];
  /** takes back what could not be written */
  give(rows: readonly TrafficRow[]): void;
}

/** One duration, as counts by class. */
function one(ms: number): number[] {
  const counts: number[] = Array(Math.min(DURATION_CLASSES, durationClass(ms) + 1)).fill(0);
  counts[counts.length - 1] = 1;
  return counts;
}

export function createTraffic(clock: Clock, node: string): Traffic {
  let counts = new Map<string, TrafficRow>();
  const add = (row: TrafficRow): void => {
    const key = `${row.tenantId} ${row.bucketMs}`;
    const had = counts.get(key);
    counts.set(key, had === undefined ? row : { ...row, ...addCounts(had, row) });
  };
  return {
    note(tenantId, { messageId, state, tookMs }) {
      const sent = state === 'SENT' ? 1 : 0;
      const delivered = state === 'DELIVERED' ? 1 : 0;
      const failed = state === 'FAILED' || state === 'DEAD' ? 1 : 0;
      const processing = tookMs !== undefined && (state === 'SENT' || state === 'WRITTEN' || failed === 1) ? one(tookMs) : [];
      if (sent + delivered + failed + processing.length === 0) return;
      const wall = clock.wall();
      // a message's id carries when it was accepted
      const latency = sent === 1 ? one(wall - timeOfUuidV7(messageId)) : [];
      add({ tenantId, bucketMs: wall - (wall % TRAFFIC_BUCKET_MS), node, sent, delivered, failed, processing, latency });
    },
    take() {
      const rows = [...counts.values()];
      counts = new Map();
      return rows;
    },
    give(rows) {
      for (const row of rows) add(row);
    },
  };
}
