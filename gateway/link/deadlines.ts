import type { Clock } from '../../ops/lifecycle/index.ts';

/** Waits that are all equally long, on one timer: members expire in the order in which they came. Owns the members. */
export interface Deadlines<T> {
  add(member: T): void;
  remove(member: T): void;
  stop(): void;
}

export function createDeadlines<T>(clock: Clock, waitMs: number, expired: (member: T) => void): Deadlines<T> {
  const due = new Map<T, number>();
  let cancel: (() => void) | undefined;
  const arm = (): void => {
    const first = due.values().next().value;
    if (first === undefined || cancel !== undefined) return;
    // a tenth of the wait at least: members that came together expire together
    cancel = clock.after(Math.max(waitMs / 10, first - clock.monotonic()), turn, { background: true });
  };
  const turn = (): void => {
    cancel = undefined;
    const now = clock.monotonic();
    for (const [member, at] of due) {
      if (at > now) break;
      due.delete(member);
      expired(member);
    }
    arm();
  };
  return {
    add(member) {
      due.set(member, clock.monotonic() + waitMs);
      arm();
    },
    remove: (member) => void due.delete(member),
    stop() {
      cancel?.();
      due.clear();
    },
  };
}
