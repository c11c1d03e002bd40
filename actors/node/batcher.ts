import type { Clock } from '../../ops/lifecycle/index.ts';

/**
 * Group commit: items that come while a batch is under way become the next batch.
 * I1 At most `parallel` batches (default 1) are under way. I2 Answers stand in the order of the items. I3 An item that makes its batch fail for good
 * (`poison`) is found by halving and fails alone. I4 With `rest` an item that comes after a rest goes at once; the others wait until the last batch began that long
 * ago, or there is a whole batch of them: a statement costs the store some ten times what one more item in it does. I5 While there are urgent items
 * a batch is of those alone: they wait for no backlog.
 */
export interface Batcher<I, O> {
  add(item: I, urgent?: boolean): Promise<O>;
  readonly size: number;
}

interface Entry<I, O> {
  readonly item: I;
  resolve(answer: O): void;
  reject(error: unknown): void;
}

export function createBatcher<I, O>(options: {
  readonly max: number;
  readonly parallel?: number;
  /** least time between the beginnings of two batches that are not whole */
  readonly rest?: { readonly clock: Pick<Clock, 'monotonic' | 'after'>; readonly ms: number };
  run(items: readonly I[]): Promise<readonly O[]>;
  /** the statement itself was refused because of an item: repeating it as it is is useless */
  poison?(error: unknown): boolean;
}): Batcher<I, O> {
  const parallel = options.parallel ?? 1;
  const queue: Entry<I, O>[] = [];
  const front: Entry<I, O>[] = [];
  let under = 0;
  let armed = false;
  let began = Number.NEGATIVE_INFINITY;
  let cancelRest: (() => void) | undefined;

  const take = (): Entry<I, O>[] => {
    return (front.length > 0 ? front : queue).splice(0, options.max);
  };
  const restLeft = (): number => {
    const { rest } = options;
    return rest === undefined || front.length + queue.length >= options.max ? 0 : began + rest.ms - rest.clock.monotonic();
  };
  const arm = (): void => {
    if (armed || under >= parallel || front.length + queue.length === 0) return;
    const left = restLeft();
    if (left > 0) {
      cancelRest ??= options.rest?.clock.after(Math.ceil(left), () => {
        cancelRest = undefined;
        arm();
      });
      return;
    }
    cancelRest?.();
    cancelRest = undefined;
    armed = true;
    setImmediate(() => {
      armed = false;
      began = options.rest?.clock.monotonic() ?? began;
      const batch = take();
      under += 1;
      void execute(batch).finally(() => {
        under -= 1;
        arm();
      });
      arm();
    });
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
    add(item, urgent = false) {
      return new Promise((resolve, reject) => {
        (urgent ? front : queue).push({ item, resolve, reject });
        arm();
      });
    },
    get size() {
      return front.length + queue.length;
    },
  };
}
