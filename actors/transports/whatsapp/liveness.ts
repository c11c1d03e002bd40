import type { Clock } from '../../../ops/lifecycle/index.ts';

/**
 * Is anybody there? A socket that is open proves nothing; what came over it does. Owns: when the last frame and the last ack came, which message waits for
 * one, whose messages were acknowledged since WhatsApp sent anything by itself, and the canary. Called by device-connection.ts, which asks now and then and lets go of a socket that is dead.
 *
 * V1. SILENT: no frame for `silenceMs`. Pings are sent twice in that time, so a living server has answered.
 * V2. NO_ACKS: frames come, but an attempt to send that began `ackMs` ago got no answer in its time, and nothing was acknowledged since.
 * V3. CANARY_UNANSWERED: with `canaryMs` above 0, a cheap query is asked when no ack has come for so long; a server that does not answer it within
 *     `canaryAnswerMs` is dead, whatever else it sends. An error is an answer.
 * V4. Time in which this process stood still (it did not look for `stallMs`) proves nothing about the server and is not counted.
 * V5. NOTHING_INBOUND: with `inboundMs` above 0, messages to `inboundPeople` different people were acknowledged, and `inboundMs` after the last of them WhatsApp had
 *     still sent nothing by itself: no receipt of any of them, no message, no notification. Said once, until something comes again: a socket that did not
 *     help was not the fault.
 */
export interface Liveness {
  opened(): void;
  closed(): void;
  /** something came; `unasked`: what the server sends by itself and is no answer (a receipt, a message, a notification) */
  frame(unasked?: boolean): void;
  /** an attempt to send that began then (monotonic ms) got no answer in its time */
  unanswered(beganAt: number): void;
  /** the server has answered a message, whatever it said; `to`: it has taken a message to this person */
  acknowledged(to?: string): void;
  /** null: nothing speaks against it; asks the canary when it is due */
  look(probe: () => Promise<unknown>): Zombie | null;
}

export interface Zombie {
  readonly reason: 'SILENT' | 'NO_ACKS' | 'CANARY_UNANSWERED' | 'NOTHING_INBOUND';
  /** age of the last frame, and of the last ack (null = none came over this socket) */
  readonly frameAgeMs: number;
  readonly ackAgeMs: number | null;
}

export interface LivenessOptions {
  readonly silenceMs: number;
  readonly ackMs: number;
  /** 0 = no canary */
  readonly canaryMs: number;
  readonly canaryAnswerMs: number;
  /** 0 = V5 is never said */
  readonly inboundMs: number;
  readonly inboundPeople: number;
  readonly stallMs: number;
}

export function createLiveness(clock: Clock, options: LivenessOptions): Liveness {
  let open = false;
  let frameAt = 0;
  let ackAt: number | null = null;
  /** the first attempt since the last ack that got no answer */
  let triedAt: number | null = null;
  /** the last proof that the server works for us: login, ack, answer to a canary */
  let provedAt = 0;
  let askedAt: number | null = null;
  let socket = 0;
  let lookedAt = 0;
  /** people whose messages were taken since anything came by itself, and when there were enough of them */
  const taken = new Set<string>();
  let takenAt: number | null = null;
  /** V5 was said, and nothing has come since */
  let said = false;

  const nothingTaken = (): void => {
    taken.clear();
    takenAt = null;
  };

  const ask = (now: number, probe: () => Promise<unknown>): void => {
    const mine = socket;
    askedAt = now;
    const answered = (): void => {
      if (mine !== socket) return;
      askedAt = null;
      provedAt = clock.monotonic();
    };
    // one that fails says nothing: the socket that went tells that itself, and one that hangs is found by its time
    probe().then(answered, () => {});
  };
  return {
    opened() {
      const now = clock.monotonic();
      socket += 1;
      [open, frameAt, ackAt, triedAt, provedAt, askedAt, lookedAt] = [true, now, null, null, now, null, now];
      nothingTaken();
    },
    closed() {
      socket += 1;
      open = false;
    },
    frame(unasked = false) {
      frameAt = clock.monotonic();
      if (!unasked) return;
      said = false;
      nothingTaken();
    },
    unanswered(beganAt) {
      if (open && (ackAt === null || ackAt < beganAt)) triedAt ??= beganAt;
    },
    acknowledged(to) {
      const now = clock.monotonic();
      [ackAt, triedAt, provedAt] = [now, null, now];
      if (to === undefined || taken.size >= options.inboundPeople) return;
      taken.add(to);
      if (taken.size === options.inboundPeople) takenAt = now;
    },
    look(probe) {
      if (!open) return null;
      const now = clock.monotonic();
      const slept = now - lookedAt;
      lookedAt = now;
      if (slept > options.stallMs) {
        // V4
        frameAt += slept;
        provedAt += slept;
        if (triedAt !== null) triedAt += slept;
        if (askedAt !== null) askedAt += slept;
        if (takenAt !== null) takenAt += slept;
        return null;
      }
      const dead = (reason: Zombie['reason']): Zombie => ({
        reason,
        frameAgeMs: Math.round(now - frameAt),
        ackAgeMs: ackAt === null ? null : Math.round(now - ackAt),
      });
      if (now - frameAt >= options.silenceMs) return dead('SILENT');
      if (triedAt !== null && now - triedAt >= options.ackMs) return dead('NO_ACKS');
      if (askedAt !== null && now - askedAt >= options.canaryAnswerMs) return dead('CANARY_UNANSWERED');
      if (!said && options.inboundMs > 0 && takenAt !== null && now - takenAt >= options.inboundMs) {
        said = true;
        return dead('NOTHING_INBOUND');
      }
      if (askedAt === null && options.canaryMs > 0 && now - provedAt >= options.canaryMs) ask(now, probe);
      return null;
    },
  };
}
