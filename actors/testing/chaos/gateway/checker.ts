import { MESSAGE_RANK, type MessageEventRecord, PROOF_STATES } from '../../../../schema/domain/index.ts';

/**
 * Judges what live subscriptions were given, against the streams as Redis has them. Pure; knows nothing of gateways.
 * Owns the log and what each subscription received.
 * C1 Of the events behind a subscription's start, each one that says something new of its message must be given, once, rising.
 *    One that repeats or comes late (a takeover says again what its predecessor may have said) may be given or left out.
 * C2 Updates of a fleet must join: each starts where the one before ended, or replaces everything.
 */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
}
export interface Findings {
  /** events that should have been given and were not; updates that start beyond the position */
  readonly gaps: number;
  /** given twice or going back */
  readonly duplicates: number;
  /** not in the log, or not asked for */
  readonly foreign: number;
  /** the first few, in words */
  readonly examples: readonly string[];
}

interface Entry {
  readonly seq: number;
  readonly event: MessageEventRecord;
  /** nothing as far along was said of the message before */
  readonly news: boolean;
}

/** Later attempts say more than earlier ones, later states more than earlier ones, proof more than anything. */
function newer(a: MessageEventRecord, b: MessageEventRecord): boolean {
  const [proofA, proofB] = [PROOF_STATES.has(a.state), PROOF_STATES.has(b.state)];
  if (proofA !== proofB) return proofA;
  if (!proofA && a.attempts !== b.attempts) return a.attempts > b.attempts;
  return MESSAGE_RANK[a.state] > MESSAGE_RANK[b.state];
}

export interface EventLog {
  /** the next events of the stream, in order */
  add(epoch: string, seq: number, event: MessageEventRecord): void;
  readonly epochs: ReadonlySet<string>;
  /** events in it */
  readonly size: number;
  judge(subscription: EventSubscription): Findings;
}
export interface EventSubscription {
  readonly name: string;
  readonly deviceId: string | null;
  readonly start: Position;
  readonly received: readonly number[];
}

export function createEventLog(): EventLog {
  const entries: Entry[] = [];
  const furthest = new Map<string, MessageEventRecord>();
  const epochs = new Set<string>();
  const inLog = new Map<number, Entry>();
  return {
    epochs,
    get size() {
      return entries.length;
    },
    add(epoch, seq, event) {
      epochs.add(epoch);
      const before = furthest.get(event.messageId);
      const news = before === undefined || newer(event, before);
      if (news) furthest.set(event.messageId, event);
      const entry: Entry = { seq, event, news };
      entries.push(entry);
      inLog.set(seq, entry);
    },
    judge({ name, deviceId, start, received }) {
      const examples: string[] = [];
      let duplicates = 0;
      let foreign = 0;
      let last = start.seq;
      const given = new Set<number>();
      for (const seq of received) {
        const entry = inLog.get(seq);
        if (entry === undefined || (deviceId !== null && entry.event.deviceId !== deviceId)) {
          foreign += 1;
          examples.push(`${name}: was given ${seq}, which is not in its stream`);
        } else if (given.has(seq) || seq <= last) {
          duplicates += 1;
          examples.push(`${name}: was given ${seq} after ${last}`);
        }
        given.add(seq);
        last = Math.max(last, seq);
      }
      const missed = entries.filter(
        (entry) => entry.news && entry.seq > start.seq && !given.has(entry.seq) && (deviceId === null || entry.event.deviceId === deviceId),
      );
      for (const { seq, event } of missed) examples.push(`${name}: was never given ${seq} (${event.state} of ${event.messageId})`);
      return { gaps: missed.length, duplicates, foreign, examples };
    },
  };
}

/** What a subscription to `fleet` is given, as far as it must be known to judge it. */
export interface FleetGiven extends Position {
  /** undefined: a snapshot */
  readonly from: number | undefined;
  readonly rows: ReadonlyMap<string, string>;
  readonly removed: readonly string[];
}
export interface FleetWatch {
  readonly position: Position | null;
  readonly rows: ReadonlyMap<string, string>;
  apply(given: FleetGiven): void;
  findings(): Findings;
}

export function createFleetWatch(name: string): FleetWatch {
  let position: Position | null = null;
  let rows = new Map<string, string>();
  let gaps = 0;
  let duplicates = 0;
  const examples: string[] = [];
  return {
    get position() {
      return position;
    },
    get rows() {
      return rows;
    },
    apply({ epoch, seq, from, rows: given, removed }) {
      const same = position !== null && position.epoch === epoch;
      if (from === undefined) {
        if (same && position !== null && seq < position.seq) {
          duplicates += 1;
          examples.push(`${name}: a snapshot at ${seq} after ${position.seq}`);
        }
        rows = new Map(given);
      } else {
        if (!same || position === null || from > position.seq) {
          gaps += 1;
          examples.push(`${name}: an update from ${from} at ${position?.seq ?? 'no position'}`);
        } else if (from < position.seq || seq < from) {
          duplicates += 1;
          examples.push(`${name}: an update from ${from} to ${seq} at ${position.seq}`);
        }
        for (const [id, row] of given) rows.set(id, row);
        for (const id of removed) rows.delete(id);
      }
      position = { epoch, seq };
    },
    findings: () => ({ gaps, duplicates, foreign: 0, examples }),
  };
}
