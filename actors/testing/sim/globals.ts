import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { type Dice, seededDice } from '../../../ops/lifecycle/index.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * What the runtime (and the `redlock` package) takes from the process itself: setImmediate, random bytes, Date.now. While a world runs these
 * belong to its scheduler and its seed; a world runs in one piece of the event loop, so nobody else sees them.
 * @param failed a promise was rejected and nobody listened: a real node would end
 * @returns gives them back
 */
export function takeGlobals(scheduler: Scheduler, seed: number, failed: (error: unknown) => void): () => void {
  const dice: Dice = seededDice(seed ^ 0x5eed);
  const kept = { setImmediate: globalThis.setImmediate, now: Date.now, randomBytes: crypto.randomBytes, fill: crypto.randomFillSync };
  const fill = <T extends Uint8Array>(bytes: T): T => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(dice.next() * 256);
    return bytes;
  };
  globalThis.setImmediate = ((task: () => void) =>
    scheduler.at(scheduler.now(), scheduler.current, 'immediate', 'immediate', task)) as unknown as typeof setImmediate;
  Date.now = () => scheduler.wall();
  Object.assign(crypto, { randomBytes: (size: number) => fill(Buffer.alloc(size)), randomFillSync: fill });
  syncBuiltinESMExports();
  const onRejection = (error: unknown): void => failed(error);
  const listeners = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', onRejection);
  return () => {
    globalThis.setImmediate = kept.setImmediate;
    Date.now = kept.now;
    Object.assign(crypto, { randomBytes: kept.randomBytes, randomFillSync: kept.fill });
    syncBuiltinESMExports();
    process.off('unhandledRejection', onRejection);
    for (const listener of listeners) process.on('unhandledRejection', listener);
  };
}
