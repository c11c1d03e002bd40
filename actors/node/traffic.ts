import type { Clock } from '../../ops/lifecycle/index.ts';
import type { MessageState } from '../../schema/domain/index.ts';
import { TRAFFIC_BUCKET_MS, type TrafficRow } from '../../schema/sql/index.ts';

/** Counts of messages per tenant and 10 s, gathered in memory and handed over now and then; a crash loses the last seconds of a rate. */
export interface Traffic {
  note(tenantId: string, state: MessageState): void;
  /** what was counted since the last call */
  take(): TrafficRow[];
  /** takes back what could not be written */
  give(rows: readonly TrafficRow[]): void;
}

export function createTraffic(clock: Clock, node: string): Traffic {
  let counts = new Map<string, TrafficRow>();
  const add = (row: TrafficRow): void => {
    const key = `${row.tenantId} ${row.bucketMs}`;
    const had = counts.get(key);
    counts.set(
      key,
      had === undefined
        ? row
        : { ...had, sent: had.sent + row.sent, delivered: had.delivered + row.delivered, failed: had.failed + row.failed },
    );
  };
  return {
    note(tenantId, state) {
      const sent = state === 'SENT' ? 1 : 0;
      const delivered = state === 'DELIVERED' ? 1 : 0;
      const failed = state === 'FAILED' || state === 'DEAD' ? 1 : 0;
      if (sent + delivered + failed === 0) return;
      const wall = clock.wall();
      add({ tenantId, bucketMs: wall - (wall % TRAFFIC_BUCKET_MS), node, sent, delivered, failed });
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
