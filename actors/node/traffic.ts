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

/** Durations as counts by class, counted up in place; as long as the highest class that was seen. */
class Durations {
  readonly counts: number[] = [];
  add(ms: number): void {
    const at = Math.min(DURATION_CLASSES - 1, durationClass(ms));
    while (this.counts.length <= at) this.counts.push(0);
    this.counts[at] = (this.counts[at] ?? 0) + 1;
  }
}

/** What one tenant's messages did in one bucket: every message counts here, so nothing is made anew for it. */
class Bucket {
  sent = 0;
  delivered = 0;
  failed = 0;
  readonly processing = new Durations();
  readonly latency = new Durations();
}

export function createTraffic(clock: Clock, node: string): Traffic {
  /** by tenant, of the present bucket */
  let present = new Map<string, Bucket>();
  let presentMs = 0;
  let past = new Map<string, TrafficRow>();

  const add = (row: TrafficRow): void => {
    const key = `${row.tenantId} ${row.bucketMs}`;
    const had = past.get(key);
    past.set(key, had === undefined ? row : { ...row, ...addCounts(had, row) });
  };
  const turnOver = (): void => {
    for (const [tenantId, { processing, latency, ...counts }] of present) {
      add({ tenantId, bucketMs: presentMs, node, ...counts, processing: processing.counts, latency: latency.counts });
    }
    present = new Map();
  };
  const bucketOf = (tenantId: string, wall: number): Bucket => {
    // a clock that was stepped back begins an old bucket again, which adds up with what it had
    if (wall < presentMs || wall >= presentMs + TRAFFIC_BUCKET_MS) {
      turnOver();
      presentMs = wall - (wall % TRAFFIC_BUCKET_MS);
    }
    const known = present.get(tenantId);
    if (known !== undefined) return known;
    const made = new Bucket();
    present.set(tenantId, made);
    return made;
  };
  return {
    note(tenantId, { messageId, state, tookMs }) {
      const failed = state === 'FAILED' || state === 'DEAD';
      const took = tookMs !== undefined && (failed || state === 'SENT' || state === 'WRITTEN') ? tookMs : undefined;
      if (!failed && took === undefined && state !== 'SENT' && state !== 'DELIVERED') return;
      const wall = clock.wall();
      const bucket = bucketOf(tenantId, wall);
      if (failed) bucket.failed += 1;
      else if (state === 'DELIVERED') bucket.delivered += 1;
      else if (state === 'SENT') {
        bucket.sent += 1;
        // a message's id carries when it was accepted
        bucket.latency.add(wall - timeOfUuidV7(messageId));
      }
      if (took !== undefined) bucket.processing.add(took);
    },
    take() {
      turnOver();
      const rows = [...past.values()];
      past = new Map();
      return rows;
    },
    give(rows) {
      for (const row of rows) add(row);
    },
  };
}
