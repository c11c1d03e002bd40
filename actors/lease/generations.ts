import { randomBytes } from 'node:crypto';
import type { Redis } from '../../ops/connect/index.ts';
import { generationScript } from './scripts.ts';

/**
 * Which generation each partition of Redis has, as this node knows it.
 * Owns: the beliefs. Does not own: what follows from a loss (ownership.ts). Called by claim, scan and ownership.
 *
 * I1 A belief is only ever replaced by way of `forget`: a different value on the server is a loss, told by `differs`.
 * I2 A generation is set once; whoever comes second takes over the first one's.
 */
export interface Generations {
  get(partition: number): string | undefined;
  /**
   * What the server was seen to hold (null = nothing): learns it when nothing was believed, else says how it differs. `asked` = the
   * belief when the question was sent; an answer to a question older than the belief says nothing ('same').
   */
  observe(
    partition: number,
    stored: string | null,
    asked: string | undefined,
  ): 'same' | 'learned' | 'missing' | 'lost-missing' | 'lost-changed';
  forget(partition: number): void;
  /** makes sure that there is one, and learns it; `replace` = the value found to be rolled back, or '' */
  establish(partition: number, replace: string): Promise<string>;
  /** true for one TTL after the generation's creation: only the owner that Postgres names may claim (`redisNow`: unix ms by Redis TIME) */
  young(partition: number, redisNow: number): boolean;
}

/** Unix ms at which a generation was made, from its value. */
export function bornAt(generation: string): number {
  const at = Number(generation.slice(generation.lastIndexOf(':') + 1));
  return Number.isFinite(at) ? at : 0;
}

export function createGenerations(redis: Redis, ttlMs: number): Generations {
  const known = new Map<number, string>();
  const underway = new Map<number, Promise<string>>();
  return {
    get: (partition) => known.get(partition),
    observe(partition, stored, asked) {
      const believed = known.get(partition);
      if (stored === believed || believed !== asked) return 'same';
      if (believed !== undefined) return stored === null ? 'lost-missing' : 'lost-changed';
      if (stored === null) return 'missing';
      known.set(partition, stored);
      return 'learned';
    },
    forget: (partition) => void known.delete(partition),
    establish(partition, replace) {
      const running = underway.get(partition);
      if (running !== undefined) return running;
      const run = generationScript(redis, partition, randomBytes(8).toString('hex'), replace)
        .then((value) => {
          known.set(partition, value);
          return value;
        })
        .finally(() => underway.delete(partition));
      underway.set(partition, run);
      return run;
    },
    young(partition, redisNow) {
      const generation = known.get(partition);
      return generation === undefined || redisNow - bornAt(generation) < ttlMs;
    },
  };
}
