/**
 * Durations in classes, so that they can be counted, added over processes and read as quantiles without keeping each one. Class n holds what
 * is longer than 2^((n-1)/2) ms and at most 2^(n/2) ms, so a quantile is off by at most a factor of 1.41, mostly far less. The last class has no upper end.
 */
export const DURATION_CLASSES = 48;

/** The class of a duration in ms. */
export function durationClass(ms: number): number {
  if (!(ms > 1)) return 0;
  return Math.min(DURATION_CLASSES - 1, Math.ceil(2 * Math.log2(ms) - 1e-9));
}

/** Upper end of a class, ms. */
export function durationLimit(index: number): number {
  return 2 ** (index / 2);
}

/** The duration (ms) that the share `q` of all counted ones does not exceed, even inside its class; null when none was counted. */
export function durationQuantile(counts: readonly number[], q: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let rest = q * total;
  for (const [index, count] of counts.entries()) {
    if (count > 0 && rest <= count) {
      const low = index === 0 ? 0 : durationLimit(index - 1);
      return low + (durationLimit(index) - low) * (rest / count);
    }
    rest -= count;
  }
  return durationLimit(counts.length - 1);
}

/** Adds `more` to `counts`, class by class. */
export function addDurations(counts: readonly number[], more: readonly number[]): number[] {
  const sum: number[] = [];
  for (let index = 0; index < Math.max(counts.length, more.length); index++) sum.push((counts[index] ?? 0) + (more[index] ?? 0));
  return sum;
}
