import type { Clock } from '../../ops/lifecycle/index.ts';
import type { IntentItem, ResultItem, ResultOutcome } from '../../schema/sql/index.ts';
import type { ActorLedger, Leave, Urgency } from '../device/index.ts';
import type { OwnedDevice } from '../lease/port.ts';

/** Crash takeovers in a turn after which a device is suspected: one more ends in quarantine (activation.ts). */
export const SUSPECTED_FROM = 2;
/**
 * So long a suspect holds still after it was granted. Whoever kills nodes from outside strikes again sooner than this, or so seldom that
 * a trial of some milliseconds is not what it meets. Guess.
 */
const CALM_MS = 10_000;
/** apart in time: suspects that found the place taken come back one by one. Guess, about as long as a turn of the simulator takes */
const SPACING_MS = 10;

/**
 * Tells the device that ends nodes from those that were only in a turn when one ended (docs/decisions/0010): suspects send one at a time on
 * this node, so that the death which spends a crash budget strikes in the turn of one suspect alone.
 *
 * Owns: who of this node's devices is suspected, and whose trial is under way. Called by the host (grants) and, as their ledger, by actors.
 *
 * P1 Of a node's suspects at most one is between intent and result (but see P4), so a node's death spends the crash budget of one device.
 * P2 A suspect's first trial begins when it has been owned for `calmMs`.
 * P3 A turn that the ledger counts as completed clears the device, by the rule by which it clears the crash count (result.sql R6).
 * P4 A trial ends with its result, with an intent that gave no leave, with the ownership, or after `limitMs`: nobody is kept waiting for ever.
 * P5 Devices that are not suspected are never held up, nor asked more than one look into a map.
 */
export interface Probation {
  /** the ledger as actors see it */
  readonly ledger: ActorLedger;
  /** a device that begins here */
  add(owned: OwnedDevice): void;
  readonly suspects: number;
}

export interface ProbationOptions {
  /** a trial longer than this holds up nobody any more */
  readonly limitMs: number;
  /** default 10 s */
  readonly calmMs?: number;
}

interface Suspect {
  readonly epoch: number;
  /** monotonic ms */
  readonly from: number;
}

export function createProbation(deps: { readonly clock: Clock; readonly ledger: ActorLedger }, options: ProbationOptions): Probation {
  const { clock, ledger } = deps;
  const suspects = new Map<string, Suspect>();
  let trial: { readonly deviceId: string; readonly until: number } | undefined;
  let nextAt = 0;

  /** ms until this suspect may try; 0 = now, and the trial is its own */
  const waitMs = (deviceId: string, suspect: Suspect): number => {
    const now = clock.monotonic();
    if (now < suspect.from) return suspect.from - now;
    if (trial !== undefined && trial.deviceId !== deviceId && now < trial.until) {
      nextAt = Math.max(nextAt, now) + SPACING_MS;
      return nextAt - now;
    }
    trial = { deviceId, until: now + options.limitMs };
    return 0;
  };
  const over = (deviceId: string): void => {
    if (trial?.deviceId === deviceId) trial = undefined;
  };
  const suspectOf = ({ deviceId, epoch }: { readonly deviceId: string; readonly epoch: number }): Suspect | undefined => {
    const suspect = suspects.get(deviceId);
    return suspect?.epoch === epoch ? suspect : undefined;
  };

  const intent = async (item: IntentItem, urgency: Urgency): Promise<Leave> => {
    const suspect = suspectOf(item);
    if (suspect === undefined) return ledger.intent(item, urgency);
    const until = waitMs(item.deviceId, suspect);
    if (until > 0) return { verdict: 'PROBATION', until, now: 0 };
    let passed = false;
    try {
      const leave = await ledger.intent(item, urgency);
      passed = leave.verdict === 'PASS';
      return leave;
    } finally {
      if (!passed) over(item.deviceId);
    }
  };
  const result = async (item: ResultItem): Promise<ResultOutcome> => {
    if (suspectOf(item) === undefined) return ledger.result(item);
    try {
      const outcome = await ledger.result(item);
      if (outcome.counted && item.state !== 'WRITTEN' && item.state !== 'UNKNOWN') suspects.delete(item.deviceId);
      return outcome;
    } finally {
      over(item.deviceId);
    }
  };
  return {
    ledger: {
      // not async for the many that are not suspected: no promise more than the ledger's own
      intent: (item, urgency) => (suspects.size === 0 ? ledger.intent(item, urgency) : intent(item, urgency)),
      result: (item) => (suspects.size === 0 ? ledger.result(item) : result(item)),
      get open() {
        return ledger.open;
      },
      up: () => ledger.up(),
    },
    add(owned) {
      const { deviceId, epoch, signal } = owned;
      if ((owned.crashes ?? 0) < SUSPECTED_FROM || signal.aborted) return;
      suspects.set(deviceId, { epoch, from: clock.monotonic() + (options.calmMs ?? CALM_MS) });
      const end = (): void => {
        if (suspectOf(owned) === undefined) return;
        suspects.delete(deviceId);
        over(deviceId);
      };
      signal.addEventListener('abort', end, { once: true });
    },
    get suspects() {
      return suspects.size;
    },
  };
}
