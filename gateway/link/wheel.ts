import type { Clock } from '../../ops/lifecycle/index.ts';

/**
 * One timer for any number of members: each is visited once per round, in the slot it was put into, so that work spreads evenly over
 * the round. Owns the slots.
 */
export interface Wheel<T> {
  add(member: T): void;
  remove(member: T): void;
  stop(): void;
}

export function createWheel<T>(
  clock: Clock,
  options: { readonly roundMs: number; readonly slots: number },
  visit: (members: readonly T[]) => void,
): Wheel<T> {
  const slots: Set<T>[] = Array.from({ length: options.slots }, () => new Set<T>());
  const place = new Map<T, Set<T>>();
  let next = 0;
  let now = 0;
  let cancel: (() => void) | undefined;
  const arm = (): void => {
    cancel = clock.after(options.roundMs / options.slots, turn, { background: true });
  };
  const turn = (): void => {
    now = (now + 1) % options.slots;
    arm();
    const members = slots[now];
    if (members !== undefined && members.size > 0) visit([...members]);
  };
  arm();
  return {
    add(member) {
      next = (next + 1) % options.slots;
      const slot = slots[next];
      if (slot === undefined) return;
      slot.add(member);
      place.set(member, slot);
    },
    remove(member) {
      place.get(member)?.delete(member);
      place.delete(member);
    },
    stop: () => cancel?.(),
  };
}
