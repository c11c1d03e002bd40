import type { GraphQLError } from 'graphql';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { type LiveFeed, type LivePosition, owed, type Viewer } from '../../schema/graphql/index.ts';
import type { Socket } from '../server/index.ts';
import { createFrame, type SharedFrame } from './frame.ts';
import type { OperationEngine, PreparedOperation } from './port.ts';

/**
 * Operations with the same document, variables, tenant and scope: a change is executed once and encoded once for all of them.
 * Owns: the members and where each stands in the stream. Does not own: the stream, the sockets. Called by hub.ts.
 * I1 A member's position is that of the last frame its socket took. What it is owed is always computed from there, so a reader that
 *    was full or joined late gets exactly what it misses, state merged into one update.
 * I2 Members that stand at the same place are served by one execution.
 * I3 A member whose socket is full is left alone until it drains. An event member that has fallen out of the ring then ends with
 *    RESYNC_REQUIRED; it never skips in silence.
 * I4 One flush at a time.
 */
export interface Member {
  readonly head: Buffer;
  readonly socket: Socket;
  /** null: from now on */
  position: LivePosition | null;
  version: number | undefined;
  /** still wanted by its client */
  live(): boolean;
  /** ends the operation with an error */
  fail(errors: readonly GraphQLError[]): void;
}
export interface Group {
  join(member: Member): void;
  leave(member: Member): void;
  /** something may be sendable again */
  wake(): void;
}
export interface GroupDeps {
  readonly engine: OperationEngine;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** changes are gathered for this long; 0 = at once */
  readonly tickMs: number;
  readonly onEmpty: () => void;
}

interface Bucket {
  readonly members: Member[];
  readonly updates: readonly LivePosition[];
}

export function createGroup(deps: GroupDeps, feed: LiveFeed<LivePosition>, operation: PreparedOperation, viewer: Viewer): Group {
  const { clock, telemetry } = deps;
  const members = new Set<Member>();
  let ready = false;
  let closed = false;
  let flushing = false;
  let again = false;
  let timer: { readonly due: number; readonly cancel: () => void } | undefined;

  const behind = (member: Member, top: LivePosition, version: number): boolean =>
    member.position === null || member.position.epoch !== top.epoch || member.position.seq !== top.seq || member.version !== version;

  /** Who is owed what, all seen in one tick. */
  const collect = (top: LivePosition, version: number): Bucket[] => {
    const buckets = new Map<string, Bucket>();
    for (const member of members) {
      if (!behind(member, top, version) || member.socket.full()) continue;
      const { position } = member;
      const key = position === null ? 'new' : `${position.epoch} ${position.seq} ${member.version ?? ''}`;
      const known = buckets.get(key);
      if (known !== undefined) {
        known.members.push(member);
        continue;
      }
      try {
        const { updates, recovered } = owed(feed, position, member.version);
        if (member.version === undefined) telemetry.count('live.recover', 1, { outcome: recovered ? 'recovered' : 'snapshot' });
        buckets.set(key, { members: [member], updates });
      } catch (error) {
        telemetry.count('live.recover', 1, { outcome: 'resync' });
        members.delete(member);
        member.fail([error as GraphQLError]);
      }
    }
    return [...buckets.values()];
  };
  const send = (member: Member, frames: readonly SharedFrame[], updates: readonly LivePosition[]): boolean => {
    let whole = true;
    member.socket.cork(() => {
      for (const [index, frame] of frames.entries()) {
        if (index > 0 && member.socket.full()) {
          whole = false;
          return;
        }
        const outcome = member.socket.send(frame.bytesFor(member.head));
        if (outcome === 'dropped' || outcome === 'closed') {
          whole = false;
          return;
        }
        const at = updates[index];
        if (at !== undefined) member.position = { epoch: at.epoch, seq: at.seq };
      }
    });
    return whole;
  };
  const deliver = async ({ members: owedTo, updates }: Bucket, top: LivePosition, version: number): Promise<void> => {
    const results = updates.length === 0 ? [] : await deps.engine.executeAll(operation, viewer, updates);
    const frames = results.map((result, index) => {
      const at = updates[index] ?? top;
      return createFrame({ ...result, extensions: { ...result.extensions, live: { epoch: at.epoch, seq: at.seq } } });
    });
    for (const member of owedTo) {
      if (!members.has(member) || !member.live()) continue;
      if (!send(member, frames, updates)) continue;
      member.position = top;
      member.version = version;
    }
  };
  const flush = async (): Promise<void> => {
    timer = undefined;
    if (closed || !ready) return;
    if (flushing) {
      again = true;
      return;
    }
    flushing = true;
    try {
      const top = feed.top();
      const version = feed.version();
      await Promise.all(collect(top, version).map((bucket) => deliver(bucket, top, version)));
    } catch (error) {
      telemetry.log.error('group.flush', {}, error);
    } finally {
      flushing = false;
      if (again) {
        again = false;
        schedule(deps.tickMs);
      }
    }
  };
  const schedule = (ms: number): void => {
    if (closed) return;
    const due = clock.monotonic() + ms;
    if (timer !== undefined && timer.due <= due) return;
    timer?.cancel();
    timer = { due, cancel: clock.after(ms, () => void flush(), { background: true }) };
  };

  const unwatch = feed.watch(() => schedule(deps.tickMs));
  void feed.ready().then(() => {
    ready = true;
    schedule(0);
  });
  return {
    join(member) {
      members.add(member);
      schedule(0);
    },
    leave(member) {
      members.delete(member);
      if (members.size > 0 || closed) return;
      closed = true;
      timer?.cancel();
      unwatch();
      deps.onEmpty();
    },
    wake: () => schedule(0),
  };
}
