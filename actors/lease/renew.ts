import type { Redis } from '../../ops/connect/index.ts';
import { chunks } from './pool.ts';
import type { Deadlines, Locks } from './redlock.ts';
import { type Answers, type Lost, type LostCause, MOST_PER_CALL, type RenewCall, type RenewItem, renewScript } from './scripts.ts';

/**
 * One renewal of leases, on all servers concerned. Holds no state.
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

export interface RenewOrder {
  readonly partition: number;
  /** the one believed in */
  readonly generation: string;
  readonly items: readonly RenewItem[];
}

/** Renews all of it in one round trip per server; the outcomes stand in the order asked. Never throws. */
export async function renew(deps: RenewDeps, orders: readonly RenewOrder[]): Promise<RenewOutcome[]> {
  const { locks } = deps;
  const calls = orders.flatMap((order, at) => chunks(order.items, MOST_PER_CALL).map((items) => ({ ...order, items, at })));
  const sent = locks.now();
  const { checks, votes } = await ask(deps, calls);
  const { deadline, wallDeadline } = deps.locks.deadlines(sent);
  const outcomes: ({ readonly lost: LostCause } | { readonly renewals: Renewal[] })[] = orders.map(() => ({ renewals: [] }));
  calls.forEach(({ items, at }, call) => {
    const outcome = outcomes[at];
    const check = checks[call];
    if (outcome === undefined || 'lost' in outcome) return;
    if (check !== undefined && 'lost' in check) {
      outcomes[at] = check;
      return;
    }
    const letters = votes.map((master) => lettersOf(master[call]));
    items.forEach(({ deviceId }, i) => {
      const verdict = judge(
        check?.letters[i],
        letters.map((vote) => vote?.[i]),
        locks.quorum,
      );
      outcome.renewals.push({ deviceId, verdict, deadline, wallDeadline });
    });
  });
  return outcomes;
}

type Reply = Answers | Lost | undefined;
const lettersOf = (reply: Reply): string | undefined => (reply !== undefined && 'letters' in reply ? reply.letters : undefined);

/** `checks`: what the server of generations and fences says, per call; `votes`: what each lock master says (undefined = no answer). */
async function ask(
  { redis, locks, ttlMs }: RenewDeps,
  calls: readonly RenewCall[],
): Promise<{ readonly checks: readonly Reply[]; readonly votes: readonly (readonly Reply[])[] }> {
  if (locks.masters.length === 1 && locks.masters[0] === redis) {
    const both = await renewScript(redis, calls, { ttlMs, putBack: false });
    return { checks: both, votes: [both] };
  }
  const blind = calls.map((call) => ({ ...call, generation: '' }));
  const [checks, ...votes] = await Promise.all([
    renewScript(redis, calls, { ttlMs: 0, putBack: false }),
    ...locks.masters.map((master) => renewScript(master, blind, { ttlMs, putBack: locks.masters.length > 1 })),
  ]);
  return { checks, votes };
}

/** Counts the votes of one device. A lease that a master had forgotten and got back ('r') is no vote for it. */
export function judge(check: string | undefined, votes: readonly (string | undefined)[], quorum: number): Verdict {
  if (check === 'f') return 'fenced';
  const kept = votes.filter((vote) => vote === 'k').length;
  if (kept >= quorum) return 'kept';
  const silentVotes = votes.filter((vote) => vote === undefined).length;
  return kept + silentVotes >= quorum ? 'unknown' : 'lost';
}
