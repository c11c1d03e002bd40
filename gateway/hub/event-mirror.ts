import type { LiveReader } from '../../actors/live/index.ts';
import { type LiveBatch, MESSAGE_RANK, type MessageEventRecord, PROOF_STATES } from '../../schema/domain/index.ts';
import type { LiveFeed, MessageEventUpdate } from '../../schema/graphql/index.ts';
import { createRing } from './ring.ts';

/**
 * One tenant's message events, the newest ones, each once and rising.
 * Owns: the ring, and of the last messages how far each has come. Called by streams.ts.
 * I1 An event's seq is its own (schema/domain LiveBatch), so a reader may stand between two events of one batch.
 * I2 Of one message an event is kept only if it lies ahead of those before it (`ahead`): a takeover says again what its
 *    predecessor may have said, and a late word of an older attempt comes after a newer one.
 */
export interface EventMirror {
  readonly ready: Promise<void>;
  events(filter: { readonly deviceId: string | null; readonly messageId: string | null }): LiveFeed<MessageEventUpdate>;
  watched(): boolean;
  close(): void;
}

/** How far a message has come: attempt first, then rank; proof of delivery beats every attempt and everything that is no proof. */
function progressOf(event: MessageEventRecord): number {
  const rank = MESSAGE_RANK[event.state];
  return PROOF_STATES.has(event.state) ? 1_000_000 + rank : Math.min(event.attempts, 50_000) * 16 + rank;
}

const REMEMBERED = 50_000;

export function createAhead(limit = REMEMBERED): { ahead(event: MessageEventRecord): boolean; clear(): void } {
  const progress = new Map<string, number>();
  return {
    ahead(event) {
      const before = progress.get(event.messageId);
      const now = progressOf(event);
      if (before !== undefined && now <= before) return false;
      progress.delete(event.messageId);
      progress.set(event.messageId, now);
      if (progress.size > limit) {
        const oldest = progress.keys().next().value;
        if (oldest !== undefined) progress.delete(oldest);
      }
      return true;
    },
    clear: () => progress.clear(),
  };
}

interface NumberedEvent {
  readonly seq: number;
  readonly event: MessageEventRecord;
}

export function createEventMirror(reader: LiveReader, tenantId: string): EventMirror {
  const ring = createRing<NumberedEvent>({ batches: 2_000, records: 20_000 });
  const listeners = new Set<() => void>();
  const seen = createAhead();
  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  const sifted = (batch: LiveBatch<MessageEventRecord>): LiveBatch<NumberedEvent> => {
    const records: NumberedEvent[] = [];
    const first = batch.seq - batch.records.length + 1;
    for (const [index, event] of batch.records.entries()) if (seen.ahead(event)) records.push({ seq: first + index, event });
    return { ...batch, records };
  };
  const subscription = reader.open(tenantId, 'messages', {
    reset(position, _records, history) {
      seen.clear();
      ring.reset(position, history.map(sifted));
      tell();
    },
    batch(batch) {
      ring.push(sifted(batch));
      tell();
    },
  });
  return {
    ready: subscription.ready,
    watched: () => listeners.size > 0,
    events: ({ deviceId, messageId }) => ({
      kind: 'events',
      ready: () => subscription.ready,
      top: ring.top,
      version: () => 0,
      snapshot: () => undefined,
      watch(listener) {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
      range(from) {
        const batches = ring.after(from);
        if (batches === undefined) return { kind: 'gap' };
        const updates: MessageEventUpdate[] = [];
        for (const batch of batches) {
          for (const { seq, event } of batch.records) {
            const mine = (deviceId === null || event.deviceId === deviceId) && (messageId === null || event.messageId === messageId);
            if (mine && seq > from.seq) updates.push({ epoch: batch.epoch, seq, event });
          }
        }
        return { kind: 'updates', updates };
      },
    }),
    close() {
      subscription.close();
      listeners.clear();
    },
  };
}
