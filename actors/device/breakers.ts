import type { Dice } from '../../ops/lifecycle/index.ts';
import { admit, type BreakerState, CLOSED, type FleetBreaker, recordAnswer } from '../breaker/index.ts';

/** The two breakers as one actor meets them: its own and the fleet's. Times are monotonic ms. */
export interface Breakers {
  /** ms until this device may try (0 = now) and what stands in the way; asking when the pause is over makes the attempt a probe */
  ask(now: number): { readonly waitMs: number; readonly breaker: 'closed' | 'open' | 'fleet' };
  /** takes an answer in */
  learn(healthy: boolean, now: number): void;
  /** a person said: try again */
  reset(): void;
}

/** Openings in a row, no good answer between, that are a sustained failure: with pauses of 30 s doubled, some fifteen minutes. Guess. */
export const SUSTAINED_OPENINGS = 5;

export function createBreakers(
  deviceId: string,
  fleet: FleetBreaker,
  dice: Dice,
  /** `opened`: from closed to open; `sustained`: SUSTAINED_OPENINGS in a row */
  tell: (why: 'opened' | 'sustained') => void,
): Breakers {
  let own: BreakerState = CLOSED;
  return {
    ask(now) {
      const { state, admitted } = admit(own, now);
      own = state;
      if (!admitted) return { waitMs: own.until - now, breaker: 'open' };
      const fleetMs = fleet.waitMs(deviceId, now);
      if (fleetMs > 0) return { waitMs: fleetMs * (1 + dice.next() / 4), breaker: 'fleet' };
      return { waitMs: 0, breaker: own.phase === 'closed' ? 'closed' : 'open' };
    },
    learn(healthy, now) {
      const before = own;
      own = recordAnswer(own, healthy, now, dice);
      fleet.record(deviceId, healthy, now);
      if (own.phase !== 'open' || own === before) return;
      if (before.phase === 'closed') tell('opened');
      if (own.openings >= SUSTAINED_OPENINGS) tell('sustained');
    },
    reset() {
      own = CLOSED;
    },
  };
}
