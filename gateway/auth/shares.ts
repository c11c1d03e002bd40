import type { Clock } from '../../ops/lifecycle/index.ts';

/**
 * Limits that hold for all gateways together, without a round trip for each request: a gateway takes tokens out of a shared bucket in
 * chunks, ahead of need, and spends them here. Decision 0011.
 * Owns: what this gateway holds of each bucket and what it owes. Does not own: the buckets (Redis), the limits of this gateway alone (rates.ts,
 * failures.ts), which hold as well and are all there is while Redis is away.
 * S1 In the long run no more is admitted than tokens were given: what was admitted ahead of an answer is a debt, paid first.
 * S2 The debt is at most ten times `ahead` (at least 10): that much a gateway may be over the limit for the length of a round trip. Less would
 *    refuse those who come at once after a silence, though the bucket is full.
 * S3 Nobody waits for Redis: without an answer for `AWAY_MS`, or with an error, everybody passes until it answers again.
 * S4 Tokens held unused for `HELD_MS` are lost, so that what gateways hold is not what others lack.
 */
export interface Shares {
  /** ms until this name may go on; 0 = now. Takes nothing. */
  wait(name: string): number;
  /** one more of this name; call it after `wait` said 0 */
  take(name: string): void;
}
export interface ShareLimits {
  readonly perSecond: number;
  /** at once, after a while without any */
  readonly most: number;
  /** tokens a gateway takes ahead; 0 = it pays afterwards only */
  readonly ahead: number;
}
/** Asks the shared buckets of one kind; answers in the order of the asks. @throws when Redis is away */
export type ShareSource = (
  kind: ShareKind,
  limits: ShareLimits,
  asks: readonly { readonly name: string; readonly wanted: number }[],
) => Promise<readonly { readonly given: number; readonly waitMs: number }[]>;
export type ShareKind = 'key' | 'tenant' | 'auth' | 'link';

interface Held {
  /** below zero: owed */
  tokens: number;
  refusedUntil: number;
  answeredAt: number;
}

const TICK_MS = 10;
/** guess: far above a round trip, far below what a person notices */
const AWAY_MS = 250;
const RETRY_MS = 1_000;
const HELD_MS = 2_000;
const LEAST_DEBT = 10;
const LEAST_WAIT_MS = 20;
const KEPT = 20_000;

export function createShares(
  deps: { readonly clock: Pick<Clock, 'monotonic' | 'after'>; readonly source: ShareSource },
  kind: ShareKind,
  limits: ShareLimits,
): Shares {
  const { clock, source } = deps;
  const { perSecond, ahead } = limits;
  const debt = Math.max(LEAST_DEBT, ahead * 10);
  const held = new Map<string, Held>();
  const hungry = new Set<string>();
  let armed = false;
  let askedAt: number | undefined;
  let awayUntil = 0;

  const away = (now: number): boolean => now < awayUntil || (askedAt !== undefined && now - askedAt > AWAY_MS);
  const heldOf = (name: string, now: number): Held => {
    const known = held.get(name);
    if (known !== undefined) {
      if (known.tokens > 0 && now - known.answeredAt > HELD_MS) known.tokens = 0;
      return known;
    }
    const made = { tokens: 0, refusedUntil: 0, answeredAt: now };
    held.set(name, made);
    if (held.size > KEPT) {
      const oldest = held.keys().next().value;
      if (oldest !== undefined) held.delete(oldest);
    }
    return made;
  };
  const wantedOf = ({ tokens }: Held): number => (tokens > ahead / 2 ? 0 : ahead - tokens);
  const feed = (name: string): void => {
    hungry.add(name);
    if (armed || askedAt !== undefined) return;
    armed = true;
    clock.after(TICK_MS, () => void ask(), { background: true });
  };
  const ask = async (): Promise<void> => {
    armed = false;
    const now = clock.monotonic();
    const asks = [...hungry].flatMap((name) => {
      const wanted = Math.min(limits.most, wantedOf(heldOf(name, now)));
      return wanted > 0 ? [{ name, wanted }] : [];
    });
    hungry.clear();
    if (asks.length === 0 || now < awayUntil) return;
    askedAt = now;
    try {
      const answers = await source(kind, limits, asks);
      const then = clock.monotonic();
      for (const [index, { name, wanted }] of asks.entries()) settle(heldOf(name, then), wanted, answers[index], then);
    } catch {
      // S3: the limits of this gateway alone hold meanwhile; what was owed is forgotten
      awayUntil = clock.monotonic() + RETRY_MS;
      held.clear();
    } finally {
      askedAt = undefined;
      if (hungry.size > 0 && !armed) {
        armed = true;
        clock.after(TICK_MS, () => void ask(), { background: true });
      }
    }
  };
  const settle = (
    one: Held,
    wanted: number,
    answer: { readonly given: number; readonly waitMs: number } | undefined,
    now: number,
  ): void => {
    if (answer === undefined) return;
    one.tokens += answer.given;
    one.answeredAt = now;
    const owed = Math.max(0, -one.tokens);
    one.refusedUntil = answer.given < wanted ? now + Math.max(LEAST_WAIT_MS, answer.waitMs + (owed / perSecond) * 1000) : 0;
  };
  return {
    wait(name) {
      const now = clock.monotonic();
      if (perSecond === 0 || away(now)) return 0;
      const one = held.get(name);
      if (one === undefined || heldOf(name, now).tokens >= 1) return 0;
      if (now < one.refusedUntil) return Math.ceil(one.refusedUntil - now);
      if (one.tokens < 0) feed(name);
      return one.tokens > -debt ? 0 : LEAST_WAIT_MS;
    },
    take(name) {
      const now = clock.monotonic();
      if (perSecond === 0 || away(now)) return;
      const one = heldOf(name, now);
      // longest unused goes first
      held.delete(name);
      held.set(name, one);
      one.tokens -= 1;
      if (wantedOf(one) > 0) feed(name);
    },
  };
}
