import Redlock from 'redlock';
import type { Redis } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { deviceKeys, partitionOf } from '../../schema/domain/index.ts';
import { withinDeadline } from './deadline.ts';
import { byPartition, chunks, eachLimited } from './pool.ts';
import { MOST_PER_CALL, releaseKeys, releaseScript, transferScript } from './scripts.ts';

/**
 * Leases on 1, 3 or 5 independent lock masters, taken with the `redlock` package behind guards (docs/decisions/0002).
 * Owns: the calls in flight. Does not own: the connections, renewal (renew.ts), who holds what (holdings.ts). Called by claim and handover.
 *
 * I1 An even number of masters is refused: a split vote never settles inside the package.
 * I2 Validity is counted on the monotonic clock from before the call; the package's own wall-clock expiration is never read.
 * I3 A lock that is late, expired or of unknown outcome is released on every master by its token and never handed out. A master whose yes
 *    comes after that (it may have overtaken the release) is told again.
 * I4 Each call ends within `timeoutMs`, whatever the masters do.
 * I5 One device per call to the package, one try: a contended device costs no other device its lock.
 */
export interface Locks {
  readonly masters: readonly Redis[];
  readonly quorum: number;
  /** the deadlines of a lease set or renewed by a call that was sent at `sent` */
  deadlines(sent: Instant): Deadlines;
  now(): Instant;
  /** takes the leases that are free; the rest are left out of the result */
  acquire(deviceIds: readonly string[]): Promise<TakenLease[]>;
  /** compare-and-delete on every master; never throws: what cannot be deleted expires */
  release(leases: readonly { readonly deviceId: string; readonly token: string }[]): Promise<void>;
  /** changes token to `target` on every master; resolves with the devices for which a quorum agreed */
  transfer(items: readonly { readonly deviceId: string; readonly token: string; readonly target: string }[]): Promise<Set<string>>;
}

/** One moment on both clocks, ms. */
export interface Instant {
  readonly monotonic: number;
  readonly wall: number;
}
export interface Deadlines {
  /** end of the lease on the monotonic clock, drift taken off */
  readonly deadline: number;
  /** the same on the wall clock: only to notice that the machine slept */
  readonly wallDeadline: number;
}
export interface Lease extends Deadlines {
  readonly deviceId: string;
  readonly token: string;
}
export interface TakenLease extends Lease {
  /** the masters (places in the list) that gave it; those that answer late come later */
  readonly voters: ReadonlySet<number>;
}

export interface LocksOptions {
  readonly ttlMs: number;
  readonly marginMs: number;
  /** longest wait for one acquire */
  readonly timeoutMs: number;
  /** calls in flight; default 64 */
  readonly concurrency?: number;
}

/** Share of the TTL that clocks may drift apart (redlock's own default), plus 2 ms for the precision of Redis' expiry. */
const DRIFT_FACTOR = 0.01;

/**
 * Calls in flight at each master: a batch for each partition there is, so that all of it goes out at once. Never counted over several masters: those
 * that hang would hold up what the others are to be told.
 */
const AT_ONCE = 256;

/** @throws RangeError for an even number of masters */
export function createLocks(masters: readonly Redis[], options: LocksOptions, clock: Clock): Locks {
  if (masters.length % 2 === 0) throw new RangeError(`lock masters: expected 1, 3 or 5, got ${masters.length}`);
  const quorum = (masters.length + 1) / 2;
  const drift = Math.round(options.ttlMs * DRIFT_FACTOR) + 2;
  const tries = createTries();
  const seen = masters.map((redis, place) => watch(redis, place, tries));
  const redlock = new Redlock(seen, { retryCount: 0, driftFactor: DRIFT_FACTOR, retryDelay: 0, retryJitter: 0 });

  const now = (): Instant => ({ monotonic: clock.monotonic(), wall: clock.wall() });
  const deadlines = (sent: Instant): Deadlines => ({
    deadline: sent.monotonic + options.ttlMs - drift,
    wallDeadline: sent.wall + options.ttlMs - drift,
  });

  /** leases of one partition, as many as one call takes */
  const batchesOf = <T extends { readonly deviceId: string }>(items: readonly T[]): T[][] =>
    [...byPartition(items, (item) => partitionOf(item.deviceId)).values()].flatMap((group) => chunks(group, MOST_PER_CALL));

  const release: Locks['release'] = async (leases) => {
    for (const { token } of leases) tries.giveUp(token);
    const batches = batchesOf(leases);
    const tell = (redis: Redis): Promise<void> =>
      eachLimited(batches, AT_ONCE, async (batch) => {
        await releaseScript(redis, batch).catch(() => 0);
      });
    await Promise.all(masters.map(tell));
  };

  const acquireOne = async (deviceId: string): Promise<TakenLease | undefined> => {
    const sent = now();
    const attempt = redlock.acquire([deviceKeys(deviceId).lease], options.ttlMs);
    const { token, voters } = tries.latest();
    const drop = (): Promise<void> => release([{ deviceId, token }]);
    const settled = attempt.then(
      (lock) => lock.value === token,
      () => false,
    );
    const expiry = expire(clock, options.timeoutMs);
    const won = await Promise.race([settled, expiry.done]);
    expiry.cancel();
    if (won !== true) {
      const unknown = won === undefined;
      // with one master the package has just released what it may have set; with several, silent masters are told too
      if (unknown || masters.length > 1) await drop();
      return undefined;
    }
    const lease: TakenLease = { deviceId, token, voters, ...deadlines(sent) };
    if (withinDeadline(clock.monotonic(), lease.deadline, options.marginMs)) return lease;
    await drop();
    return undefined;
  };

  return {
    masters,
    quorum,
    deadlines,
    now,
    release,
    async acquire(deviceIds) {
      const won: TakenLease[] = [];
      await eachLimited(deviceIds, options.concurrency ?? 64, async (deviceId) => {
        const lease = await acquireOne(deviceId);
        if (lease !== undefined) won.push(lease);
      });
      return won;
    },
    async transfer(items) {
      const votes = new Map<string, number>();
      const batches = batchesOf(items);
      const tell = (redis: Redis): Promise<void> =>
        eachLimited(batches, AT_ONCE, async (batch) => {
          const letters = await transferScript(redis, batch).catch(() => '');
          batch.forEach((item, i) => {
            if (letters[i] === 'k') votes.set(item.deviceId, (votes.get(item.deviceId) ?? 0) + 1);
          });
        });
      await Promise.all(masters.map(tell));
      return new Set([...votes].filter(([, count]) => count >= quorum).map(([deviceId]) => deviceId));
    },
  };
}

function expire(clock: Clock, ms: number): { readonly done: Promise<undefined>; cancel(): void } {
  let cancel = (): void => {};
  const done = new Promise<undefined>((resolve) => {
    cancel = clock.after(ms, () => resolve(undefined));
  });
  return { done, cancel: () => cancel() };
}

/**
 * The tries to which masters still owe an answer, by token. The package makes its random token itself and sends it to every master before its first
 * await: the stand-ins for its clients note it on the way.
 */
interface Tries {
  /** the try that began last; its voters come as they answer */
  latest(): { readonly token: string; readonly voters: ReadonlySet<number> };
  /** what is set under this token is not wanted any more */
  giveUp(token: string): void;
  /**
   * Asks one master. `resumed`: for the second time, because it did not know the script; a try given up meanwhile ends here.
   * `giveBack`: a yes came after the try was given up.
   */
  take(token: string, place: number, resumed: boolean, ask: () => Promise<unknown>, giveBack: () => void): Promise<unknown>;
}

function createTries(): Tries {
  const fresh = (token: string) => ({ token, voters: new Set<number>(), waiting: 0, over: false });
  let latest = fresh('');
  const open = new Map<string, typeof latest>();
  return {
    latest: () => latest,
    giveUp(token) {
      const one = open.get(token);
      if (one !== undefined) one.over = true;
    },
    async take(token, place, resumed, ask, giveBack) {
      const one = open.get(token) ?? fresh(token);
      if (!resumed) {
        latest = one;
        open.set(token, one);
        one.waiting += 1;
      }
      let resumes = false;
      try {
        if (resumed && one.over) throw new Error('the try for this lease was given up');
        const reply = await ask();
        if (reply === 1) one.voters.add(place);
        if (one.over && reply === 1) giveBack();
        return reply;
      } catch (error) {
        resumes = !resumed && error instanceof Error && error.message.startsWith('NOSCRIPT');
        throw error;
      } finally {
        if (!resumes) one.waiting -= 1;
        if (one.waiting === 0) open.delete(token);
      }
    },
  };
}

/** What the package sends with a script: key and token, and a time to live when it takes. */
type Words = readonly (string | number)[];
const TAKES = 3;

/** A client as the package uses it (evalsha and eval only). */
function watch(redis: Redis, place: number, tries: Tries): Redis {
  const send = (words: Words, resumed: boolean, ask: () => Promise<unknown>): Promise<unknown> => {
    const [key, token] = [String(words[0]), String(words[1])];
    if (words.length === TAKES) {
      // what cannot be deleted expires
      return tries.take(token, place, resumed, ask, () => void releaseKeys(redis, [key], [token]).catch(() => 0));
    }
    tries.giveUp(token);
    return ask();
  };
  const client = {
    evalsha: (sha: string, count: number, words: Words) => send(words, false, () => redis.evalsha(sha, count, ...words)),
    eval: (lua: string, count: number, words: Words) => send(words, true, () => redis.eval(lua, count, ...words)),
  };
  return client as unknown as Redis;
}
