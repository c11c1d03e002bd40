import type { ExecutionResult, GraphQLError } from 'graphql';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { type LiveFeed, type LivePosition, resyncRequired, type Viewer } from '../../schema/graphql/index.ts';
import type { Socket } from '../server/index.ts';
import { createFrame, type SharedFrame } from './frame.ts';
import type { OperationEngine, PreparedOperation } from './port.ts';
import type { Ticker } from './ticker.ts';

/**
 * Operations with the same document, variables, tenant and scope: a change is executed once and encoded once for all of them.
 * Owns: the members and where each stands in the stream. Does not own: the stream, the sockets. Called by operations.ts and sse.ts.
 * I1 A member's place is that of the last frame its socket took. What it is owed is always computed from there, so a reader that
 *    was full or joined late gets exactly what it misses: state merged into one update, events each, telemetry without the oldest.
 * I2 Members that stand at the same place are served by one execution. A late joiner takes the last snapshot from the cache and what
 *    has changed since.
 * I3 A member whose socket is full is left alone until it drains. An event member that has fallen out of the ring then ends with
 *    RESYNC_REQUIRED; it never skips in silence.
 * I4 One flush at a time, and at most `MAX_EVENTS` events per member in each.
 */
export interface Place {
  readonly position: LivePosition;
  /** undefined: the reader said where it stands, but not which figures it has */
  readonly version: number | undefined;
}
export interface MemberOwner {
  /** ends the operation with an error */
  fail(member: Member, errors: readonly GraphQLError[]): void;
}
export interface Member {
  readonly owner: MemberOwner;
  readonly id: string;
  readonly serial: number;
  readonly socket: Socket;
  /** undefined: an event stream */
  readonly head: Buffer | undefined;
  /** null: from now on */
  place: Place | null;
  /** a snapshot at `place` that has to be sent first */
  greeting: SharedFrame | undefined;
}
export interface Group {
  readonly query: string;
  join(member: Member): void;
  leave(member: Member): void;
  /** something may be sendable again */
  wake(): void;
  size(): number;
  close(): void;
}
export interface GroupDeps {
  readonly engine: OperationEngine;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly ticker: Ticker;
  readonly onEmpty: () => void;
}
export interface GroupSubject {
  readonly feed: LiveFeed<LivePosition>;
  readonly operation: PreparedOperation;
  readonly viewer: Viewer;
  readonly query: string;
}

/** Events (and telemetry) a member is given in one flush. */
const MAX_EVENTS = 256;
/** A snapshot in the cache serves late joiners for this long. */
const SNAPSHOT_MS = 5_000;
/** An empty group stays this long: pages that are loaded again find it. */
const GRACE_MS = 5_000;

interface Bucket {
  readonly members: Member[];
  readonly updates: readonly LivePosition[];
  /** where a member stands that has got all of it */
  readonly end: Place;
  /** a snapshot for newcomers */
  readonly fresh: boolean;
}

export function createGroup(deps: GroupDeps, subject: GroupSubject): Group {
  const { clock, telemetry, ticker } = deps;
  const { feed, operation, viewer } = subject;
  const members = new Set<Member>();
  let ready = false;
  let closed = false;
  let flushing = false;
  let again = false;
  let more = false;
  let top: Place | undefined;
  let snapshot: { readonly frame: SharedFrame; readonly place: Place; readonly at: number } | undefined;
  let cancelGrace: (() => void) | undefined;

  /** One object for one place, so that places are compared by identity. */
  const lookAtTop = (): Place => {
    const position = feed.top();
    const version = feed.version();
    if (top === undefined || top.version !== version || top.position.epoch !== position.epoch || top.position.seq !== position.seq) {
      top = { position: { epoch: position.epoch, seq: position.seq }, version };
    }
    return top;
  };
  const snapshotServes = (): boolean => {
    if (snapshot === undefined) return false;
    const serves = clock.monotonic() - snapshot.at < SNAPSHOT_MS;
    if (serves && feed.range(snapshot.place.position, snapshot.place.version).kind === 'updates') return true;
    snapshot = undefined;
    return false;
  };
  const bucketAt = (place: Place | null, end: Place): Bucket | 'gap' => {
    const range = place === null ? undefined : feed.range(place.position, place.version);
    if (range?.kind === 'updates') {
      let { updates } = range;
      if (feed.kind !== 'state' && updates.length > MAX_EVENTS) {
        more = feed.kind === 'events';
        if (feed.kind === 'telemetry') telemetry.count('frames', updates.length - MAX_EVENTS, { outcome: 'skipped' });
        updates = feed.kind === 'events' ? updates.slice(0, MAX_EVENTS) : updates.slice(-MAX_EVENTS);
        const last = updates.at(-1);
        if (feed.kind === 'events' && last !== undefined) return { members: [], updates, end: placeOf(last, end), fresh: false };
      }
      return { members: [], updates, end, fresh: false };
    }
    if (feed.kind === 'state' || (feed.kind === 'events' && place !== null)) return 'gap';
    return { members: [], updates: [], end, fresh: false };
  };
  const placeOf = (at: LivePosition, end: Place): Place => ({ position: { epoch: at.epoch, seq: at.seq }, version: end.version });
  /** Who is owed what, all seen in one tick. */
  const collect = (end: Place): Bucket[] => {
    const buckets = new Map<Place | null, Bucket | 'gap'>();
    const resumed = new Map<string, Place>();
    let fresh: Bucket | undefined;
    let serves: boolean | undefined;
    for (const member of members) {
      if ((member.place === end && member.greeting === undefined) || member.socket.full()) continue;
      if (member.place !== null && member.place.version === undefined) {
        const { epoch, seq } = member.place.position;
        const same = resumed.get(`${epoch} ${seq}`);
        if (same === undefined) resumed.set(`${epoch} ${seq}`, member.place);
        else member.place = same;
      }
      let bucket = buckets.get(member.place);
      if (bucket === undefined) {
        bucket = bucketAt(member.place, end);
        buckets.set(member.place, bucket);
      }
      if (member.place?.version === undefined) {
        const outcome = bucket !== 'gap' ? 'recovered' : feed.kind === 'state' ? 'snapshot' : 'resync';
        telemetry.count('live.recover', 1, { outcome });
      }
      if (bucket !== 'gap') {
        bucket.members.push(member);
        continue;
      }
      if (feed.kind === 'events') {
        members.delete(member);
        member.owner.fail(member, [resyncRequired(member.place?.position ?? end.position)]);
        continue;
      }
      serves ??= snapshotServes();
      if (serves && snapshot !== undefined) {
        member.place = snapshot.place;
        member.greeting = snapshot.frame;
        const rest = buckets.get(snapshot.place) ?? bucketAt(snapshot.place, end);
        buckets.set(snapshot.place, rest);
        if (rest !== 'gap') rest.members.push(member);
      } else {
        const whole = feed.snapshot();
        fresh ??= { members: [], updates: whole === undefined ? [] : [whole], end, fresh: true };
        fresh.members.push(member);
      }
    }
    const due = [...buckets.values()].filter((bucket): bucket is Bucket => bucket !== 'gap' && bucket.members.length > 0);
    return fresh === undefined ? due : [...due, fresh];
  };
  const sendOne = (member: Member, frame: SharedFrame): boolean => {
    const outcome = member.socket.send(member.head === undefined ? frame.event() : frame.bytesFor(member.head));
    return outcome === 'sent' || outcome === 'buffered';
  };
  /** I1: the place moves with each frame that was taken. */
  const sendAll = (member: Member, frames: readonly SharedFrame[], places: readonly Place[]): void => {
    if (member.greeting !== undefined) {
      if (!sendOne(member, member.greeting)) {
        member.place = null;
        member.greeting = undefined;
        return;
      }
      member.greeting = undefined;
    }
    for (const [index, frame] of frames.entries()) {
      if (index > 0 && member.socket.full()) return;
      if (!sendOne(member, frame)) return;
      member.place = places[index] ?? member.place;
    }
  };
  const framesOf = (results: readonly ExecutionResult[], { updates, end }: Bucket): SharedFrame[] =>
    results.map((result, index) => {
      const { epoch, seq } = updates[index] ?? end.position;
      return createFrame({ ...result, extensions: { ...result.extensions, live: { epoch, seq } } }, `${epoch}:${seq}`);
    });
  const deliver = async (bucket: Bucket): Promise<void> => {
    const { updates, end } = bucket;
    const results = updates.length === 0 ? [] : await deps.engine.executeAll(operation, viewer, updates);
    const frames = framesOf(results, bucket);
    const places = updates.map((at, index) => (index === updates.length - 1 ? end : placeOf(at, end)));
    const [first] = frames;
    if (bucket.fresh && first !== undefined && results[0]?.errors === undefined) {
      snapshot = { frame: first, place: end, at: clock.monotonic() };
    }
    for (const member of bucket.members) {
      // whoever stopped it took it out of the group
      if (!members.has(member)) continue;
      if (frames.length === 0 && member.greeting === undefined) member.place = end;
      else if (frames.length === 1 && member.greeting === undefined) {
        if (first !== undefined && sendOne(member, first)) member.place = end;
      } else member.socket.cork(() => sendAll(member, frames, places));
    }
  };
  const flush = async (): Promise<void> => {
    if (closed || !ready) return;
    if (flushing) {
      again = true;
      return;
    }
    flushing = true;
    again = false;
    more = false;
    try {
      const due = collect(lookAtTop());
      if (due.length === 1 && due[0] !== undefined) await deliver(due[0]);
      else await Promise.all(due.map(deliver));
    } catch (error) {
      telemetry.log.error('group.flush', {}, error);
    } finally {
      flushing = false;
      if (more && !closed) ticker.soon(run);
      else if (again && !closed) ticker.mark(run);
    }
  };
  const run = (): void => void flush();
  const close = (): void => {
    if (closed) return;
    closed = true;
    cancelGrace?.();
    ticker.unmark(run);
    unwatch();
    deps.onEmpty();
  };
  const unwatch = feed.watch(() => {
    if (members.size > 0) ticker.mark(run);
  });
  void feed.ready().then(() => {
    ready = true;
    if (!closed) ticker.soon(run);
  });
  return {
    query: subject.query,
    join(member) {
      cancelGrace?.();
      cancelGrace = undefined;
      members.add(member);
      ticker.soon(run);
    },
    leave(member) {
      members.delete(member);
      if (members.size === 0 && !closed) cancelGrace ??= clock.after(GRACE_MS, close, { background: true });
    },
    wake: () => ticker.soon(run),
    size: () => members.size,
    close,
  };
}
