/**
 * Owns the releasers of what a process or component acquired. Released last in first out; every releaser runs, errors are
 * aggregated; a second `end` waits for the first.
 */
export interface Lifetime {
  /** registers a releaser under a name that error messages show */
  add(name: string, release: () => void | Promise<void>): void;
  /** aborted when `end` begins */
  readonly signal: AbortSignal;
  end(): Promise<void>;
}

export function createLifetime(): Lifetime {
  const releasers: { name: string; release: () => void | Promise<void> }[] = [];
  const controller = new AbortController();
  let ending: Promise<void> | undefined;
  const run = async (): Promise<void> => {
    controller.abort(new Error('the lifetime has ended'));
    const errors: Error[] = [];
    for (let entry = releasers.pop(); entry !== undefined; entry = releasers.pop()) {
      try {
        await entry.release();
      } catch (error) {
        errors.push(new Error(`release of ${entry.name} failed`, { cause: error }));
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, errors.map((error) => error.message).join('; '));
  };
  return {
    signal: controller.signal,
    add(name, release) {
      releasers.push({ name, release });
    },
    end() {
      ending ??= run();
      return ending;
    },
  };
}
