import type { Redis } from '../../ops/connect/index.ts';
import { chunks } from './pool.ts';
import type { Deadlines, Locks } from './redlock.ts';
import { type Answers, type Lost, type LostCause, MOST_PER_CALL, type RenewItem, renewScript } from './scripts.ts';

/**
 * One renewal of some leases of one partition, on all servers concerned. Holds no state.
 * Verdicts per device: `kept` (a quorum extended it: the deadlines count from before the call), `lost` (no quorum is possible any more),
 * `fenced` (a higher epoch is installed), `unknown` (no answer: nothing is extended).
 */
export type Verdict = 'kept' | 'lost' | 'fenced' | 'unknown';
export interface Renewal extends Deadlines {
  readonly deviceId: string;
  readonly verdict: Verdict;
}
export type RenewOutcome = { readonly lost: LostCause } | { readonly renewals: readonly Renewal[] };

export interface RenewDeps {
  /** where generations and fences are */
  readonly redis: Redis;
  readonly locks: Locks;
  readonly ttlMs: number;
}

/** Never throws. `generation` is the one believed in. */
export async function renew(deps: RenewDeps, partition: number, generation: string, items: readonly RenewItem[]): Promise<RenewOutcome> {
  const renewals: Renewal[] = [];
  for (const batch of chunks(items, MOST_PER_CALL)) {
    const sent = deps.locks.now();
    const { check, votes } = await ask(deps, partition, generation, batch);
    if (check !== undefined && 'lost' in check) return check;
    const deadlines = deps.locks.deadlines(sent);
    batch.forEach((item, i) => {
      const verdict = judge(
        check?.letters[i],
        votes.map((vote) => vote?.letters[i]),
        deps.locks.quorum,
      );
      renewals.push({ deviceId: item.deviceId, verdict, ...deadlines });
    });
  }
  return { renewals };
}

/** `check`: what the server of generations and fences says; `votes`: what each lock master says (undefined = no answer). */
async function ask(
  deps: RenewDeps,
  partition: number,
  generation: string,
  batch: readonly RenewItem[],
): Promise<{ readonly check: Answers | Lost | undefined; readonly votes: readonly (Answers | undefined)[] }> {
  const { redis, locks, ttlMs } = deps;
  if (locks.masters.length === 1 && locks.masters[0] === redis) {
    const both = await silent(renewScript(redis, partition, batch, { generation, ttlMs, putBack: false }));
    return { check: both, votes: [both !== undefined && 'letters' in both ? both : undefined] };
  }
  const [check, ...votes] = await Promise.all([
    silent(renewScript(redis, partition, batch, { generation, ttlMs: 0, putBack: false })),
    ...locks.masters.map((master) =>
      silent(renewScript(master, partition, batch, { generation: '', ttlMs, putBack: locks.masters.length > 1 })),
    ),
  ]);
  return { check, votes: votes.map((vote) => (vote !== undefined && 'letters' in vote ? vote : undefined)) };
}

function silent<T>(answer: Promise<T>): Promise<T | undefined> {
  return answer.catch(() => undefined);
}

/** Counts the votes of one device. A lease that a master had forgotten and got back ('r') is no vote for it. */
export function judge(check: string | undefined, votes: readonly (string | undefined)[], quorum: number): Verdict {
  if (check === 'f') return 'fenced';
  const kept = votes.filter((vote) => vote === 'k').length;
  if (kept >= quorum) return 'kept';
  const silentVotes = votes.filter((vote) => vote === undefined).length;
  return kept + silentVotes >= quorum ? 'unknown' : 'lost';
}
