import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Urgency } from '../device/index.ts';

/**
 * Group commit: items that come while a batch is under way become the next batch.
 * I1 At most `parallel` batches (default 1) are under way. I2 Answers stand in the order of the items. I3 An item that makes its batch fail for good
 * (`poison`) is found by halving and fails alone. I4 With `rest` an item that comes after a rest goes at once; the others wait until the last batch began that long
 * ago, or there is a whole batch of them: a statement costs the store some ten times what one more item in it does. I5 What is urgent goes in batches of
 * its own, one at a time, and does not wait for the batch of others that is under way; while there is any no other begins. I6 What is late fills up batches of
 * usual items once nothing urgent has come for `late.ms`, or it has waited for twenty times that.
 */
export interface Batcher<I, O> {
  add(item: I, urgency?: Urgency): Promise<O>;
  readonly size: number;
}

interface Entry<I, O> {
  readonly item: I;
  resolve(answer: O): void;
  reject(error: unknown): void;
}

const LATE_RESTS = 20;

export function createBatcher<I, O>(options: {
  readonly max: number;
  readonly parallel?: number;
  /** least time between the beginnings of two batches that are not whole */
  readonly rest?: { readonly clock: Pick<Clock, 'monotonic' | 'after'>; readonly ms: number };
  /** I6; without it what is late is usual */
  readonly late?: { readonly clock: Pick<Clock, 'monotonic' | 'after'>; readonly ms: number };
  run(items: readonly I[]): Promise<readonly O[]>;
  /** the statement itself was refused because of an item: repeating it as it is is useless */
  poison?(error: unknown): boolean;
}): Batcher<I, O> {
  const parallel = options.parallel ?? 1;
  const queue: Entry<I, O>[] = [];
  const front: Entry<I, O>[] = [];
  const backlog: Entry<I, O>[] = [];
  let under = 0;
  let urgentUnder = false;
  let armed = false;
  let began = Number.NEGATIVE_INFINITY;
  let urgentAt = Number.NEGATIVE_INFINITY;
  /** since when the backlog is one */
  let lateSince = Number.POSITIVE_INFINITY;
  let cancelRest: (() => void) | undefined;

  const restLeft = (): number => {
    const { rest } = options;
    return rest === undefined || queue.length >= options.max ? 0 : began + rest.ms - rest.clock.monotonic();
  };
  const lateLeft = (): number => {
    const { late } = options;
    return late === undefined ? 0 : Math.min(urgentAt + late.ms, lateSince + LATE_RESTS * late.ms) - late.clock.monotonic();
  };
  const arm = (): void => {
    if (armed) return;
    if (front.length === 0 || urgentUnder) {
      if (urgentUnder || under >= parallel || queue.length + backlog.length === 0) return;
      const left = queue.length > 0 ? restLeft() : lateLeft();
      if (left > 0) {
        cancelRest ??= (queue.length > 0 ? options.rest : options.late)?.clock.after(Math.ceil(left), () => {
          cancelRest = undefined;
          arm();
        });
        return;
      }
    }
    cancelRest?.();
    cancelRest = undefined;
    armed = true;
    setImmediate(() => {
      armed = false;
      if (front.length > 0 && !urgentUnder) {
        urgentUnder = true;
        void execute(front.splice(0, options.max)).finally(() => {
          urgentUnder = false;
          arm();
        });
      } else {
        began = options.rest?.clock.monotonic() ?? began;
        under += 1;
        void execute(take()).finally(() => {
          under -= 1;
          arm();
        });
      }
      arm();
    });
  };
  const take = (): Entry<I, O>[] => {
    const batch = queue.splice(0, options.max);
    if (backlog.length > 0 && batch.length < options.max && lateLeft() <= 0) batch.push(...backlog.splice(0, options.max - batch.length));
    if (backlog.length === 0) lateSince = Number.POSITIVE_INFINITY;
    return batch;
  };
  const execute = async (batch: readonly Entry<I, O>[]): Promise<void> => {
    try {
      const answers = await options.run(batch.map((entry) => entry.item));
      batch.forEach((entry, index) => {
        if (index < answers.length) entry.resolve(answers[index] as O);
        else entry.reject(new Error(`batch: expected ${batch.length} answers, got ${answers.length}`));
      });
    } catch (error) {
      if (batch.length === 1 || options.poison?.(error) !== true) {
        for (const entry of batch) entry.reject(error);
        return;
      }
      const middle = batch.length >> 1;
      await execute(batch.slice(0, middle));
      await execute(batch.slice(middle));
    }
  };
  return {
    add(item, urgency = 'usual') {
      return new Promise((resolve, reject) => {
        const entry = { item, resolve, reject };
        if (urgency === 'urgent') {
          front.push(entry);
          urgentAt = options.late?.clock.monotonic() ?? urgentAt;
        } else if (urgency === 'late' && options.late !== undefined) {
          if (backlog.push(entry) === 1) lateSince = options.late.clock.monotonic();
        } else queue.push(entry);
        arm();
      });
    },
    get size() {
      return front.length + queue.length + backlog.length;
    },
  };
}
