import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import type { FlowNow, FlowProgressUpdate, LiveFeed } from '../../schema/graphql/index.ts';

/**
 * Campaigns whose progress somebody watches here, counted for as long as somebody does.
 * Owns: the last count of each watched campaign, and when to count again. Called by streams.ts.
 * I1 One count of a campaign is under way at a time, however many watch it, and the next begins a second later at the earliest. A count that takes long
 *    is followed by a longer rest, nineteen times as long, but 15 s at most: on a machine that is short of CPU everything takes long.
 * I2 Who watches is told of a change and of nothing else; `seq` rises by one with each.
 * I3 What nobody watches is not counted.
 */
export interface FlowProgressFeeds {
  /** the caller has checked that the campaign is the tenant's */
  feed(tenantId: string, id: string): LiveFeed<FlowProgressUpdate>;
  close(): void;
}
export interface FlowProgressDeps {
  /** null: the tenant has no such campaign */
  readonly read: (tenantId: string, id: string) => Promise<FlowNow | null>;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'log'>;
}

const EVERY_MS = 1000;
/** after a count so many times as long as it took */
const REST = 19;
const MOST_MS = 15_000;

interface Watched {
  readonly tenantId: string;
  readonly id: string;
  readonly epoch: string;
  readonly listeners: Set<() => void>;
  readonly ready: Promise<void>;
  readonly begun: () => void;
  seq: number;
  update: FlowProgressUpdate | undefined;
  /** what was told last, to compare with */
  said: string;
  state: 'idle' | 'counting' | 'waiting';
  cancel: () => void;
}

/** What a change is: the campaign, its leads by place, and what its speed is reckoned from. */
function wordsOf({ flow, places, steps }: FlowNow): string {
  return JSON.stringify([flow, places, steps.reduce((sum, { sent }) => sum + sent, 0)]);
}

export function createFlowProgress({ read, clock, telemetry }: FlowProgressDeps): FlowProgressFeeds {
  const watched = new Map<string, Watched>();
  let closed = false;

  const make = (tenantId: string, id: string): Watched => {
    let begun = (): void => {};
    const ready = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const epoch = uuidV7(clock.wall());
    const none = { seq: 0, update: undefined, said: '', state: 'idle', cancel: () => {} } as const;
    return { tenantId, id, epoch, listeners: new Set(), ready, begun, ...none };
  };
  const take = (one: Watched, now: FlowNow | null): void => {
    one.begun();
    if (now === null) return;
    const places = [...now.places].sort((a, b) => (a.place < b.place ? -1 : 1));
    const said = wordsOf({ ...now, places });
    if (said === one.said) return;
    one.said = said;
    one.seq += 1;
    one.update = { ...now, places, epoch: one.epoch, seq: one.seq, asOf: clock.wall() };
    for (const listener of one.listeners) listener();
  };
  const rest = (key: string, one: Watched, tookMs: number): void => {
    one.state = 'idle';
    if (closed) return;
    if (one.listeners.size === 0) {
      if (watched.get(key) === one) watched.delete(key);
      return;
    }
    one.state = 'waiting';
    one.cancel = clock.after(Math.min(MOST_MS, Math.max(EVERY_MS, tookMs * REST)), () => count(key, one), { background: true });
  };
  const count = (key: string, one: Watched): void => {
    one.state = 'counting';
    const began = clock.monotonic();
    read(one.tenantId, one.id)
      // the next count may find the ledger again; who watches keeps what it was told
      .then(
        (now) => take(one, now),
        (error: unknown) => telemetry.log.warn('progress.count', {}, error),
      )
      .finally(() => rest(key, one, clock.monotonic() - began));
  };

  return {
    feed(tenantId, id) {
      const key = `${tenantId} ${id}`;
      let one = watched.get(key) ?? make(tenantId, id);
      return {
        kind: 'state',
        ready: () => one.ready,
        top: () => ({ epoch: one.epoch, seq: one.seq }),
        version: () => 0,
        snapshot: () => one.update,
        range(from) {
          if (from.epoch !== one.epoch || from.seq > one.seq) return { kind: 'gap' };
          return { kind: 'updates', updates: one.update === undefined || from.seq === one.seq ? [] : [one.update] };
        },
        watch(listener) {
          one = watched.get(key) ?? one;
          watched.set(key, one);
          one.listeners.add(listener);
          if (one.state === 'idle') count(key, one);
          const mine = one;
          return () => {
            mine.listeners.delete(listener);
            if (mine.listeners.size > 0 || mine.state !== 'waiting') return;
            mine.cancel();
            mine.state = 'idle';
            if (watched.get(key) === mine) watched.delete(key);
          };
        },
      };
    },
    close() {
      closed = true;
      for (const one of watched.values()) one.cancel();
      watched.clear();
    },
  };
}
