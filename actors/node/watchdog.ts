import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { Actor } from '../device/index.ts';
import type { Gate } from './gate.ts';

/** Longest wait for the stores' answer before a turn is called stuck. */
const PROBE_MS = 2000;

/**
 * Gives up a device whose turn does not end, and only that one: its next owner starts it afresh, and finds its message as UNKNOWN.
 * Owns: since when both stores have answered. Called by the sweeps, about once a second.
 *
 * W1 A turn counts from its begin or from when the stores answered again, whichever is later: waiting for a store is nobody's fault.
 * W2 Before anything is given up both stores are asked; while one does not answer, nobody is.
 */
export function createWatchdog(
  deps: {
    readonly clock: Clock;
    readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
    readonly gates: { readonly ledger: Pick<Gate, 'open'>; readonly mailbox: Pick<Gate, 'open'> };
    readonly slots: ReadonlyMap<string, { readonly actor: Pick<Actor, 'turnSince'> }>;
    probe(): Promise<unknown>;
    giveUp(deviceIds: readonly string[]): void;
  },
  options: { readonly limitMs: number },
): () => Promise<void> {
  const { clock, gates, telemetry } = deps;
  let answeredSince = clock.monotonic();
  const tooLong = (deviceId: string, now: number): boolean => {
    const since = deps.slots.get(deviceId)?.actor.turnSince();
    return since !== undefined && now - Math.max(since, answeredSince) > options.limitMs;
  };
  return async () => {
    const now = clock.monotonic();
    if (!gates.ledger.open || !gates.mailbox.open) {
      answeredSince = now;
      return;
    }
    const stuck = [...deps.slots.keys()].filter((deviceId) => tooLong(deviceId, now));
    if (stuck.length === 0) return;
    if (!(await within(clock, deps.probe(), PROBE_MS))) {
      answeredSince = clock.monotonic();
      return;
    }
    // the turn may have ended while the stores were asked
    const still = stuck.filter((deviceId) => tooLong(deviceId, now));
    if (still.length === 0) return;
    telemetry.count('turns.stuck', still.length);
    telemetry.log.error('turns.stuck', { devices: still.length, first: still[0] ?? '' });
    deps.giveUp(still);
  };
}

/** True when the promise is fulfilled within `ms`; false when it is late or rejects. It goes on by itself. */
function within(clock: Clock, promise: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, () => resolve(false));
    const end = (answered: boolean) => () => {
      cancel();
      resolve(answered);
    };
    promise.then(end(true), end(false));
  });
}
