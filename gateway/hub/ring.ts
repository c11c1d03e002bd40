import type { LiveBatch } from '../../schema/domain/index.ts';
import type { LivePosition } from '../../schema/graphql/index.ts';

/**
 * The newest batches of one stream, without a hole: what a reader that is a little behind still needs.
 * I1 Entry n + 1 starts where entry n ends, and the last ends at `top`.
 */
export interface Ring<T> {
  top(): LivePosition;
  reset(position: LivePosition, history: readonly LiveBatch<T>[]): void;
  /** `batch.from` must be `top().seq` */
  push(batch: LiveBatch<T>): void;
  /** the batches that hold anything of (from, top]: the first may begin before `from`; undefined when they are not all here */
  after(from: LivePosition): readonly LiveBatch<T>[] | undefined;
}

export function createRing<T>(limits: { readonly batches: number; readonly records: number }): Ring<T> {
  let batches: LiveBatch<T>[] = [];
  let records = 0;
  let top: LivePosition = { epoch: '', seq: 0 };
  const trim = (): void => {
    if (batches.length <= limits.batches && records <= limits.records) return;
    // an eighth at once: shifting an array for every batch would cost more
    const drop = Math.max(1, batches.length >> 3);
    for (const batch of batches.splice(0, drop)) records -= batch.records.length;
  };
  return {
    top: () => top,
    reset(position, history) {
      batches = [...history];
      records = history.reduce((sum, batch) => sum + batch.records.length, 0);
      top = position;
      trim();
    },
    push(batch) {
      batches.push(batch);
      records += batch.records.length;
      top = { epoch: batch.epoch, seq: batch.seq };
      trim();
    },
    after(from) {
      if (from.epoch !== top.epoch || from.seq > top.seq) return undefined;
      if (from.seq === top.seq) return [];
      const first = batches[0];
      if (first === undefined || from.seq < first.from) return undefined;
      let low = 0;
      let high = batches.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((batches[middle]?.seq ?? 0) > from.seq) high = middle;
        else low = middle + 1;
      }
      return batches.slice(low);
    },
  };
}
