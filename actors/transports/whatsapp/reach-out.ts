import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import type { SendOutcome } from '../port.ts';
import type { Counted } from './line-port.ts';

/** What WhatsApp says about starting new chats. */
export interface ReachOut {
  readonly locked: boolean;
  /** wall ms; null = it did not say */
  readonly until: number | null;
}
export type ColdWhy = 'REACHOUT_LOCKED' | 'NEW_CHAT_CAP';

/**
 * When WhatsApp wants no new chats from a device, it starts none: every attempt would make it worse. People who know the device are written to as before.
 * Owns: the pause of one device and its end, the question to WhatsApp (at most one a minute). Does not own: which messages wait (the ledger's intent sets
 * them aside, from what is kept through `keep`). Called by device-connection.ts.
 *
 * R1. Paused: nothing to a stranger leaves. The intent sees to it; what it let pass before the pause was written down is told to ask again.
 * R2. The pause ends when WhatsApp says so, or at its own end; when WhatsApp names none, after `fallbackMs` (a cap: `CAP_MS`).
 * R3. One refusal (463) is about that recipient unless WhatsApp says that the account is locked; a second stranger refused within an hour pauses all the same.
 * R4. It is written down, again and again until it is: the next owner begins with it.
 * R5. When nobody can say whether a refused recipient knows the device (the ledger does not answer), new chats are paused: a stranger too many makes it worse.
 */
export interface ReachOutGuard {
  /** null: go on */
  refusal(to: string): Promise<Extract<SendOutcome, { kind: 'rejected' }> | null>;
  /** a message to this number was refused with 463 */
  refused(to: string): void;
  /** WhatsApp spoke by itself */
  told(standing: ReachOut): void;
  /** WhatsApp counted the new chats */
  counted(chats: Counted): void;
  /** why no new chats are started now, or null */
  readonly paused: ColdWhy | null;
  stop(): void;
}

export interface ReachOutDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly fallbackMs: number;
  /** what is written down of an earlier pause */
  readonly before: { readonly until: number | null; readonly why: string | null };
  ask(): Promise<ReachOut>;
  isWarm(to: string): Promise<boolean>;
  /** writes the pause down, or its end (null) */
  keep(pause: { readonly until: number; readonly why: ColdWhy } | null): Promise<void>;
  changed(why: ColdWhy | null): void;
}

const ASK_MS = 60_000;
const STRANGERS_MS = 3_600_000;
/** a cap of which WhatsApp does not say when it ends is asked for again after this */
export const CAP_MS = 3_600_000;
const AGAIN_MS = 5000;

export function createReachOutGuard(deps: ReachOutDeps): ReachOutGuard {
  const { clock, log } = deps;
  let paused: { readonly until: number; readonly why: ColdWhy } | null = null;
  let asking = false;
  let askedAt = Number.NEGATIVE_INFINITY;
  let strangers: readonly { readonly to: string; readonly at: number }[] = [];
  let cancel = (): void => {};
  let cancelKeep = (): void => {};
  let over = false;

  const plan = (): void => {
    cancel();
    if (paused !== null) cancel = clock.after(Math.max(1000, paused.until - clock.wall()), () => end(), { background: true });
  };
  const keep = (): void => {
    const wanted = paused;
    deps.keep(wanted).catch((error: unknown) => {
      log.warn('whatsapp.reach.out.keep', {}, error);
      // R4
      if (!over) cancelKeep = clock.after(AGAIN_MS, () => !over && paused === wanted && keep(), { background: true });
    });
  };
  const pause = (until: number, why: ColdWhy): void => {
    const before = paused;
    // one pause for each reason at a time: the later end counts
    paused = before !== null && before.why !== why && before.until > until ? before : { until, why };
    plan();
    if (before?.until === paused.until && before.why === paused.why) return;
    log.warn('whatsapp.reach.out', { why: paused.why, until: paused.until });
    keep();
    if (before?.why !== paused.why) deps.changed(paused.why);
  };
  const end = (): void => {
    cancel();
    if (paused === null) return;
    paused = null;
    strangers = [];
    log.warn('whatsapp.reach.out', { why: null });
    keep();
    deps.changed(null);
  };
  const endOf = ({ until }: ReachOut): number => (until === null ? clock.wall() + deps.fallbackMs : until);

  /** null: nobody can say (R5) */
  const warmth = async (to: string): Promise<boolean | null> => {
    try {
      return await deps.isWarm(to);
    } catch (error) {
      log.warn('whatsapp.reach.out.warmth', {}, error);
      if (paused === null) pause(clock.wall() + deps.fallbackMs, 'REACHOUT_LOCKED');
      return null;
    }
  };
  const refused = async (to: string): Promise<void> => {
    const now = clock.monotonic();
    if ((await warmth(to)) !== true)
      strangers = [...strangers.filter((one) => now - one.at < STRANGERS_MS && one.to !== to), { to, at: now }];
    if (now - askedAt < ASK_MS) return judge(null);
    askedAt = now;
    asking = true;
    try {
      judge(await deps.ask());
    } catch (error) {
      log.warn('whatsapp.reach.out.ask', {}, error);
      pause(clock.wall() + deps.fallbackMs, 'REACHOUT_LOCKED');
    }
    asking = false;
  };
  /** R3; null: WhatsApp was asked a moment ago */
  const judge = (standing: ReachOut | null): void => {
    if (standing?.locked === true) pause(endOf(standing), 'REACHOUT_LOCKED');
    else if (strangers.length >= 2 && paused === null) pause(clock.wall() + deps.fallbackMs, 'REACHOUT_LOCKED');
  };

  const { until, why } = deps.before;
  if (until !== null && until > clock.wall()) paused = { until, why: why === 'NEW_CHAT_CAP' ? why : 'REACHOUT_LOCKED' };
  // one that ended while nobody owned the device is taken away now
  else if (until !== null) keep();
  plan();

  return {
    async refusal(to) {
      if ((paused === null && !asking) || (await deps.isWarm(to)) || (paused === null && !asking)) return null;
      const detail = 'WhatsApp wants no new chats from this account now; nothing was sent';
      return { kind: 'rejected', retry: true, code: 'COLD_PAUSED', detail, retryAfterMs: AGAIN_MS };
    },
    refused(to) {
      refused(to).catch((error: unknown) => log.warn('whatsapp.reach.out.refused', {}, error));
    },
    told(standing) {
      // the answer to our own question comes this way too
      if (asking) return;
      if (standing.locked) pause(endOf(standing), 'REACHOUT_LOCKED');
      else if (paused?.why === 'REACHOUT_LOCKED') end();
    },
    counted(chats) {
      if (chats.capped) pause(chats.endsAt ?? clock.wall() + CAP_MS, 'NEW_CHAT_CAP');
      else if (paused?.why === 'NEW_CHAT_CAP') end();
    },
    get paused() {
      return paused?.why ?? null;
    },
    stop() {
      over = true;
      cancel();
      cancelKeep();
    },
  };
}
