import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Span, Telemetry } from '../../ops/telemetry/index.ts';
import { FlotillaError, type MessageEventRecord } from '../../schema/domain/index.ts';
import type { AcceptItem, AcceptOutcome } from '../../schema/sql/index.ts';
import { isAway, neverReached, unavailable } from '../system/index.ts';

/**
 * Group commit of accepted messages.
 *
 * Owns: the items that wait for a commit and the batches under way. Does not own: validation (schema/graphql), the mailbox
 * (actors/mailbox) or the ledger statement (schema/sql). Called by the sendMessage resolver.
 *
 * A1 An `accepted` answer is given only after the commit.
 * A2 What happens after the commit (mailbox, live event) never fails or delays the answer; what is lost there is refilled by the owner.
 * A3 Items of one device are committed in the order of their `send` calls: a device is in at most one batch under way.
 * A4 A `send` settles within `waitMs`, and by the request's own deadline, whatever Postgres does. Waiting items are then withdrawn; of items
 *    under way the outcome is not known, and the error says so. Only a refused connection is told as "certainly not stored".
 * A5 One item that the statement cannot take fails alone: the batch is split and tried again.
 */
export interface Accept {
  /** `deadline`: monotonic ms by which the request wants its answer */
  send(item: AcceptItem, deadline?: number): Promise<AcceptOutcome>;
  /** items waiting or under way */
  pending(): number;
  /** resolves when nothing is pending; used by drain */
  settled(): Promise<void>;
}

export interface AcceptDeps {
  /** schema/sql `accept`, one statement */
  readonly commit: (items: readonly AcceptItem[]) => Promise<readonly AcceptOutcome[]>;
  readonly enqueuer: {
    enqueue(
      entries: readonly { deviceId: string; lane: AcceptItem['lane']; seq: number; messageId: string; traceparent: string | null }[],
    ): Promise<void>;
    /** the ledger may hold messages of these devices that nobody told of */
    missed(deviceIds: Iterable<string>): void;
  };
  readonly live: { messages(tenantId: string, records: readonly MessageEventRecord[]): unknown };
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

export interface AcceptOptions {
  readonly maxBatch: number;
  /** batches under way at once */
  readonly maxInFlight: number;
  /** items that may wait; more are refused */
  readonly maxWaiting: number;
  readonly waitMs: number;
  /** tries of a key that another gateway is committing */
  readonly againTries: number;
  readonly againMs: number;
}
export const ACCEPT_DEFAULTS: AcceptOptions = {
  maxBatch: 1000,
  maxInFlight: 2,
  maxWaiting: 20_000,
  waitMs: 800,
  againTries: 8,
  againMs: 25,
};

interface Entry {
  readonly item: AcceptItem;
  readonly span: Span | undefined;
  /** monotonic ms */
  readonly deadline: number;
  started: boolean;
  settled: boolean;
  tries: number;
  resolve(outcome: AcceptOutcome): void;
  reject(error: unknown): void;
}

const SWEEP_MS = 25;

export function createAccept(deps: AcceptDeps, given: Partial<AcceptOptions> = {}): Accept {
  const { clock, telemetry } = deps;
  const options = { ...ACCEPT_DEFAULTS, ...given };
  let waiting: Entry[] = [];
  const unsettled = new Set<Entry>();
  const busyDevices = new Set<string>();
  let inFlight = 0;
  let scheduled = false;
  let sweeping = false;
  let onSettled: (() => void)[] = [];

  const settle = (entry: Entry, act: () => void): void => {
    if (entry.settled) return;
    entry.settled = true;
    unsettled.delete(entry);
    entry.span?.end();
    act();
    if (unsettled.size === 0) {
      const callers = onSettled;
      onSettled = [];
      for (const caller of callers) caller();
    }
  };

  const fail = (entry: Entry, error: unknown): void => {
    entry.span?.fail(error);
    settle(entry, () => entry.reject(error));
  };

  /** A4: one timer for all entries, running only while there are any */
  const sweep = (): void => {
    const now = clock.monotonic();
    for (const entry of unsettled) {
      // requests bring deadlines of their own: not in order
      if (entry.deadline > now) continue;
      telemetry.count('messages.rejected', 1, { code: 'UNAVAILABLE' });
      fail(entry, entry.started ? outcomeUnknown() : unavailable('the ledger'));
    }
    waiting = waiting.filter((entry) => !entry.settled);
    sweeping = unsettled.size > 0;
    if (sweeping) clock.after(SWEEP_MS, sweep, { background: true });
  };

  const schedule = (): void => {
    if (scheduled || inFlight >= options.maxInFlight || waiting.length === 0) return;
    scheduled = true;
    setImmediate(flush);
  };

  /** A3: takes the oldest items whose device is not under way, all of a device's items in order */
  const take = (): Entry[] => {
    const batch: Entry[] = [];
    const rest: Entry[] = [];
    const heldBack = new Set<string>();
    for (const entry of waiting) {
      const { deviceId } = entry.item;
      if (batch.length >= options.maxBatch || busyDevices.has(deviceId) || heldBack.has(deviceId)) {
        heldBack.add(deviceId);
        rest.push(entry);
      } else batch.push(entry);
    }
    waiting = rest;
    return batch;
  };

  const flush = (): void => {
    scheduled = false;
    if (inFlight >= options.maxInFlight) return;
    const batch = take();
    if (batch.length === 0) return;
    inFlight += 1;
    const devices = new Set(batch.map((entry) => entry.item.deviceId));
    for (const device of devices) busyDevices.add(device);
    for (const entry of batch) entry.started = true;
    schedule();
    void run(batch).finally(() => {
      inFlight -= 1;
      for (const device of devices) busyDevices.delete(device);
      schedule();
    });
  };

  const run = async (batch: readonly Entry[]): Promise<void> => {
    const items = batch.map((entry) => entry.item);
    const from = clock.monotonic();
    let outcomes: readonly AcceptOutcome[];
    try {
      outcomes = await deps.commit(items);
    } catch (error) {
      await refuse(batch, error);
      return;
    }
    /* committed, not yet enqueued */
    telemetry.record('accept.duration', (clock.monotonic() - from) / 1000);
    const accepted: { item: AcceptItem; seq: number | null }[] = [];
    batch.forEach((entry, at) => {
      const outcome = outcomes[at];
      if (outcome === undefined) fail(entry, new Error('accept: the statement gave back fewer outcomes than items'));
      else if (outcome.kind === 'again') again(entry);
      else {
        if (outcome.kind === 'accepted') accepted.push({ item: entry.item, seq: outcome.seq });
        else if (outcome.kind === 'rejected') telemetry.count('messages.rejected', 1, { code: outcome.code });
        settle(entry, () => entry.resolve(outcome));
      }
    });
    announce(accepted);
  };

  /** A5 */
  const refuse = async (batch: readonly Entry[], error: unknown): Promise<void> => {
    if (isAway(error)) {
      // it may have been committed, and a repeat is answered with what is there: nobody else would tell the mailbox
      if (!neverReached(error)) deps.enqueuer.missed(batch.map((entry) => entry.item.deviceId));
      telemetry.log.warn('accept.away', { items: batch.length }, error);
      telemetry.count('messages.rejected', batch.length, { code: 'UNAVAILABLE' });
      for (const entry of batch) fail(entry, neverReached(error) ? unavailable('the ledger', error) : outcomeUnknown(error));
      return;
    }
    const [only] = batch;
    if (batch.length === 1 && only !== undefined) {
      telemetry.log.error('accept.failed', {}, error);
      telemetry.count('messages.rejected', 1, { code: 'INTERNAL' });
      fail(only, error);
      return;
    }
    const half = Math.ceil(batch.length / 2);
    await run(batch.slice(0, half));
    await run(batch.slice(half));
  };

  const again = (entry: Entry): void => {
    entry.tries += 1;
    if (entry.settled) return;
    if (entry.tries >= options.againTries) {
      settle(entry, () => entry.resolve({ kind: 'again' }));
      return;
    }
    clock.after(options.againMs, () => {
      if (entry.settled) return;
      entry.started = false;
      waiting.unshift(entry);
      schedule();
    });
  };

  /** A2 */
  const announce = (accepted: readonly { item: AcceptItem; seq: number | null }[]): void => {
    if (accepted.length === 0) return;
    telemetry.count('messages.accepted', accepted.length);
    const entries = [];
    const events = new Map<string, MessageEventRecord[]>();
    const at = clock.wall();
    for (const { item, seq } of accepted) {
      const { id: messageId, deviceId, lane, traceparent } = item;
      if (seq !== null) entries.push({ deviceId, lane, seq, messageId, traceparent });
      const list = events.get(item.tenantId) ?? [];
      list.push({ messageId, deviceId, state: 'QUEUED', cause: null, attempts: 0, at });
      events.set(item.tenantId, list);
    }
    const lost = (error: unknown): void => telemetry.log.warn('accept.announce', { items: accepted.length }, error);
    const spans = entries
      .filter((entry) => entry.traceparent !== null)
      .map((entry) => telemetry.span('enqueue', { parent: entry.traceparent, kind: 'producer' }));
    deps.enqueuer
      .enqueue(entries)
      .catch(lost)
      .finally(() => {
        for (const span of spans) span.end();
      });
    for (const [tenantId, records] of events) {
      try {
        Promise.resolve(deps.live.messages(tenantId, records)).catch(lost);
      } catch (error) {
        lost(error);
      }
    }
  };

  return {
    send(item, by = Number.POSITIVE_INFINITY) {
      if (waiting.length >= options.maxWaiting) {
        telemetry.count('limit.rejected', 1, { limit: 'accept_queue' });
        return Promise.reject(unavailable('the ledger'));
      }
      const span = telemetry.sampled(item.id)
        ? telemetry.span('accept', { parent: item.traceparent, root: true, kind: 'producer', attributes: { 'message.id': item.id } })
        : undefined;
      const traced = span === undefined || span.traceparent === '' ? null : span.traceparent;
      return new Promise((resolve, reject) => {
        const deadline = Math.min(clock.monotonic() + options.waitMs, by);
        const stored = { ...item, traceparent: traced };
        const entry: Entry = { item: stored, span, deadline, started: false, settled: false, tries: 0, resolve, reject };
        unsettled.add(entry);
        waiting.push(entry);
        schedule();
        if (!sweeping) {
          sweeping = true;
          clock.after(SWEEP_MS, sweep, { background: true });
        }
      });
    },
    pending: () => unsettled.size,
    settled: () => (unsettled.size === 0 ? Promise.resolve() : new Promise((resolve) => onSettled.push(resolve))),
  };
}

/** The statement may have been committed: with an idempotency key a repeat is safe. */
function outcomeUnknown(cause?: unknown): FlotillaError {
  const message = 'the ledger did not answer in time, the message may have been stored: repeat with the same idempotencyKey';
  return new FlotillaError('retryable', 'UNAVAILABLE', message, { cause, retryAfterMs: 1000, outcomeUnknown: true });
}
