import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Log } from '../../ops/telemetry/index.ts';

/**
 * A clock whose wall time is the ledger's: pace, due times and caps are counted in Postgres, and a node whose own clock is an hour off must
 * neither wait for an hour nor ask in a hot loop. Owns: how far the two are apart, as last measured.
 *
 * C1 Below a second nothing is corrected: that is within what the question's own way takes.
 * C2 Leases never use it: they are counted on the monotonic clock, and a correction would look like a machine that slept.
 */
export interface LedgerClock extends Clock {
  /** asks the ledger; without an answer what was known stands. Every half minute by whoever made the clock */
  measure(): Promise<void>;
}

const IGNORED_MS = 1000;

export function createLedgerClock(deps: { readonly clock: Clock; readonly log: Log; ledgerNow(): Promise<number> }): LedgerClock {
  const { clock, log } = deps;
  let apart = 0;
  return {
    ...clock,
    wall: () => clock.wall() + apart,
    async measure() {
      try {
        const before = { wall: clock.wall(), monotonic: clock.monotonic() };
        const theirs = await deps.ledgerNow();
        const found = theirs - (before.wall + (clock.monotonic() - before.monotonic) / 2);
        const next = Math.abs(found) < IGNORED_MS ? 0 : Math.round(found);
        if (Math.abs(next - apart) >= IGNORED_MS) log.warn('clock.off', { ms: next });
        apart = next;
      } catch (error) {
        log.debug('clock.unmeasured', { error: String(error) });
      }
    },
  };
}
