import { GraphQLError } from 'graphql';
import type { LiveFeed, LivePosition, LiveSource } from './port.ts';

/** Says that events were missed and cannot be had again: read the state by a query, then subscribe anew. */
export function resyncRequired(last: LivePosition): GraphQLError {
  return new GraphQLError('events were missed that are no longer kept: read what you need by a query, then subscribe again', {
    extensions: { code: 'RESYNC_REQUIRED', live: { epoch: last.epoch, seq: last.seq } },
  });
}

/**
 * What a reader at `position` is owed now, and where it stands after it. A reader without a position gets the state, or nothing of
 * the events before it came. @throws RESYNC_REQUIRED when events were missed
 */
export function owed<T extends LivePosition>(
  feed: LiveFeed<T>,
  position: LivePosition | null,
  version: number | undefined,
): { readonly updates: readonly T[]; readonly recovered: boolean } {
  const range = position === null ? undefined : feed.range(position, version);
  if (range?.kind === 'updates') return { updates: range.updates, recovered: true };
  if (feed.kind === 'events') {
    if (position !== null) throw resyncRequired(position);
    return { updates: [], recovered: false };
  }
  if (feed.kind === 'telemetry') return { updates: [], recovered: false };
  const snapshot = feed.snapshot();
  return { updates: snapshot === undefined ? [] : [snapshot], recovered: false };
}

async function* iterate<T extends LivePosition>(feed: LiveFeed<T>, since: LivePosition | null): AsyncGenerator<T, void, undefined> {
  let wake = (): void => {};
  let moved = true;
  const unwatch = feed.watch(() => {
    moved = true;
    wake();
  });
  try {
    await feed.ready();
    let position = since;
    let version: number | undefined;
    for (;;) {
      while (!moved) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      moved = false;
      const top = feed.top();
      const now = feed.version();
      const { updates } = owed(feed, position, version);
      yield* updates;
      position = top;
      version = now;
    }
  } finally {
    unwatch();
  }
}

/** A source that plain GraphQL executors (SSE) iterate one by one, and whose feed the hub shares. */
export function liveSource<T extends LivePosition>(feed: LiveFeed<T>, since: LivePosition | null): LiveSource<T> {
  return { feed, since, [Symbol.asyncIterator]: () => iterate(feed, since) };
}
