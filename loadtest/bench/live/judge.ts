/**
 * Judges what one reader is given. Every event has a place of its own, so the next one must be one further; an update of the fleet must start where the
 * last one ended, or be a snapshot. Pure.
 */
export interface Place {
  readonly epoch: string;
  readonly seq: number;
}
export type Verdict = 'right' | 'gap' | 'duplicate';
export interface Judged {
  readonly verdict: Verdict;
  /** where the reader stands now */
  readonly at: Place;
}

export function judgeEvent(before: Place | null, { epoch, seq }: Place): Judged {
  const at = { epoch, seq };
  if (before === null) return { verdict: 'right', at };
  if (before.epoch !== epoch || seq > before.seq + 1) return { verdict: 'gap', at };
  return seq <= before.seq ? { verdict: 'duplicate', at: before } : { verdict: 'right', at };
}

/** @param update `from` is undefined for a snapshot */
export function judgeFleet(before: Place | null, update: Place & { readonly from?: number | undefined }): Judged {
  const { epoch, seq, from } = update;
  const at = { epoch, seq };
  const same = before !== null && before.epoch === epoch;
  if (from === undefined) return { verdict: same && seq < before.seq ? 'duplicate' : 'right', at };
  if (!same || from > before.seq) return { verdict: 'gap', at };
  return { verdict: from < before.seq || seq < from ? 'duplicate' : 'right', at };
}
