import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { ConnectSlots } from './connect-slots.ts';
import type { FleetGate } from './fleet-gate.ts';

/**
 * A device's turn to connect: a slot of its node first, then leave of the fleet, so that few ask the fleet at once.
 * Owns: what the fleet said last, for those who stand behind. Called by device-connection.ts.
 */
export interface ConnectTurns {
  /**
   * Resolves when the device may connect, with what to call when the attempt is over (idempotent); null when `abandoned` says so meanwhile.
   * `held`: it waits because many were refused with this code.
   */
  take(deviceId: string, abandoned: () => boolean, held: (code: number) => void): Promise<EndTurn | null>;
}
export type EndTurn = (how: 'opened' | number | null) => void;

const LONGEST_NAP_MS = 1000;

export function createConnectTurns(deps: { readonly clock: Clock; readonly slots: ConnectSlots; readonly gate: FleetGate }): ConnectTurns {
  let said: number | null = null;
  return {
    async take(deviceId, abandoned, held) {
      if (said !== null) held(said);
      const release = await deps.slots.take();
      let told: number | null = null;
      while (!abandoned()) {
        const answer = await deps.gate.ask(deviceId);
        said = answer.go ? null : answer.code;
        if (answer.go) {
          let over = false;
          return (how) => {
            if (over) return;
            over = true;
            release();
            void deps.gate.ended(deviceId, how);
          };
        }
        if (answer.code !== null && answer.code !== told) held(answer.code);
        told = answer.code;
        await deps.clock.sleep(Math.max(1, Math.min(answer.waitMs, LONGEST_NAP_MS)));
      }
      release();
      return null;
    },
  };
}
