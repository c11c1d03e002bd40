import type { Clock } from '../../../ops/lifecycle/index.ts';

/**
 * Virtual time, and everything that happens in it: one heap of events, delivered one by one in (time, order of making), each followed by all
 * promise reactions it causes. No real timer, no real I/O: the same seed gives the same events.
 *
 * Owns: the heap, the present party, the trace hash. Called by everything in a simulated world.
 * S1 One event at a time; whatever runs belongs to the party the event was made for (`current`).
 * S2 A frozen party's events wait for it while the clock goes on; a dead party's never come.
 * S3 Every delivered event goes into the hash: time, party, kind.
 */
export interface Party {
  readonly name: string;
  readonly index: number;
  state: 'up' | 'frozen' | 'dead';
  /** ms by which its wall clock is off */
  wallOffset: number;
  bootedAt: number;
  /** when it last went on after it had stood still */
  thawedAt: number;
  held: SimEvent[];
}
/** What an event is: goes into the hash and the trace. */
export type Kind = 'timer' | 'immediate' | 'request' | 'reply' | 'message' | 'phone' | 'world';
const KINDS: Readonly<Record<Kind, number>> = { timer: 1, immediate: 2, request: 3, reply: 4, message: 5, phone: 6, world: 7 };

export interface SimEvent {
  time: number;
  readonly order: number;
  readonly party: Party;
  readonly kind: Kind;
  readonly what: string;
  run: (() => void) | undefined;
}

export interface Scheduler {
  /** ms since the world began */
  now(): number;
  readonly current: Party;
  /** whoever is no process of the product: stores, faults */
  readonly world: Party;
  party(name: string): Party;
  /** `what`: shown in the trace; hashed by its length, so it costs nothing */
  at(ms: number, party: Party, kind: Kind, what: string, run: () => void): SimEvent;
  freeze(party: Party): void;
  thaw(party: Party): void;
  kill(party: Party): void;
  /** delivers events until this time */
  runUntil(ms: number): void;
  /** true when more events were delivered than any right world has: something goes round in circles */
  readonly endless: boolean;
  readonly delivered: number;
  hash(): string;
  /** wall time of the world, without anybody's offset */
  wall(): number;
}

/** When every world begins: a Wednesday noon, so that no day ends in it unless a clock is stepped. */
export const EPOCH_MS = 1_800_000_000_000;

const MOST_EVENTS = 600_000;

/** Runs all promise reactions there are (and what process.nextTick was given). Only while no other reaction is running. */
const drain = (process as unknown as { readonly _tickCallback?: () => void })._tickCallback;

export function createScheduler(trace: ((event: SimEvent) => void) | undefined): Scheduler {
  if (drain === undefined) throw new Error('simulation: this Node.js has no process._tickCallback');
  const react = drain;
  const heap: SimEvent[] = [];
  const parties: Party[] = [];
  let now = 0;
  let orders = 0;
  let delivered = 0;
  let low = 0x811c9dc5;
  let high = 0x9747b28c;

  const party = (name: string): Party => {
    const made: Party = {
      name,
      index: parties.length,
      state: 'up',
      wallOffset: 0,
      bootedAt: now,
      thawedAt: Number.NEGATIVE_INFINITY,
      held: [],
    };
    parties.push(made);
    return made;
  };
  const world = party('world');
  let current = world;

  const before = (a: SimEvent, b: SimEvent): boolean => a.time < b.time || (a.time === b.time && a.order < b.order);
  const push = (event: SimEvent): void => {
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] as SimEvent;
      if (!before(event, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = event;
  };
  const pop = (): SimEvent => {
    const top = heap[0] as SimEvent;
    const last = heap.pop() as SimEvent;
    const size = heap.length;
    if (size === 0) return top;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= size) break;
      if (down + 1 < size && before(heap[down + 1] as SimEvent, heap[down] as SimEvent)) down += 1;
      if (!before(heap[down] as SimEvent, last)) break;
      heap[at] = heap[down] as SimEvent;
      at = down;
    }
    heap[at] = last;
    return top;
  };

  const note = (event: SimEvent): void => {
    const mixed = (Math.round(now * 1000) ^ Math.imul(event.party.index, 0x9e3779b1) ^ Math.imul(KINDS[event.kind], 0x85ebca6b)) | 0;
    low = Math.imul(low ^ mixed, 0x01000193) ^ event.what.length;
    high = Math.imul(high ^ (mixed >>> 7) ^ low, 0x5bd1e995);
    high ^= high >>> 15;
  };
  const deliver = (event: SimEvent): void => {
    const { run } = event;
    if (run === undefined || event.party.state === 'dead') return;
    if (event.party.state === 'frozen') {
      event.party.held.push(event);
      return;
    }
    event.run = undefined;
    delivered += 1;
    note(event);
    trace?.(event);
    current = event.party;
    run();
    react();
    current = world;
  };

  return {
    now: () => now,
    world,
    wall: () => EPOCH_MS + now,
    get current() {
      return current;
    },
    get delivered() {
      return delivered;
    },
    party,
    at(ms, owner, kind, what, run) {
      const event: SimEvent = { time: ms > now ? ms : now, order: orders++, party: owner, kind, what, run };
      push(event);
      return event;
    },
    freeze(owner) {
      if (owner.state === 'up') owner.state = 'frozen';
    },
    thaw(owner) {
      if (owner.state !== 'frozen') return;
      owner.state = 'up';
      owner.thawedAt = now;
      // as a process that is let go on: first its timers that are due, then what came in, each in the order of its time
      const held = owner.held.sort(
        (a, b) => Number(a.kind !== 'timer') - Number(b.kind !== 'timer') || a.time - b.time || a.order - b.order,
      );
      owner.held = [];
      for (const event of held) push({ ...event, time: now, order: orders++ });
    },
    kill(owner) {
      owner.state = 'dead';
      owner.held = [];
    },
    get endless() {
      return delivered > MOST_EVENTS;
    },
    runUntil(ms) {
      while (delivered <= MOST_EVENTS && heap.length > 0 && (heap[0] as SimEvent).time <= ms) {
        const event = pop();
        if (event.run === undefined) continue;
        now = event.time;
        deliver(event);
      }
      now = Math.max(now, ms);
    },
    hash: () => (low >>> 0).toString(16).padStart(8, '0') + (high >>> 0).toString(16).padStart(8, '0'),
  };
}

/** The clock of one party: its timers are events, its wall clock may be off, its monotonic one never. */
export function clockOf(scheduler: Scheduler, party: Party): Clock {
  const after: Clock['after'] = (ms, task) => {
    const event = scheduler.at(scheduler.now() + Math.max(1, ms), party, 'timer', 'timer', task);
    return () => {
      event.run = undefined;
    };
  };
  return {
    wall: () => scheduler.wall() + party.wallOffset,
    monotonic: () => scheduler.now() - party.bootedAt + 1000,
    after,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason as Error);
        const cancel = after(ms, () => resolve());
        signal?.addEventListener('abort', () => {
          cancel();
          reject(signal.reason as Error);
        });
      }),
  };
}
