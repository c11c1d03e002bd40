import type { Clock, Dice } from '../../../ops/lifecycle/index.ts';
import { backoffMs } from './backoff.ts';
import type { DisconnectAction } from './disconnects.ts';

export interface Timing {
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  readonly stableMs: number;
  /** wait before taking the identity back from another socket (440), and the pause from the fifth time within `conflictWindowMs` on */
  readonly conflictMs: number;
  readonly conflictWindowMs: number;
  readonly conflictPauseMs: number;
  /** a socket that does not close within this is left to the system */
  readonly endMs: number;
}

/**
 * When a device dials again. Owns its count of failures, its conflicts and its one timer. Called by device-connection.ts.
 * Failures are forgotten only after the connection was open for `stableMs`, not by opening.
 */
export interface Redial {
  /** runs `task` after a backoff; false: that was one failure too many, nothing is planned */
  failed(action: Pick<Extract<DisconnectAction, { kind: 'backoff' }>, 'slow' | 'limit'>, task: () => void): boolean;
  /** another socket took our identity: runs `task` after a short wait, after a pause when it goes on */
  conflicted(task: () => void): void;
  opened(): void;
  /** a person has looked at it: it starts afresh */
  forget(): void;
  /** the socket is gone: the time for which it was open counts no more */
  closed(): void;
  stop(): void;
}

const CONFLICTS = 5;

export function createRedial(clock: Clock, dice: Dice, timing: Timing): Redial {
  let failures = 0;
  let conflicts: readonly number[] = [];
  let cancel = (): void => {};
  let cancelStable = (): void => {};
  const plan = (ms: number, task: () => void): void => {
    cancel();
    cancel = clock.after(ms, task);
  };
  return {
    failed({ slow, limit }, task) {
      failures += 1;
      if (limit !== null && failures > limit) return false;
      plan(backoffMs(failures, slow, dice, { baseMs: timing.backoffBaseMs, capMs: timing.backoffCapMs }), task);
      return true;
    },
    conflicted(task) {
      const now = clock.monotonic();
      conflicts = [...conflicts.filter((at) => now - at < timing.conflictWindowMs), now];
      plan(conflicts.length >= CONFLICTS ? timing.conflictPauseMs : timing.conflictMs * (0.5 + dice.next() / 2), task);
    },
    opened() {
      cancelStable = clock.after(
        timing.stableMs,
        () => {
          failures = 0;
        },
        { background: true },
      );
    },
    forget() {
      failures = 0;
      conflicts = [];
    },
    closed: () => cancelStable(),
    stop() {
      cancel();
      cancelStable();
    },
  };
}
