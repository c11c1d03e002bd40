import type { Dice } from '../../ops/lifecycle/index.ts';
import type { SendOutcome } from '../transports/port.ts';

export interface RetryOptions {
  /** attempts before a message is DEAD */
  readonly budget: number;
  readonly baseMs: number;
  readonly capMs: number;
}

/**
 * Exponential backoff with full jitter: evenly in [0, min(cap, base * 2^(attempt - 1))), at least 1 ms.
 * Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function backoffMs(attempt: number, options: Pick<RetryOptions, 'baseMs' | 'capMs'>, dice: Dice): number {
  const ceiling = Math.min(options.capMs, options.baseMs * 2 ** Math.min(30, Math.max(0, attempt - 1)));
  return Math.max(1, Math.floor(ceiling * dice.next()));
}

/** What a transport's answer means for the message and for its device. */
export interface Decision {
  readonly state: 'SENT' | 'QUEUED' | 'UNKNOWN' | 'FAILED';
  readonly cause: string | null;
  /** the message waits this long before its next attempt (QUEUED and UNKNOWN) */
  readonly afterMs: number;
  /** the whole device holds still this long: the provider said slow down */
  readonly holdMs: number;
  /** what the breaker learns; undefined = says nothing about the device */
  readonly healthy: boolean | undefined;
}

/** A provider's "slow down" (429) and "stop writing to strangers" (463) are obeyed by the whole device, at least this long. */
const HOLD_MS: Readonly<Record<string, number>> = Object.freeze({
  RATE_LIMITED: 60_000,
  '429': 60_000,
  WHATSAPP_429: 60_000,
  '463': 3_600_000,
});

/**
 * The way to the device went away with its socket: that says nothing about the device or its provider. Counted as failures, one dead gateway could
 * open the breaker of all devices and hold them still when they are long back.
 */
const WAY_LOST: ReadonlySet<string> = new Set(['SOCKET_GONE']);

/** Media that cannot be had say nothing about the device either, nor does a pause of new chats that is obeyed. */
const NOT_THE_DEVICE: ReadonlySet<string> = new Set([
  'MEDIA_PENDING',
  'MEDIA_UNREACHABLE',
  'COLD_PAUSED',
  'NUMBER_CHECK_LIMIT',
  'NUMBER_CHECK_FAILED',
]);

/** the longest wait that a provider's "slow down" is obeyed for without asking again: a day */
const LONGEST_WAIT_MS = 86_400_000;

/**
 * The one place where a transport's answer becomes policy. `attempt` counts from 1 and is the ledger's, so it survives requeue and restart.
 * The budget is not spent here: the intent of the attempt after the last one ends the message (DEAD, RETRY_BUDGET) instead.
 */
export function decide(outcome: SendOutcome, attempt: number, options: RetryOptions, dice: Dice): Decision {
  switch (outcome.kind) {
    case 'sent':
      return { state: 'SENT', cause: null, afterMs: 0, holdMs: 0, healthy: true };
    case 'unknown': {
      const healthy = WAY_LOST.has(outcome.code) ? undefined : false;
      return { state: 'UNKNOWN', cause: outcome.code, afterMs: backoffMs(attempt, options, dice), holdMs: 0, healthy };
    }
    case 'not-sent':
      return { state: 'QUEUED', cause: outcome.code, afterMs: backoffMs(attempt, options, dice), holdMs: 0, healthy: undefined };
    case 'rejected': {
      const holdMs = HOLD_MS[outcome.code] ?? 0;
      if (!outcome.retry && holdMs === 0) return { state: 'FAILED', cause: outcome.code, afterMs: 0, holdMs: 0, healthy: undefined };
      const afterMs = Math.max(backoffMs(attempt, options, dice), Math.min(outcome.retryAfterMs ?? 0, LONGEST_WAIT_MS), holdMs);
      return {
        state: 'QUEUED',
        cause: outcome.code,
        afterMs,
        holdMs: holdMs === 0 ? 0 : afterMs,
        healthy: NOT_THE_DEVICE.has(outcome.code) ? undefined : false,
      };
    }
  }
}
